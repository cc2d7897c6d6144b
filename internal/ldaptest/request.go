package ldaptest

import (
	"errors"
	"fmt"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// Controls that a Server knows.
const (
	oidPaging      = "1.2.840.113556.1.4.319"   // RFC 2696
	oidShowDeleted = "1.2.840.113556.1.4.417"   // MS-ADTS 3.1.1.3.4.1.14
	oidRecycled    = "1.2.840.113556.1.4.2064"  // MS-ADTS 3.1.1.3.4.1.26
	oidDirSync     = "1.2.840.113556.1.4.841"   // MS-ADTS 3.1.1.3.4.1.3
	oidDomainScope = "1.2.840.113556.1.4.1339"  // MS-ADTS 3.1.1.3.4.1.4
	oidSync        = "1.3.6.1.4.1.4203.1.9.1.1" // RFC 4533
	oidSyncState   = "1.3.6.1.4.1.4203.1.9.1.2" // of an entry
	oidSyncDone    = "1.3.6.1.4.1.4203.1.9.1.3" // of the end
	oidSyncInfo    = "1.3.6.1.4.1.4203.1.9.1.4" // of an intermediate response
	oidManageDSAIT = "2.16.840.1.113730.3.4.2"  // RFC 3296
	scopeBase      = 0
	scopeOne       = 1
	scopeSub       = 2
)

// controls lists what a kind knows, as its root entry does.
func (k Kind) controls() []string {
	switch k {
	case ActiveDirectory:
		return []string{oidPaging, oidShowDeleted, oidRecycled, oidDirSync, oidDomainScope}
	case OpenLDAP, DS389:
		return []string{oidPaging, oidSync, oidManageDSAIT}
	case Plain:
	}
	return []string{oidPaging}
}

// request is a decoded search.
type request struct {
	base        string
	scope       int64
	sizeLimit   int64
	typesOnly   bool
	filter      *ber.Packet
	attributes  []string
	page        *pageRequest
	sync        *syncRequest
	dirSync     *dirSyncRequest
	showDeleted bool
	domainScope bool
	critical    string // a critical control that is not known
	fingerprint string // what has to stay the same from page to page
}

type pageRequest struct {
	size   int64
	cookie string
}

type syncRequest struct {
	mode   int64
	cookie string
}

type dirSyncRequest struct {
	flags, maxBytes int64
	cookie          string
}

var errMalformed = errors.New("malformed request")

func decodeSearch(op *ber.Packet, controls []*ber.Packet, kind Kind) (request, error) {
	var q request
	if len(op.Children) != 8 {
		return q, errMalformed
	}
	q.base, q.filter = octetsOf(op.Children[0]), op.Children[6]
	var ok [3]bool
	q.scope, ok[0] = op.Children[1].Value.(int64)
	q.sizeLimit, ok[1] = op.Children[3].Value.(int64)
	q.typesOnly, ok[2] = op.Children[5].Value.(bool)
	if ok != [3]bool{true, true, true} {
		return q, errMalformed
	}
	for _, a := range op.Children[7].Children {
		q.attributes = append(q.attributes, octetsOf(a))
	}
	q.fingerprint = fmt.Sprintf("%d\x00%s\x00%x\x00%q", q.scope, dnKey(q.base), q.filter.Bytes(), q.attributes)
	for _, c := range controls {
		if err := q.control(c, kind); err != nil {
			return q, err
		}
	}
	return q, nil
}

// control reads one request control: its type, whether it is critical, its value.
func (q *request) control(c *ber.Packet, kind Kind) error {
	if len(c.Children) == 0 {
		return errMalformed
	}
	oid, critical, value := octetsOf(c.Children[0]), false, &ber.Packet{}
	for _, p := range c.Children[1:] {
		if b, ok := p.Value.(bool); ok {
			critical = b
			continue
		}
		inner, err := ber.DecodePacketErr(p.Data.Bytes())
		if err == nil {
			value = inner
		}
	}
	known := false
	for _, o := range kind.controls() {
		known = known || o == oid
	}
	if !known {
		if critical {
			q.critical = oid
		}
		return nil
	}
	number := func(i int) int64 {
		if i < len(value.Children) {
			if v, ok := value.Children[i].Value.(int64); ok {
				return v
			}
		}
		return 0
	}
	octets := func(i int) string {
		if i < len(value.Children) {
			return octetsOf(value.Children[i])
		}
		return ""
	}
	switch oid {
	case oidPaging:
		q.page = &pageRequest{number(0), octets(1)}
	case oidShowDeleted, oidRecycled:
		q.showDeleted = true
	case oidDomainScope:
		q.domainScope = true
	case oidSync:
		q.sync = &syncRequest{mode: number(0)}
		if len(value.Children) > 1 && value.Children[1].Tag == ber.TagOctetString {
			q.sync.cookie = octets(1)
		}
	case oidDirSync:
		q.dirSync = &dirSyncRequest{number(0), number(1), octets(2)}
	}
	return nil
}

// String is how a search stands in Calls.
func (q request) String() string {
	s := "search " + []string{"base", "one", "sub"}[q.scope%3] + " " + strings.ToLower(q.base)
	if q.page != nil && q.page.cookie != "" {
		s += " next page"
	}
	if q.sync != nil {
		s += " sync"
	}
	if q.dirSync != nil {
		s += " dirsync"
	}
	if q.showDeleted {
		s += " show deleted"
	}
	return s
}
