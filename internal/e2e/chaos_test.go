package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/state"
)

// chaos is how long and how much, as MMSYNC_TEST_CHAOS=10m has it in full and no
// setting in short.
type chaos struct {
	length, strike, every time.Duration // of the whole, between blows, between full runs
	people, perSecond     int
}

func chaosOf(t *testing.T) chaos {
	t.Helper()
	text := os.Getenv("MMSYNC_TEST_CHAOS")
	if text == "" {
		return chaos{length: 40 * time.Second, strike: 8 * time.Second, every: 15 * time.Second, people: 120, perSecond: 20}
	}
	length, err := time.ParseDuration(text)
	require.NoError(t, err)
	return chaos{length: length, strike: 20 * time.Second, every: time.Minute, people: 2000, perSecond: 50}
}

// fleet is three services on one store, of which one is always being struck.
type fleet struct {
	w        *world
	mu       sync.Mutex
	services []*service
	down     []bool // killed or stopped at the moment
	// store is held while the database is away: a service does not start without it, and
	// whoever looks after services starts it again.
	store sync.Mutex
}

// any gives a service that is up.
func (f *fleet) any() *service {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		if i := rand.IntN(len(f.services)); !f.down[i] {
			return f.services[i]
		}
	}
}

func (f *fleet) set(i int, down bool, s *service) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down[i] = down
	if s != nil {
		f.services[i] = s
	}
}

// kill kills any service, and starts another.
func (f *fleet) kill() {
	i := rand.IntN(len(f.services))
	f.set(i, true, nil)
	f.services[i].die()
	f.store.Lock()
	defer f.store.Unlock()
	f.set(i, false, f.w.serve())
}

// stop stops a service for longer than its lease lasts, and tells whether it was one that
// held it.
func (f *fleet) stop(t *testing.T, db state.Store) (held bool) {
	t.Helper()
	i := rand.IntN(len(f.services))
	for until := time.Now().Add(20 * time.Second); !held && time.Now().Before(until); {
		l, ok, err := db.HeldLease(t.Context(), reconcile.LeaseName)
		if err != nil || !ok { // the database may be away
			time.Sleep(time.Millisecond)
			continue
		}
		at := slices.IndexFunc(f.services, func(s *service) bool { return strings.Contains(l.Holder, fmt.Sprintf("/%d/", s.cmd.Process.Pid)) })
		if at < 0 {
			continue
		}
		i = at
		f.set(i, true, nil)
		require.NoError(t, f.services[i].cmd.Process.Signal(syscall.SIGSTOP))
		now, still, err := db.HeldLease(t.Context(), reconcile.LeaseName)
		if held = err == nil && still && now.Token == l.Token; !held { // it had let go of it already
			require.NoError(t, f.services[i].cmd.Process.Signal(syscall.SIGCONT))
			f.set(i, false, nil)
		}
	}
	if !held {
		f.set(i, true, nil)
		require.NoError(t, f.services[i].cmd.Process.Signal(syscall.SIGSTOP))
	}
	time.Sleep(leaseTTL + time.Duration(rand.IntN(3000))*time.Millisecond)
	require.NoError(t, f.services[i].cmd.Process.Signal(syscall.SIGCONT))
	f.set(i, false, nil)
	return held
}

// wish is how somebody was pushed last.
type wish struct {
	id     string
	title  string
	active bool
}

// crowd are the people who are pushed.
type crowd struct {
	f      *fleet
	p      *provider
	wishes []wish
	taken  atomic.Int64 // pushes that were answered 2xx
}

