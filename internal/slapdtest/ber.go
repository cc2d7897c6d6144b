package slapdtest

import (
	"bufio"
	"errors"
	"io"
)

// tlv is one element of BER (X.690) in the subset LDAP uses: short tags and
// definite lengths (RFC 4511 5.1). It is written out here so that the fake does
// not share an encoder with the client it tests.
type tlv struct {
	tag  byte
	body []byte
}

var errBER = errors.New("slapdtest: not BER")

func readTLV(r *bufio.Reader) (tlv, error) {
	tag, err := r.ReadByte()
	if err != nil {
		return tlv{}, err
	}
	n, err := r.ReadByte()
	if err != nil {
		return tlv{}, err
	}
	size := int(n)
	if n >= 0x80 {
		size = 0
		for range n & 0x7f {
			b, err := r.ReadByte()
			if err != nil {
				return tlv{}, err
			}
			if size = size<<8 | int(b); size > 1<<24 {
				return tlv{}, errBER
			}
		}
	}
	body := make([]byte, size)
	_, err = io.ReadFull(r, body)
	return tlv{tag, body}, err
}

// children splits a constructed element.
func (t tlv) children() ([]tlv, error) {
	var out []tlv
	for b := t.body; len(b) > 0; {
		if len(b) < 2 {
			return nil, errBER
		}
		head, size := 2, int(b[1])
		if b[1] >= 0x80 {
			size = 0
			for range b[1] & 0x7f {
				if head >= len(b) {
					return nil, errBER
				}
				size = size<<8 | int(b[head])
				head++
			}
		}
		if size < 0 || head+size > len(b) {
			return nil, errBER
		}
		out = append(out, tlv{b[0], b[head : head+size]})
		b = b[head+size:]
	}
	return out, nil
}

func (t tlv) int() int {
	v := 0
	for _, b := range t.body {
		v = v<<8 | int(b)
	}
	return v
}

func (t tlv) text() string { return string(t.body) }

// ber puts an element together.
func ber(tag byte, parts ...[]byte) []byte {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	out := []byte{tag}
	switch {
	case size < 0x80:
		out = append(out, byte(size))
	case size < 0x100:
		out = append(out, 0x81, byte(size))
	case size < 0x10000:
		out = append(out, 0x82, byte(size>>8), byte(size))
	default:
		out = append(out, 0x83, byte(size>>16), byte(size>>8), byte(size))
	}
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func berText(s string) []byte { return ber(0x04, []byte(s)) }

func berInt(tag byte, v int) []byte {
	if v < 0x80 {
		return ber(tag, []byte{byte(v)})
	}
	return ber(tag, []byte{0, byte(v >> 16), byte(v >> 8), byte(v)})
}
