package e2e_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

// TestDirectoryFaults lets a directory go wrong in each way that package ldaptest knows,
// and in those of a line that ends after so many bytes, each at 20 random places, while
// somebody leaves, somebody comes and somebody changes; with missing: 0s and no limit on
// deactivations or on how far a directory may shrink. Nobody who is there may be switched off, by whatever a directory says,
// and once it is well again the next run has to leave everything as it should be: the
// leaver off, so that the test can fail in both directions.
//
// In each manner of reading it is one world, in which one fault follows the other. The
// seed says where they show: MMSYNC_TEST_SEED=N takes another one, and with
// MMSYNC_TEST_EVERY each fault has its 20 places instead of 2, which takes minutes.
func TestDirectoryFaults(t *testing.T) {
	t.Parallel()
	rounds, seed := 2, uint64(1)
	if os.Getenv("MMSYNC_TEST_EVERY") != "" {
		rounds = 20
	}
	if text := os.Getenv("MMSYNC_TEST_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	list := mishaps(t)
	require.GreaterOrEqual(t, len(list), 25)
	due := make([][]mishap, len(manners()))
	for i, m := range list {
		var fit []int
		for n, r := range manners() {
			if m.shows(r) {
				fit = append(fit, n)
			}
		}
		require.NotEmpty(t, fit, "%s shows in no manner of reading", m.name())
		for k := range rounds {
			n := fit[(i+k)%len(fit)]
			due[n] = append(due[n], m)
		}
	}
	var all struct {
		sync.Mutex
		rounds, runs, leavers, wrong int
	}
	t.Cleanup(func() {
		t.Logf("seed %d: %d kinds of fault, %d rounds, %d runs at a faulty directory: %d leavers switched off, %d others", seed, len(list), all.rounds, all.runs, all.leavers, all.wrong)
	})
	for n, r := range manners() {
		t.Run(r.name(), func(t *testing.T) {
			t.Parallel()
			w := newFaultyWorld(t, r, rand.New(rand.NewPCG(seed, uint64(n)))) //nolint:gosec // repeatable
			defer func() {
				all.Lock()
				defer all.Unlock()
				all.rounds, all.runs, all.leavers, all.wrong = all.rounds+w.rounds, all.runs+w.runs, all.leavers+len(w.left), all.wrong+len(w.wrong)
			}()
			w.r.Shuffle(len(due[n]), func(i, j int) { due[n][i], due[n][j] = due[n][j], due[n][i] })
			for _, m := range due[n] {
				w.round(m)
			}
			require.Empty(t, w.wrong, "these were switched off by mistake")
		})
	}
}

// manners are the ways in which directories are read here.
func manners() []reading {
	const ad = ldaptest.ActiveDirectory
	return []reading{
		{kind: ad, delta: ldap.DeltaUSN, membership: "memberOf"},
		{kind: ad, delta: ldap.DeltaDirSync, membership: "member", nested: "walk"},
		{kind: ad, delta: ldap.DeltaUSN, membership: "member", nested: "walk", url: "ldaps"},
		{kind: ldaptest.OpenLDAP, delta: ldap.DeltaTimestamp, membership: "member"},
		{kind: ldaptest.OpenLDAP, delta: ldap.DeltaSyncrepl, membership: "memberOf"},
		{kind: ldaptest.DS389, delta: ldap.DeltaTimestamp, membership: "memberOf"},
		{kind: ldaptest.DS389, delta: ldap.DeltaSyncrepl, membership: "member"},
		{kind: ad, delta: ldap.DeltaUSN, membership: "memberOf", other: lagging},
		{kind: ldaptest.OpenLDAP, delta: ldap.DeltaSyncrepl, membership: "memberOf", other: lagging},
	}
}

// lagging asks for a second server that may lag behind the first.
const lagging = "lagging"

func (r reading) name() string {
	return strings.Trim(strings.Join([]string{r.kind.String(), r.delta, r.membership, r.nested, r.url, r.other}, " "), " ")
}

// mishap is one kind of fault: of the server, or of the line to it.
type mishap struct {
	fault ldaptest.Fault
	line  string // "cut", "silent", or "behind": it is dead, and a server answers that lags behind
}

func mishaps(t *testing.T) []mishap {
	t.Helper()
	list := []mishap{{line: "cut"}, {line: "silent"}, {line: "behind"}}
	for _, f := range ldaptest.Faults() {
		list = append(list, mishap{fault: f})
	}
	return list
}

func (m mishap) name() string {
	if m.line != "" {
		return "line-" + m.line
	}
	return m.fault.Name
}

// shows tells whether a fault can show in a manner of reading.
func (m mishap) shows(r reading) bool {
	if m.line == "behind" || r.other != "" { // after which the first server is tried last for minutes
		return m.line == "behind" && r.other != ""
	}
	switch m.fault.Needs {
	case ldaptest.NeedsTLS:
		return r.url == "ldaps"
	case ldaptest.NeedsRanges:
		return r.kind == ldaptest.ActiveDirectory && r.nested == "walk"
	case ldaptest.NeedsGroups:
		return r.membership == "member"
	case ldaptest.NeedsSync:
		return r.delta == ldap.DeltaSyncrepl
	case ldaptest.NeedsNothing, ldaptest.NeedsPaging, ldaptest.NeedsBind:
	}
	return true
}

// faultyWorld is a company whose directory goes wrong again and again.
type faultyWorld struct {
	*world
	d       *daemon.Daemon
	srv     *ldaptest.Server
	line    *slapdtest.Proxy
	other   *ldaptest.Server // lags behind; nil if there is none
	reading reading
	r       *rand.Rand
	staff   []slapdtest.Person // who is there; the first are admins
	coming  []slapdtest.Person
	left    map[string]bool // by username
	wrong   []string
	rounds  int
	runs    int
}

// perPage makes three pages of the people that a faultyWorld has, and atOnce several
// parts of the list of its admins.
const (
	perPage = 20
	admins  = 5
	atOnce  = 2
)

func newFaultyWorld(t *testing.T, r reading, by *rand.Rand) *faultyWorld {
	t.Helper()
	const people = 60
	w := &faultyWorld{
		reading: r, r: by, left: map[string]bool{},
		srv: ldaptest.Start(t, ldaptest.Options{Kind: r.kind, People: people, ValueRange: atOnce, NoTLS: r.url == ""}),
	}
	w.srv.Add(ldaptest.Entry{DN: w.away(), Attributes: map[string][]string{"objectClass": {"organizationalUnit"}}})
	for _, p := range slapdtest.Roster(admins)[2:] { // the first two are
		w.srv.AddValues(r.kind.GroupDN("chat-admins"), "member", r.kind.DN(p))
	}
	url := w.srv.URL
	if r.url == "ldaps" {
		url, r.caFile = "ldap"+strings.TrimPrefix(w.srv.TLSURL, "ldaps"), w.srv.CAFile
	}
	w.line = slapdtest.NewProxy(t, url)
	r.url = cmp.Or(r.url, "ldap") + strings.TrimPrefix(w.line.URL, "ldap")
	if r.other == lagging {
		w.other = w.srv.Behind()
		r.other = w.other.URL
	}
	r.page, r.patience = perPage, "1s"
	w.world, w.d = newDirectoryWorld(t, r)
	for i, p := range slapdtest.Roster(people + 1000) {
		switch {
		case p.Disabled && i < people:
			w.srv.Delete(r.kind.DN(p)) // those who are there are to be in
		case p.Disabled:
		case i < people:
			w.staff = append(w.staff, p)
		default:
			w.coming = append(w.coming, p)
		}
	}
	if w.other != nil {
		w.other.CatchUp()
	}
	w.settle("at first")
	w.settle("looking once more at those whom it made")
	return w
}

func (w *faultyWorld) away() string { return "OU=Away," + w.reading.kind.BaseDN() }

// round is one fault at one place, and the day that goes on meanwhile.
func (w *faultyWorld) round(m mishap) {
	w.t.Helper()
	w.rounds++
	did := w.live()
	at := w.place(m)
	story := fmt.Sprintf("round %d, %s at %+v, while %s", w.rounds, m.name(), at, did)
	w.sim.ResetCalls()
	sync := m.fault.Needs == ldaptest.NeedsSync // shows in runs of changes alone
	shown := w.under(m, at, sync || w.r.IntN(3) > 0)
	if !shown || w.r.IntN(2) == 0 {
		at.Listing = 0
		again := w.under(m, at, sync)
		require.True(w.t, shown || again, "the fault did not show: %s", story)
	}
	w.judge(story)
	w.srv.Heal()
	w.line.CutAfter(0)
	if w.other != nil {
		w.other.CatchUp()
	}
	w.settle(story)
	w.judge(story)
}

// live makes somebody leave, somebody come, and somebody change, and says so.
func (w *faultyWorld) live() string {
	k := w.reading.kind
	i := admins + w.r.IntN(len(w.staff)-admins)
	gone := w.staff[i]
	w.staff = slices.Delete(w.staff, i, i+1)
	w.left[gone.UID] = true
	how := "deleted"
	switch w.r.IntN(4) {
	case 0:
		how = "disabled"
		if k == ldaptest.ActiveDirectory {
			w.srv.Modify(k.DN(gone), "userAccountControl", "514")
		} else {
			w.srv.Modify(k.DN(gone), "employeeType", "disabled")
		}
	case 1:
		how = "moved away"
		rdn, _, _ := strings.Cut(k.DN(gone), ",")
		w.srv.Rename(k.DN(gone), rdn+","+w.away())
	default:
		w.srv.Delete(k.DN(gone))
	}
	come := w.coming[0]
	w.coming = w.coming[1:]
	w.srv.Add(k.Person(come))
	w.srv.AddValues(k.GroupDN("everyone"), "member", k.DN(come))
	w.staff = append(w.staff, come)
	p := &w.staff[w.r.IntN(len(w.staff)-1)]
	p.Title = fmt.Sprintf("Title %d", w.rounds)
	w.srv.Modify(k.DN(*p), "title", p.Title)
	return fmt.Sprintf("%s was %s, %s came and %s was promoted", gone.UID, how, come.UID, p.UID)
}

// place is where a fault shows. One that leaves an answer right by the protocol spares
// the look at single entries: nothing tells somebody who is hidden everywhere from
// somebody who is gone.
func (w *faultyWorld) place(m mishap) ldaptest.At {
	at := ldaptest.Anywhere(w.r, 4*len(w.staff))
	at.Wait = 100_000 // 0.1 ms
	if at.Listing = w.r.IntN(8) - 4; at.Listing < 0 || m.fault.Needs == ldaptest.NeedsSync {
		at.Listing = 0
	}
	if reach := w.r.IntN(5); !m.fault.Silent {
		at.Lookups, at.Anchors = reach == 0, reach < 3
	}
	names := []string{"mail", "title", "sn"}
	if w.reading.kind == ldaptest.ActiveDirectory {
		names = append(names, "userAccountControl", "sAMAccountName", "primaryGroupID")
	} else {
		names = append(names, "uid")
	}
	at.Attribute = names[w.r.IntN(len(names))]
	return at
}

// under makes a run while a fault shows, and tells whether it did.
func (w *faultyWorld) under(m mishap, at ldaptest.At, changes bool) bool {
	w.t.Helper()
	w.runs++
	if m.line == "behind" {
		return w.fallBehind(changes)
	}
	if m.line != "" {
		n := int64(1 + w.r.IntN(20_000))
		if w.line.CutAfter(n); m.line == "silent" {
			w.line.HangAfter(n)
		}
		rep, err := synced(w.t, w.d, changes)
		return err != nil || len(rep.Problems) > 0 || slices.ContainsFunc(rep.Plan.Sources, incomplete)
	}
	if m.fault.Name == "sync-present-short" {
		w.srv.LoseSessionLog()
	}
	w.srv.Fail(m.fault, at)
	_, _ = synced(w.t, w.d, changes) // a run may fail; what it did is what counts
	return w.srv.Struck() > 0
}

// fallBehind makes two runs: one at servers that are well, and one at a server that does
// not know of what happened since the round began, while the other is dead.
func (w *faultyWorld) fallBehind(changes bool) bool {
	w.t.Helper()
	w.line.CutAfter(0)
	w.other.CatchUp()
	_, err := synced(w.t, w.d, w.r.IntN(2) == 0)
	require.NoError(w.t, err)
	w.other.FallBack()
	w.line.CutAfter(1)
	before := len(w.other.Calls())
	_, _ = synced(w.t, w.d, changes) // as in under
	return len(w.other.Calls()) > before
}

// judge looks for those who were switched off though they are there.
func (w *faultyWorld) judge(story string) {
	w.t.Helper()
	for _, c := range w.sim.Writes() {
		id := strings.TrimSuffix(strings.TrimPrefix(c.Path, "/api/v4/users/"), "/active")
		off := c.Method == http.MethodDelete || strings.HasSuffix(c.Path, "/active") && bytes.Contains(c.Body, []byte("false"))
		if u, ok := w.sim.User(id); off && (!ok || !w.left[u.Username]) {
			w.wrong = append(w.wrong, u.Username+": "+story)
		}
	}
	w.sim.ResetCalls()
}

// settle makes a run at a directory that is well, after which all has to be as it says.
// On a machine with much to do the directory may take longer than it may, once or twice.
func (w *faultyWorld) settle(story string) {
	w.t.Helper()
	rep, err := synced(w.t, w.d, false)
	for range 2 {
		if err == nil && !slices.ContainsFunc(rep.Plan.Sources, incomplete) {
			break
		}
		rep, err = synced(w.t, w.d, false)
	}
	require.NoError(w.t, err, story)
	if len(rep.Failures)+len(rep.Problems) > 0 || rep.Plan.Count(plan.Hold) > 0 {
		story += fmt.Sprintf("; then %v %v\n%s", rep.Problems, rep.Failures, planText(w.t, rep.Plan))
	}
	k := w.reading.kind
	for i, p := range w.staff {
		u := w.user(p.UID)
		require.Equal(w.t, p.Title, u.Position, "%s: %s", p.UID, story)
		require.True(w.t, u.Active(), "%s: %s", p.UID, story)
		require.Equal(w.t, i < admins, strings.Contains(u.Roles, "system_admin"), "%s in %s: %s", p.UID, k.GroupDN("chat-admins"), story)
	}
	for uid := range w.left {
		require.False(w.t, w.user(uid).Active(), "%s is gone: %s", uid, story)
	}
}

func incomplete(s plan.SourceSummary) bool { return !s.Complete }

// TestDirectoryFaults_hidden hides people from every question, as a change of access
// rights does: no look at single entries can tell, and their number has to.
func TestDirectoryFaults_hidden(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"half", "missing-subtree"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := manners()[0]
			r.least = 80                                           // as by default
			w := newFaultyWorld(t, r, rand.New(rand.NewPCG(1, 1))) //nolint:gosec // repeatable
			inner := "OU=Inner," + w.reading.kind.PeopleDN()
			w.srv.Add(ldaptest.Entry{DN: inner, Attributes: map[string][]string{"objectClass": {"organizationalUnit"}}})
			did := w.live()
			for _, p := range w.staff[10:40] {
				w.srv.Rename(w.reading.kind.DN(p), "CN="+p.UID+","+inner)
			}
			w.srv.Fail(ldaptest.FaultNamed(t, name), ldaptest.At{Lookups: true, Below: inner})
			for range 3 {
				_, err := synced(t, w.d, false)
				require.NoError(t, err)
			}
			require.Positive(t, w.srv.Struck())
			w.judge(name + ", while " + did)
			require.Empty(t, w.wrong, "these were switched off by mistake")
			w.srv.Heal()
			w.settle(did)
		})
	}
}