// insist sends a request to one service after the other until it is answered; nil if
// ctx ends before.
func (c *crowd) insist(ctx context.Context, method, path string, body any) *answer {
	for ctx.Err() == nil {
		one := (&provider{t: c.p.t, source: c.p.source, token: c.p.token, http: c.p.http}).to(c.f.any())
		a, err := one.try(method, path, body)
		switch {
		case err == nil && a.status < 500 && a.status != http.StatusTooManyRequests:
			return &a
		default:
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

// change pushes something new of somebody, whom nobody else pushes meanwhile.
func (c *crowd) change(ctx context.Context, n int) error {
	w := &c.wishes[n]
	if w.id == "" {
		a := c.insist(ctx, http.MethodPost, "/Users", employee(n))
		if a == nil {
			return nil
		}
		w.active = true
		if w.id = a.id(); a.status == http.StatusConflict { // the answer of the first was lost
			w.id = c.p.to(c.f.any()).find(n)
		}
		if w.id == "" {
			return fmt.Errorf("p%04d: answered %d %v", n, a.status, a.body)
		}
		c.taken.Add(1)
		return nil
	}
	next := *w
	next.title = fmt.Sprintf("Clerk %d", rand.IntN(1_000_000))
	if rand.IntN(10) == 0 {
		next.active = !w.active
	}
	a := c.insist(ctx, http.MethodPatch, "/Users/"+w.id, object{
		"schemas":    []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
		"Operations": []object{{"op": "replace", "value": object{"title": next.title, "active": next.active}}},
	})
	switch {
	case a == nil:
		return nil
	case !a.ok():
		return fmt.Errorf("p%04d: answered %d %v", n, a.status, a.body)
	}
	*w = next
	c.taken.Add(1)
	return nil
}

// push goes on until ctx ends, with so many a second (0 = as many as can be); each of
// its clients has people of its own, in whose order it pushes.
func (c *crowd) push(ctx context.Context, perSecond int) error {
	const clients = 16
	pause := time.Millisecond
	if perSecond > 0 {
		pause = clients * time.Second / time.Duration(perSecond)
	}
	faults := make([]error, clients)
	side(clients, clients, func(at int) {
		pace := time.NewTicker(pause)
		defer pace.Stop()
		for ctx.Err() == nil && faults[at] == nil {
			n := at + clients*rand.IntN(len(c.wishes)/clients)
			// What was begun is brought to its end: otherwise nobody knows what was wished.
			faults[at] = c.change(context.WithoutCancel(ctx), n)
			select {
			case <-pace.C:
			case <-ctx.Done():
			}
		}
	})
	return errors.Join(faults...)
}

func TestChaos(t *testing.T) {
	t.Parallel()
	slapdtest.Require(t)
	how := chaosOf(t)
	pg := pgtest.Own(t)
	roster := slapdtest.Roster(how.people)
	dir := slapdtest.Start(t, slapdtest.Options{Users: how.people})
	w := newWorld(t, store{"postgres", func(testing.TB, string) string { return pg.URL() }}, settings{
		ldap: dir.URL, scim: []string{"idp"}, inline: "50ms",
		guards:   "{count: 100000, percent: 100}",
		limits:   "  max_updates: {count: 1000000}\n  max_creates: {count: 1000000}\n  max_reactivations: {count: 1000000}\n",
		sections: fmt.Sprintf("schedule: {runs: [{name: full, every: %s}]}\n", how.every),
	})
	w.mmsync("sync", "-q").exits(0)
	began := time.Now()
	w.sim.ResetCalls()
	f := &fleet{w: w, services: []*service{w.serve(), w.serve(), w.serve()}, down: make([]bool, 3)}
	c := &crowd{f: f, p: w.provider("idp"), wishes: make([]wish, how.people)}

	ctx, end := context.WithTimeout(t.Context(), how.length)
	defer end()
	var work sync.WaitGroup
	var pushFault error
	work.Go(func() { pushFault = c.push(ctx, how.perSecond) })
	titles := map[string]string{}
	work.Go(func() { // something for full runs to do
		for i := 0; ctx.Err() == nil; i++ {
			p := roster[rand.IntN(len(roster))]
			if p.Disabled { // he has no account
				p = roster[0]
			}
			titles[p.UID] = fmt.Sprintf("Keeper %d", i)
			dir.Modify(p.DN, "title", titles[p.UID])
			select {
			case <-time.After(how.every):
			case <-ctx.Done():
			}
		}
	})
	work.Go(func() { // the database, twice
		for range 2 {
			select {
			case <-time.After(how.length / 3):
				f.store.Lock()
				pg.Stop()
				time.Sleep(time.Second)
				pg.Start()
				f.store.Unlock()
			case <-ctx.Done():
				return
			}
		}
	})
	db := w.observed()
	blows, holders := 0, 0
	for ; ctx.Err() == nil; blows++ {
		time.Sleep(how.strike)
		if blows%2 == 0 && f.stop(t, db) {
			holders++
		} else if blows%2 == 1 {
			f.kill()
		}
	}
	work.Wait()
	require.NoError(t, pushFault)
	require.Positive(t, holders, "nobody was stopped who had the lease")
	t.Logf("%d blows, %d of them at whoever had the lease, %d pushes taken, %.0f a second", blows, holders, c.taken.Load(), float64(c.taken.Load())/time.Since(began).Seconds())

	ctx, end = context.WithTimeout(t.Context(), 10*time.Second)
	defer end()
	before, from := c.taken.Load(), time.Now()
	require.NoError(t, c.push(ctx, 0))
	t.Logf("as many as can be: %.0f a second", float64(c.taken.Load()-before)/time.Since(from).Seconds())

	w.calm(db, 2*time.Minute)
	for _, s := range f.services {
		s.end()
	}
	w.mmsync("sync", "-q", "--wait-lock", "60s").exits(0)
	c.requireDone(t, w)
	for uid, title := range titles {
		require.Equal(t, title, w.user(uid).Position)
	}
	requireJournal(t, w, began)
	requireFenced(t, w)
	runs, err := db.Runs(t.Context(), state.RunFilter{Kind: "sync", Since: began})
	require.NoError(t, err)
	require.True(t, slices.ContainsFunc(runs, func(r state.Run) bool { return r.RequestedBy == "schedule full" }), "the services made no run by themselves")
	w.quiet()
}

// requireDone fails unless everybody is as he was pushed last.
func (c *crowd) requireDone(t *testing.T, w *world) {
	t.Helper()
	for n, u := range w.pushed(len(c.wishes)) {
		wish := c.wishes[n]
		if wish.id == "" {
			require.Nil(t, u, "p%04d was never pushed", n)
			continue
		}
		if u == nil {
			require.False(t, wish.active, "p%04d has no account", n)
			continue
		}
		require.Equal(t, wish.active, u.Active(), "p%04d", n)
		if wish.active && wish.title != "" {
			require.Equal(t, wish.title, u.Position, "p%04d", n)
		}
	}
}

// requireFenced fails if somebody changed something after another had taken over the
// lease: its token rises with each holding.
func requireFenced(t *testing.T, w *world) {
	t.Helper()
	ops := w.ops(state.OpFilter{})
	ops = slices.DeleteFunc(ops, func(o state.OpRecord) bool { return o.MarkedAt.IsZero() || o.Token == 0 })
	slices.SortFunc(ops, func(a, b state.OpRecord) int { return a.MarkedAt.Compare(b.MarkedAt) })
	last := int64(0)
	begins := map[int64]time.Time{} // when a holder sent its first
	for _, o := range ops {
		require.GreaterOrEqual(t, o.Token, last, "two applied at a time")
		if last = o.Token; begins[last].IsZero() {
			begins[last] = o.MarkedAt
		}
	}
	require.Greater(t, len(begins), 1, "the lease never went to another")
	type sent struct {
		kind, account string
	}
	latest := map[sent]state.OpRecord{}
	tokens := make([]int64, 0, len(begins))
	for token := range begins {
		tokens = append(tokens, token)
	}
	slices.Sort(tokens)
	calls := w.sim.Writes()
	next := 0
	for _, call := range calls {
		for ; next < len(ops) && !ops[next].MarkedAt.After(call.At); next++ {
			latest[sent{string(ops[next].Op.Kind), ops[next].AccountID}] = ops[next]
		}
		kind, id, ok := effect(w, call)
		if !ok {
			continue
		}
		o, ok := latest[sent{string(kind), id}]
		if !ok {
			continue // a new account, whose id the journal did not know yet
		}
		i, _ := slices.BinarySearch(tokens, o.Token)
		if i+1 < len(tokens) {
			require.Falsef(t, call.At.After(begins[tokens[i+1]]), "%s %s was sent by a holder past its lease: op of token %d sent at %s, the next began at %s",
				call.Method, call.Path, o.Token, call.At, begins[tokens[i+1]])
		}
	}
}
