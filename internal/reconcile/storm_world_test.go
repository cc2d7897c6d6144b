package reconcile_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
	"github.com/mmsync/mmsync/internal/state/sqlite"
)

// storm is one made-up world: a company and its directory, a server with a life
// of its own, a store, and everything that goes wrong between them. It keeps book
// of what it did itself and of what mmsync did, and holds the two apart.
type storm struct {
	t     *testing.T
	seed  uint64
	r     *rand.Rand // for what is done by one goroutine, in order
	more  *rand.Rand // the same, for places, guests and second sources
	rules rules
	sim   *mmsim.Server
	db    *sqlite.Store
	seen  *tally

	people map[identity.Key]*entry
	nextID int
	names  int

	mine        map[string]mmsim.User // accounts that are not mmsync's, as this test left them
	untouchable map[string]string     // account ids that nobody may change, and why
	protect     []string              // patterns in the configuration
	tokens      map[string]string     // account -> a token of its owner, who saves his own profile
	backups     []backup
	offset      time.Duration // of the server's clock; book.mu guards it
	slow        bool          // the calm after the storm goes by the day
	runs        int
	poor        int            // for how many runs more answers lack an account
	lost        string         // the account that they lack
	flights     sync.WaitGroup // calls on their way, saves by people
	places      places
	guestsOn    bool // the server's guest feature; book.mu guards it

	book book
}

// book is what happened, by whoever did it. Several goroutines write it.
type book struct {
	mu       sync.Mutex
	wr       *rand.Rand
	story    []string
	broken   []string
	ops      map[state.OpRef]*opNote
	owner    map[string]identity.Key
	made     map[string]identity.Key // accounts that mmsync created, for whom
	flying   map[string]string       // account or wanted name -> the write that is on its way
	attempts []*attempt
	ourOff   map[string]map[int64]bool // account -> the delete_at of mmsync's calls
	touched  map[string]time.Time      // account -> when somebody else changed or removed it
	missed   map[identity.Key]time.Time
	sized    map[string]bool // sources of which a good read is known
	setBack  bool            // the server lost something that mmsync wrote
	restored time.Time
	undated  map[string]bool           // accounts whose last switching off is dated by a clock set meanwhile
	newest   map[string]int64          // account -> update_at after mmsync's last effective write
	demoted  map[string]bool           // accounts that mmsync made guests
	adds     map[string][]identity.Key // account -> who contributes to it
	word     map[identity.Key]bool     // contributors who were heard to have the person, and not to lack him since
}

// opNote is one op of the journal as the store was told.
type opNote struct {
	key     identity.Key
	account string
	op      plan.Op
	run     *stormRun
	sent    bool
	status  state.OpStatus
}

// attempt is one write of mmsync that left.
type attempt struct {
	ref       state.OpRef
	account   string
	kind      plan.OpKind
	at        time.Time
	run       *stormRun
	effective bool
	space     string // the team or channel
	in, admin bool   // somebody's place there before
	raced     bool
	late      bool
	offset    time.Duration // of the server's clock when it left
	stepped   bool          // it was set before the call arrived
}

type backup struct {
	state       mmsim.State
	mine        map[string]mmsim.User
	untouchable map[string]string
}

// rules are what the operator of this world configured.
type rules struct {
	profile                                  mmsim.Profile
	workers                                  int
	adopt, recreate, changeAuth, revoke, del bool
	grace                                    plan.Grace
	lookAgain                                time.Duration
	tight                                    bool // a low limit of deactivations while it storms
	sources                                  []string
	guests, several, handsOver               bool
	guestLost                                plan.Lost
	loginOff                                 string // a login service that the server does not have
}

// entry is one person of a directory.
type entry struct {
	key            identity.Key
	listed, active bool
	user, mail     string
	title, first   string
	auth           identity.Auth
	admin          bool
	fault          string
	garbled        bool // listed, but without a usable id
	adds           bool // of a source that only adds to accounts of others
	number         string
	guest          bool
	places         map[string]bool // where he is wanted, and whether as administrator
	gone           identity.Presence
}

