package ldaptest

import (
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// The operations of RFC 4511 by their application tags.
const (
	opBindRequest      = 0
	opBindResponse     = 1
	opUnbind           = 2
	opSearchRequest    = 3
	opEntry            = 4
	opDone             = 5
	opAbandon          = 16
	opReference        = 19
	opExtendedRequest  = 23
	opExtendedResponse = 24
	opIntermediate     = 25
)

// Result codes (RFC 4511 A.1) that a Server gives by itself.
const (
	codeOK                  = 0
	codeOperations          = 1
	codeProtocol            = 2
	codeTimeLimit           = 3
	codeSizeLimit           = 4
	codeAuthMethod          = 7
	codeStrongerAuth        = 8
	codeReferral            = 10
	codeAdminLimit          = 11
	codeCriticalUnavailable = 12
	codeNoSuchObject        = 32
	codeInvalidCredentials  = 49
	codeInsufficientRights  = 50
	codeBusy                = 51
	codeUnavailable         = 52
	codeUnwilling           = 53
	codeOther               = 80
	codeRefreshRequired     = 4096 // RFC 4533 2.1
)

// Extended operations.
const (
	oidStartTLS   = "1.3.6.1.4.1.1466.20037"
	oidDisconnect = "1.3.6.1.4.1.1466.20036"
	oidWhoAmI     = "1.3.6.1.4.1.4203.1.11.3"
)

func text(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

func tagged(tag ber.Tag, s string) *ber.Packet {
	return ber.NewString(ber.ClassContext, ber.TypePrimitive, tag, s, "")
}

func integer(v int64) *ber.Packet {
	return ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, v, "")
}

func enumerated(v int64) *ber.Packet {
	return ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, v, "")
}

func boolean(v bool) *ber.Packet {
	return ber.NewLDAPBoolean(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, v, "")
}

func group(class ber.Class, tag ber.Tag, children ...*ber.Packet) *ber.Packet {
	p := ber.Encode(class, ber.TypeConstructed, tag, nil, "")
	for _, c := range children {
		p.AppendChild(c)
	}
	return p
}

func sequence(children ...*ber.Packet) *ber.Packet {
	return group(ber.ClassUniversal, ber.TagSequence, children...)
}

func set(children ...*ber.Packet) *ber.Packet {
	return group(ber.ClassUniversal, ber.TagSet, children...)
}

func operation(tag ber.Tag, children ...*ber.Packet) *ber.Packet {
	return group(ber.ClassApplication, tag, children...)
}

// control is a response control with a value.
func control(oid string, value *ber.Packet) *ber.Packet {
	return sequence(text(oid), text(string(value.Bytes())))
}

// envelope writes one LDAPMessage.
func envelope(id int64, op *ber.Packet, controls ...*ber.Packet) []byte {
	m := sequence(integer(id), op)
	if len(controls) > 0 {
		m.AppendChild(group(ber.ClassContext, 0, controls...))
	}
	return m.Bytes()
}

// result is how an operation ended.
type result struct {
	code      int64
	matched   string
	text      string
	referrals []string
	controls  []*ber.Packet
}

func (r result) operation(tag ber.Tag, more ...*ber.Packet) *ber.Packet {
	op := operation(tag, enumerated(r.code), text(r.matched), text(r.text))
	if len(r.referrals) > 0 {
		list := group(ber.ClassContext, 3)
		for _, u := range r.referrals {
			list.AppendChild(text(u))
		}
		op.AppendChild(list)
	}
	for _, m := range more {
		op.AppendChild(m)
	}
	return op
}

// message is one thing that goes over the line while a search is answered.
type message struct {
	raw   []byte
	entry bool          // it is an entry, else a reference or an intermediate response
	wait  time.Duration // before it is sent
}

// values is an attribute as it is sent.
type values struct {
	name string
	list []string
}

func encodeEntry(id int64, dn string, attributes []values, controls ...*ber.Packet) []byte {
	list := sequence()
	for _, a := range attributes {
		v := set()
		for _, s := range a.list {
			v.AppendChild(text(s))
		}
		list.AppendChild(sequence(text(a.name), v))
	}
	return envelope(id, operation(opEntry, text(dn), list), controls...)
}
