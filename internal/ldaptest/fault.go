package ldaptest

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// Needs says what a fault needs, so that it can show.
type Needs int

// The needs. A fault without one shows in any read of people.
const (
	NeedsNothing Needs = iota
	NeedsPaging        // the read asks for pages, and Entry is not in the last of them
	NeedsTLS           // the line is encrypted
	NeedsRanges        // an entry has more values than Options.ValueRange
	NeedsGroups        // groups are read with their members
	NeedsSync          // the read is by RFC 4533
	NeedsBind          // it shows before anything is read
)

// Fault is one way in which a directory goes wrong.
type Fault struct {
	// Name is short and stays; Says is a sentence for people.
	Name, Says string
	// Silent faults leave an answer that is right by the protocol: only counts, a
	// canary or a look at the single entry can tell that people are missing.
	Silent bool
	// Harmless faults take nothing from a reader who handles them: the set it reads
	// is whole, and a reader may also refuse it.
	Harmless bool
	Needs    Needs

	bind  func(*firing, *result)
	list  func(*firing, []*node) []*node
	entry func(f *firing, hit bool, n *node, list []values) []values
	part  func(f *firing, n *node, name string, part *span, list []string) []string
	page  func(*firing, *page)
	sync  func(*firing, *directory, *syncAnswer)
	// bases lets it show in reads of one entry by name too, unpaged takes the paging
	// control from requests.
	bases, unpaged bool
}

// At is the place where a fault shows. The zero value is the beginning of every
// listing.
type At struct {
	// Listing is which listing since Fail is hit, from 1; 0 is every one. A listing
	// is a search below a base that does not ask for entries by their anchors, with
	// all of its pages.
	Listing int
	// Entry is how many entries of the listing come before. It is taken modulo the
	// length of the listing, so that a random one always hits.
	Entry int
	// Lookups lets the fault hit everything that is searched: reads of single entries,
	// by their names or their anchors, too. Anchors lets it hit those by an anchor alone, so that
	// what a reader asks about the server itself stays answered.
	Lookups, Anchors bool
	// Wait is what slow faults wait for each entry; 0 is 2 ms.
	Wait time.Duration
	// Attribute is what attribute faults take away; empty is mail.
	Attribute string
	// Below is the container that missing-subtree takes away; empty is PeopleDN.
	Below string
}

// Anywhere picks a place by chance in a listing of up to n entries.
func Anywhere(r *rand.Rand, n int) At { return At{Entry: r.IntN(max(1, n))} }

// FaultNamed gives the fault of a name; there has to be one.
func FaultNamed(t testing.TB, name string) Fault {
	t.Helper()
	list := Faults()
	i := slices.IndexFunc(list, func(f Fault) bool { return f.Name == name })
	if i < 0 {
		t.Fatalf("ldaptest: there is no fault %s", name)
	}
	return list[i]
}

// firing is a fault at work.
type firing struct {
	fault  Fault
	at     At
	s      *Server
	seen   int // listings so far
	struck atomic.Int64
}

// Fail makes the server go wrong from now on, instead of how it went wrong before.
func (s *Server) Fail(f Fault, at At) {
	if at.Wait == 0 {
		at.Wait = 2 * time.Millisecond
	}
	if at.Attribute == "" {
		at.Attribute = "mail"
	}
	if at.Below == "" {
		at.Below = s.Kind.PeopleDN()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = &firing{fault: f, at: at, s: s}
}

// Heal ends the fault. Listings that have begun keep it.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = nil
}

// Struck counts how often the present fault has shown, so that a test of it cannot
// pass because it never did.
func (s *Server) Struck() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == nil {
		return 0
	}
	return int(s.fault.struck.Load())
}

func (f *firing) strike() { f.struck.Add(1) }

// moment is when a fault may show.
type moment int

const (
	atBind moment = iota
	atBase
	atLookup
	atListing
)

func whenOf(d *directory, q request) moment {
	switch {
	case q.scope == scopeBase:
		return atBase
	case d.lookup(q.filter):
		return atLookup
	}
	return atListing
}

// firingFor gives the fault that shows at a moment, or nil.
func (s *Server) firingFor(m moment) *firing {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.fault
	switch {
	case f == nil:
		return nil
	case m == atBind:
		return f
	case m == atListing:
		f.seen++
		if f.at.Listing != 0 && f.at.Listing != f.seen {
			return nil
		}
		return f
	case f.at.Lookups, m == atLookup && f.at.Anchors, m == atBase && f.fault.bases:
		return f
	}
	return nil
}

// entry is the place in a listing of a length.
func (f *firing) entry(total int) int { return f.at.Entry % max(1, total) }

// here gives the index in p.sent of the message before which the fault shows, and
// whether it shows in this page at all.
func (f *firing) here(p *page) (int, bool) {
	want := f.entry(p.total) - p.first
	if want < 0 {
		return 0, false
	}
	for i, m := range p.sent {
		if !m.entry {
			continue
		}
		if want == 0 {
			f.strike()
			return i, true
		}
		want--
	}
	if p.total == 0 && p.first == 0 { // nobody was found: it shows at the end
		f.strike()
		return len(p.sent), true
	}
	return 0, false
}

// stop ends an answer at the place of the fault.
func (f *firing) stop(p *page) bool {
	i, ok := f.here(p)
	if ok {
		p.sent = p.sent[:i]
		p.paged, p.cookie = false, ""
	}
	return ok
}

// more tells whether this page is the place of a fault that needs another page
// behind it: the one that holds the place, or the last but one.
func (f *firing) more(p *page) bool {
	if p.cookie == "" {
		return false
	}
	n := 0
	for _, m := range p.sent {
		if m.entry {
			n++
		}
	}
	at := f.entry(p.total)
	if at < p.first || at >= p.first+n && p.total-p.first-n > n {
		return false
	}
	f.strike()
	return true
}

// hit tells whether the entry of a number is at the place.
func (f *firing) hit(index, total int) bool { return index == f.entry(total) }