func (e *entry) ref() string { return "uid=" + e.key.Anchor + ",dc=" + e.key.Source }

func (e *entry) String() string {
	s := fmt.Sprintf("%s %s <%s> %q", e.key, e.user, e.mail, e.title)
	for what, is := range map[string]bool{"admin": e.admin, "guest": e.guest, "inactive": !e.active, "unlisted": !e.listed, "garbled": e.garbled, "fault": e.fault != ""} {
		if is {
			s += " " + what
		}
	}
	if !e.auth.IsZero() {
		s += " " + e.auth.Service + ":" + e.auth.Data
	}
	if len(e.places) > 0 {
		s += fmt.Sprint(" ", e.places)
	}
	return s
}

func (e *entry) identity() identity.Identity {
	id := identity.Identity{Key: e.key, Ref: e.ref(), Active: e.active, MatchKey: e.number}
	if e.adds {
		id.Profile.Position, id.Owned = e.title, identity.AttributesOf(identity.Position)
	} else if e.fault != "" {
		id.Fault = e.fault
	} else {
		id.Profile = identity.Profile{Username: e.user, Email: e.mail, Position: e.title, FirstName: e.first}
		id.Owned = identity.AttributesOf(identity.Username, identity.Email, identity.Position, identity.FirstName)
		id.Auth = e.auth
		id.Memberships = e.memberships()
		if e.guest {
			id.Roles = identity.NewRoles(identity.RoleGuest)
		} else if e.admin {
			id.Roles = identity.NewRoles(identity.RoleAdmin)
		}
	}
	id.Hash = fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%t %+v %v %v %q %v", e.active, id.Profile, id.Roles, id.Auth, e.fault, id.Memberships)))
	return id
}

// readKind is how a directory answers in one run.
type readKind string

const (
	readWhole  readKind = "whole"
	readCut    readKind = "incomplete" // some are missing, and whoever is asked for is "gone"
	readFails  readKind = "failing"
	readShrunk readKind = "shrunken" // "complete", most are missing, and "gone" when asked for
	readLacks  readKind = "lacking"  // "complete", one or two are missing, and there when asked for
	readDumb   readKind = "silent"   // like that, and nobody can be asked for
)

// reading is what a directory said in one run.
type reading struct {
	complete bool
	shrunk   bool
	listed   map[identity.Key]bool // -> active
	present  map[identity.Key]bool // listed, readable or not
	truth    map[identity.Key]bool // really in the directory, -> active
	answers  map[string]identity.Presence
}

// stormRun is one run of one process.
type stormRun struct {
	name    string
	crash   *crash
	kinds   map[string]readKind
	reads   map[string]*reading
	late    float64 // share of writes that arrive late
	forget  float64 // share of answers about ids that lack one
	savers  map[string]bool
	saved   map[string]bool
	parted  bool // from the store, as far as the lease goes
	slow    time.Duration
	began   bool
	setBack bool
	refused bool // a run that must not write at all
	edited  map[string]bool
	cutOff  map[string]bool // accounts switched off with effect in this run
	born    map[string]bool // accounts made with effect in this run
	lagged  bool            // reads by id may show what was
	middle  func()          // happens once, when a plan is journaled
}

// register is a directory as one run reads it.
type register struct {
	s    *storm
	run  *stormRun
	name string
}

func (d register) Name() string { return d.name }

