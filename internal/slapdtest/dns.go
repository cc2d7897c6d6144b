package slapdtest

import (
	"context"
	"encoding/binary"
	"net"
	"strings"
	"sync"
	"testing"
)

// SRV is one record of a DNS server (RFC 2782).
type SRV struct {
	Target           string
	Port             uint16
	Priority, Weight uint16
}

// DNS answers questions about SRV records on loopback; every other name it is asked for
// is 127.0.0.1. Names without a record do not exist.
type DNS struct {
	mu      sync.Mutex
	records map[string][]SRV
	conn    net.PacketConn
	done    chan struct{}
}

// NewDNS starts a server; it ends with the test.
func NewDNS(t testing.TB) *DNS {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &DNS{records: map[string][]SRV{}, conn: conn, done: make(chan struct{})}
	go d.serve()
	t.Cleanup(func() { _ = conn.Close(); <-d.done })
	return d
}

// Set gives a name, such as _ldap._tcp.example.test, its records.
func (d *DNS) Set(name string, records ...SRV) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.records[name] = records
}

// Resolver asks this server alone.
func (d *DNS) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "udp", d.conn.LocalAddr().String())
	}}
}

func (d *DNS) serve() {
	defer close(d.done)
	for buf := make([]byte, 2048); ; {
		n, from, err := d.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if answer := d.answer(buf[:n]); answer != nil {
			_, _ = d.conn.WriteTo(answer, from) // whoever asked asks again
		}
	}
}

// answer takes one message with one question (RFC 1035, 4.1).
func (d *DNS) answer(msg []byte) []byte {
	const typeA, typeSRV = 1, 33
	if len(msg) < 12 {
		return nil
	}
	var labels []string
	at := 12
	for at < len(msg) && msg[at] != 0 {
		end := at + 1 + int(msg[at])
		if end > len(msg) {
			return nil
		}
		labels, at = append(labels, string(msg[at+1:end])), end
	}
	if at += 5; at > len(msg) {
		return nil
	}
	var data [][]byte
	name := strings.ToLower(strings.Join(labels, "."))
	kind := binary.BigEndian.Uint16(msg[at-4:])
	flags := uint16(0x8180) // an answer, without error
	d.mu.Lock()
	records, known := d.records[name]
	d.mu.Unlock()
	switch {
	case kind == typeSRV && known:
		for _, r := range records {
			b := binary.BigEndian.AppendUint16(nil, r.Priority)
			b = binary.BigEndian.AppendUint16(b, r.Weight)
			b = binary.BigEndian.AppendUint16(b, r.Port)
			data = append(data, append(b, wireName(r.Target)...))
		}
	case strings.HasPrefix(name, "_"):
		flags |= 3 // there is no such name
	case kind == typeA:
		data = append(data, []byte{127, 0, 0, 1})
	}
	out := binary.BigEndian.AppendUint16(append([]byte{}, msg[:2]...), flags)
	out = append(out, 0, 1, 0, byte(len(data)), 0, 0, 0, 0)
	out = append(out, msg[12:at]...)
	for _, rdata := range data {
		out = append(out, 0xc0, 12) // the name of the question
		out = binary.BigEndian.AppendUint16(out, kind)
		out = append(out, 0, 1, 0, 0, 0, 0)
		out = binary.BigEndian.AppendUint16(out, uint16(len(rdata))) //nolint:gosec // a name is at most 255 bytes
		out = append(out, rdata...)
	}
	return out
}

func wireName(name string) []byte {
	var out []byte
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label != "" {
			out = append(append(out, byte(len(label))), label...)
		}
	}
	return append(out, 0)
}
