package slapdtest

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// Entry is one entry of a Fake.
type Entry struct {
	DN         string
	Attributes map[string][]string
}

// Faults are the ways a Fake misbehaves. The zero value answers as a good
// directory does, with paging.
type Faults struct {
	IgnorePaging  bool          // answers everything, without a response control
	EndlessCookie bool          // starts over after the last page
	CutOnPage     int           // closes the connection in the middle of this page; 1 is the first
	StopAfter     int           // ends a subtree search after so many entries with StopCode
	StopCode      int           // 4 is size limit, 3 time limit, 11 administrative limit
	Empty         bool          // subtree searches succeed and find nothing
	FailPage      int           // answers this page with FailCode and no entry
	FailCode      int           // 53 is what servers give for a lost cookie
	Referrals     int           // continuation references in each subtree search
	Delay         time.Duration // before each answer
	BindCode      int           // 49 refuses the bind
	BindMessage   string
	Range         int  // largest number of values in one answer, the rest by range retrieval
	NoSchema      bool // the schema cannot be read
	Disconnect    bool // sends a notice of disconnection instead of the first page
}

// Fake is a directory server in this process, for faults a real one cannot be
// made to show. It knows bind, base and subtree searches with and, or, not,
// equality and presence, paging, and range retrieval; no TLS. Filters on
// attributes that no entry has succeed and find nothing, as in real servers.
type Fake struct {
	URL     string
	t       testing.TB
	entries []Entry
	faults  Faults
	l       net.Listener
	work    sync.WaitGroup
	mu      sync.Mutex
	open    map[net.Conn]bool
	calls   []string
}

// FakePeople gives the tree of a Server with n of Roster as entries of a Fake.
func FakePeople(n int) []Entry {
	out := []Entry{
		{BaseDN, map[string][]string{"objectClass": {"organization"}}},
		{PeopleDN, map[string][]string{"objectClass": {"organizationalUnit"}}},
		{GroupsDN, map[string][]string{"objectClass": {"organizationalUnit"}}},
		{ReaderDN, map[string][]string{"objectClass": {"organizationalRole"}, "cn": {"reader"}}},
	}
	for _, p := range Roster(n) {
		kind := "staff"
		if p.Disabled {
			kind = "disabled"
		}
		out = append(out, Entry{p.DN, map[string][]string{
			"objectClass": {"inetOrgPerson"}, "entryUUID": {p.EntryUUID}, "uid": {p.UID}, "cn": {p.First + " " + p.Last},
			"givenName": {p.First}, "sn": {p.Last}, "mail": {p.Mail}, "title": {p.Title}, "employeeType": {kind}, "memberOf": p.Groups,
		}})
	}
	return out
}

// NewFake starts a fake; it ends with the test.
func NewFake(t testing.TB, entries []Entry, f Faults) *Fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Fake{URL: "ldap://" + l.Addr().String(), t: t, entries: entries, faults: f, l: l, open: map[net.Conn]bool{}}
	s.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.open[c] = true
			s.mu.Unlock()
			s.work.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.mu.Lock()
		for c := range s.open {
			_ = c.Close()
		}
		s.mu.Unlock()
		s.work.Wait()
	})
	return s
}

// Set changes the faults for later requests.
func (f *Fake) Set(faults Faults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = faults
}

// Calls lists the requests so far: "bind DN", "search SCOPE BASE".
func (f *Fake) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func (f *Fake) note(format string, args ...any) Faults {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	return f.faults
}

func (f *Fake) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for page := 1; ; {
		msg, err := readTLV(in)
		if err != nil {
			return
		}
		parts, err := msg.children()
		if err != nil || len(parts) < 2 {
			return
		}
		w := &fakeWriter{id: parts[0].int(), out: bufio.NewWriter(c)}
		switch op := parts[1]; op.tag {
		case 0x60:
			err = f.bind(w, op)
		case 0x63:
			err = f.search(w, op, parts[2:], &page)
		case 0x42, 0x50: // unbind, abandon
			return
		default:
			w.send(0x78, berInt(0x0a, 2), berText(""), berText("unsupported"))
		}
		if w.out.Flush() != nil || err != nil {
			return
		}
	}
}

type fakeWriter struct {
	id  int
	out *bufio.Writer
}

func (w *fakeWriter) send(tag byte, body ...[]byte) { w.sendWith(nil, tag, body...) }

func (w *fakeWriter) sendWith(controls []byte, tag byte, body ...[]byte) {
	parts := [][]byte{berInt(0x02, w.id), ber(tag, body...)}
	if controls != nil {
		parts = append(parts, ber(0xa0, controls))
	}
	_, _ = w.out.Write(ber(0x30, parts...)) // Flush tells of a broken line
}

func (f *Fake) bind(w *fakeWriter, op tlv) error {
	parts, err := op.children()
	if err != nil || len(parts) < 3 {
		return errBER
	}
	faults := f.note("bind %s", parts[1].text())
	time.Sleep(faults.Delay)
	w.send(0x61, berInt(0x0a, faults.BindCode), berText(""), berText(faults.BindMessage))
	return nil
}