func (d register) Snapshot(_ context.Context, known func(identity.Identity) bool) (identity.Snapshot, error) {
	s := d.s
	s.book.mu.Lock() // several sources are read at once
	defer s.book.mu.Unlock()
	kind := d.run.kinds[d.name]
	snap := identity.Snapshot{Source: d.name, Directory: "dc=" + d.name, ReadAt: time.Now(), Complete: true}
	read := &reading{complete: true, listed: map[identity.Key]bool{}, present: map[identity.Key]bool{}, truth: map[identity.Key]bool{}, answers: map[string]identity.Presence{}}
	if kind == readFails {
		return snap, errors.New("the directory does not answer")
	}
	if kind == readShrunk && !s.book.sized[d.name] {
		kind = readCut // without anything to compare it with nobody could tell
	}
	d.run.kinds[d.name] = kind
	keys := s.listed(d.name)
	drop := map[identity.Key]bool{}
	lack := func(n int) {
		for _, i := range s.book.wr.Perm(len(keys))[:min(n, len(keys))] {
			drop[keys[i]] = true
		}
	}
	switch kind {
	case readCut:
		lack(1 + s.book.wr.IntN(len(keys)+1))
		snap.Complete, read.complete, snap.Incomplete = false, false, "the connection was lost on page 2"
	case readShrunk:
		lack(len(keys)*2/3 + 1)
		read.shrunk = true
	case readLacks, readDumb:
		lack(1 + s.book.wr.IntN(2))
	default:
	}
	for _, k := range keys {
		e := s.people[k]
		read.truth[k] = e.active
		if drop[k] {
			continue
		}
		snap.Entries++
		read.present[k] = true
		if e.garbled {
			snap.Unreadable = append(snap.Unreadable, identity.Problem{Ref: e.ref(), Message: "the id cannot be read"})
			continue
		}
		if read.listed[k] = e.active; !e.active {
			delete(s.book.word, k)
		}
		s.unwish(k, e)
		if id := e.identity(); known == nil || !known(id) {
			snap.Identities = append(snap.Identities, id)
		}
	}
	d.run.reads[d.name] = read
	return snap, nil
}

func (d register) Confirm(_ context.Context, anchors []string) (map[string]identity.Presence, error) {
	s := d.s
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	out := map[string]identity.Presence{}
	for _, a := range anchors {
		e := s.people[identity.Key{Source: d.name, Anchor: a}]
		switch kind := d.run.kinds[d.name]; {
		case kind == readDumb:
		case kind == readCut || kind == readShrunk:
			out[a] = identity.PresenceGone
		case e != nil && e.listed:
			out[a] = identity.PresencePresent
		case e == nil:
			out[a] = identity.PresenceGone
		default:
			out[a] = e.gone
		}
		d.run.reads[d.name].answers[a] = out[a]
		if read := d.run.reads[d.name]; read.complete && !read.shrunk && (out[a] == identity.PresenceGone || out[a] == identity.PresenceOutOfScope) {
			delete(s.book.word, identity.Key{Source: d.name, Anchor: a})
		}
	}
	return out, nil
}

// listed gives the Keys of a source that are really in it, ordered.
func (s *storm) listed(source string) []identity.Key {
	var out []identity.Key
	for k, e := range s.people {
		if k.Source == source && e.listed {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, identity.Key.Compare)
	return out
}

func (s *storm) keys() []identity.Key {
	return slices.SortedFunc(maps.Keys(s.people), identity.Key.Compare)
}

func (s *storm) tell(format string, args ...any) {
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	s.book.tell(format, args...)
}

func (b *book) tell(format string, args ...any) {
	b.story = append(b.story, time.Now().UTC().Format("02 15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// wrong notes a broken rule; the first ones are what is reported.
func (s *storm) wrong(format string, args ...any) {
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	s.book.wrong(format, args...)
}

func (b *book) wrong(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	b.broken = append(b.broken, text)
	b.tell("!!! %s", text)
}

func (s *storm) chance(percent int) bool { return s.r.IntN(100) < percent }

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func (s *storm) newRun(name string) *stormRun {
	return &stormRun{
		name: name, crash: &crash{at: -1}, kinds: map[string]readKind{}, reads: map[string]*reading{}, savers: map[string]bool{},
		saved: map[string]bool{}, edited: map[string]bool{}, cutOff: map[string]bool{}, born: map[string]bool{}, setBack: s.book.setBack,
	}
}

// behind makes one request at the server that is not mmsync's.
func (s *storm) behind(r *http.Request) (status int) {
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // net/http compares it so too
			panic(p)
		}
	}()
	w := &answerBuffer{header: http.Header{}}
	s.sim.ServeHTTP(w, r)
	return w.status
}
