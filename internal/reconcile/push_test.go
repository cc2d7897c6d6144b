package reconcile_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// client is a source whose people are pushed.
type client struct {
	mu     sync.Mutex
	people map[string]identity.Identity
}

func newClient() *client { return &client{people: map[string]identity.Identity{}} }

func (c *client) Name() string { return "idp" }

func (c *client) Snapshot(_ context.Context, known func(identity.Identity) bool) (identity.Snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := identity.Snapshot{Source: "idp", Complete: true, Entries: len(c.people), ReadAt: time.Now()}
	for _, k := range slices.Sorted(maps.Keys(c.people)) {
		if known == nil || !known(c.people[k]) {
			s.Identities = append(s.Identities, c.people[k])
		}
	}
	return s, nil
}

func (c *client) Confirm(context.Context, []string) (map[string]identity.Presence, error) {
	return map[string]identity.Presence{}, nil
}

func (c *client) Wanted(_ context.Context, anchors []string) ([]identity.Identity, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []identity.Identity
	for _, a := range anchors {
		if id, found := c.people[a]; found {
			out = append(out, id)
		}
	}
	return out, nil
}

// pusher is a service with one such source.
type pusher struct {
	t      testing.TB
	w      *world
	store  state.Store
	client *client
	engine *reconcile.Engine
	ctx    context.Context //nolint:containedctx // it lives as long as the service
	stop   func()
}

func (w *world) service(c *client, with wiring) *pusher {
	w.t.Helper()
	p := &pusher{t: w.t, w: w, client: c, store: w.store()}
	change := with.change
	with.change = func(o *reconcile.Options) {
		o.Sources, o.Holder = []reconcile.Source{c}, ""
		if change != nil {
			change(o)
		}
	}
	p.engine = w.engine(p.store, nil, with)
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- p.engine.ServePushes(ctx) }()
	p.ctx = ctx
	p.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(w.t, <-done)
		require.NoError(w.t, p.store.Close())
	})
	w.t.Cleanup(p.stop)
	return p
}

func pushedID(n int, change func(*identity.Identity)) identity.Identity {
	name := fmt.Sprintf("p%04d", n)
	id := identity.Identity{
		Key: identity.Key{Source: "idp", Anchor: fmt.Sprintf("id-%04d", n)}, Active: true,
		Owned:   identity.AttributesOf(identity.Username, identity.Email, identity.Position),
		Profile: identity.Profile{Username: name, Email: name + "@example.test"},
	}
	if change != nil {
		change(&id)
	}
	id.Hash = fmt.Sprintf("%+v", id)
	return id
}

func leaver(id *identity.Identity) { id.Active = false }

func titled(s string) func(*identity.Identity) {
	return func(id *identity.Identity) { id.Profile.Position = s }
}

// keep stores a change without waiting for anything.
func (p *pusher) keep(ids ...identity.Identity) {
	p.t.Helper()
	var marks []state.DueMark
	p.client.mu.Lock()
	for _, id := range ids {
		p.client.people[id.Key.Anchor] = id
		marks = append(marks, state.DueMark{Key: id.Key, Leaver: !id.Active})
	}
	p.client.mu.Unlock()
	require.NoError(p.t, p.store.MarkDue(context.WithoutCancel(p.t.Context()), marks))
	p.engine.Poke()
}

// push stores a change and waits for it.
func (p *pusher) push(id identity.Identity) {
	p.t.Helper()
	p.keep(id)
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(p.t, p.engine.Push(ctx, id.Key))
}

// calm waits until nobody is due any more.
func (p *pusher) calm() {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		n, _, err := p.store.CountDue(context.WithoutCancel(p.t.Context()))
		return err == nil && n == 0
	}, 10*time.Minute, 10*time.Millisecond)
}

func (p *pusher) account(n int) (mmsim.User, bool) {
	name := fmt.Sprintf("p%04d", n)
	for _, u := range p.w.sim.Users() {
		if u.Username == name {
			return u, true
		}
	}
	return mmsim.User{}, false
}

func (p *pusher) active() int {
	n := 0
	for _, u := range p.w.sim.Users() {
		if u.DeleteAt == 0 && len(u.Username) == 5 && u.Username[0] == 'p' {
			n++
		}
	}
	return n
}

func TestEngine_Push(t *testing.T) {
	t.Parallel()
	t.Run("a person is created, changed, switched off and on at once, and explained afterwards", func(t *testing.T) {
		t.Parallel()
		p := newWorld(t).service(newClient(), wiring{})
		p.push(pushedID(1, nil))
		u, found := p.account(1)
		require.True(t, found)
		require.Zero(t, u.DeleteAt)
		p.push(pushedID(1, titled("Pilot")))
		u, _ = p.account(1)
		require.Equal(t, "Pilot", u.Position)
		p.push(pushedID(1, leaver))
		u, _ = p.account(1)
		require.NotZero(t, u.DeleteAt)
		require.Empty(t, u.Position, "what else the same push wants follows at once")
		p.push(pushedID(1, nil))
		u, _ = p.account(1)
		require.Zero(t, u.DeleteAt, "mmsync switched it off itself, so it may switch it on")
		runs, err := p.store.Runs(t.Context(), state.RunFilter{Kind: "push"})
		require.NoError(t, err)
		require.Len(t, runs, 5)
		for _, r := range runs {
			require.Equal(t, state.RunDone, r.Status)
		}
	})
	t.Run("what changes nothing leaves no run", func(t *testing.T) {
		t.Parallel()
		p := newWorld(t).service(newClient(), wiring{})
		p.push(pushedID(1, nil))
		p.push(pushedID(1, nil))
		runs, err := p.store.Runs(t.Context(), state.RunFilter{Kind: "push"})
		require.NoError(t, err)
		require.Len(t, runs, 1)
		p.calm()
	})
	t.Run("pushes one by one never pass the limit, not in two days, and what is held waits for a word, which lets exactly that through", func(t *testing.T) {
		t.Parallel()
		people := 200
		if n, err := strconv.Atoi(os.Getenv("MMSYNC_TEST_LEAVERS")); err == nil {
			people = n
		}
		w := newWorld(t)
		allow := func(o *reconcile.Options) {
			o.Limits.Deactivations, o.Limits.Creates = guard.Limit{Count: 50}, guard.Limit{Count: people}
		}
		p := w.service(newClient(), w.on(0, allow))
		everybody := func(change func(*identity.Identity)) {
			for n := range people {
				p.keep(pushedID(n, change))
			}
			p.calm()
		}
		everybody(nil)
		require.Equal(t, people, p.active())
		everybody(leaver)
		require.Equal(t, people-50, p.active())
		for _, by := range []time.Duration{0, 24 * time.Hour, 49 * time.Hour} { // said again, and much later
			p.stop()
			p = w.service(p.client, w.on(by, allow))
			everybody(leaver)
			require.Equal(t, people-50, p.active(), by)
		}
		rep, err := p.engine.Plan(t.Context(), reconcile.RunOptions{Trigger: "test", RequestedBy: "test"})
		require.NoError(t, err)
		v, err := p.engine.Say(t.Context(), reconcile.Say{Run: rep.RunID, Approves: true, Reason: "a department was closed", By: "test"})
		require.NoError(t, err)
		require.Len(t, v.Items, people-50)
		require.Eventually(t, func() bool { return p.active() == 0 }, 10*time.Minute, 10*time.Millisecond)
		p.calm()
	})
}

func TestEngine_Forbids(t *testing.T) {
	t.Parallel()
	p := newWorld(t).service(newClient(), wiring{})
	p.push(pushedID(1, nil))
	forbids := func(id identity.Identity) string {
		why, err := p.engine.Forbids(t.Context(), id)
		require.NoError(t, err)
		return why
	}
	require.Empty(t, forbids(pushedID(1, titled("Pilot"))))
	require.Empty(t, forbids(pushedID(2, nil)))
	taken := func(id *identity.Identity) { id.Profile.Username = "p0001" }
	require.NotEmpty(t, forbids(pushedID(2, taken)))
	require.Empty(t, forbids(pushedID(2, func(id *identity.Identity) { taken(id); id.Active = false })))
	require.NotEmpty(t, forbids(pushedID(1, func(id *identity.Identity) { id.Profile.Email = p.w.sim.Users()[0].Email })), "somebody else's address")
}

func TestEngine_Push_besideRun(t *testing.T) {
	t.Parallel()
	c := newClient()
	w := newWorld(t)
	p := w.service(c, wiring{})
	const people = 300
	for n := range people {
		p.keep(pushedID(n, nil))
	}
	p.calm()
	p.stop()

	// A slow server, a run with much to do, and somebody who leaves in the middle.
	for n := range people {
		id := pushedID(n, titled("Clerk"))
		c.people[id.Key.Anchor] = id
	}
	slow := w.sim.Fail(mmsim.Fault{Method: http.MethodPut, Path: "/users/*/patch", Latency: 400 * time.Millisecond})
	p = w.service(c, wiring{change: func(o *reconcile.Options) { o.Limits.Updates.Count, o.Workers = 1000, 2 }})
	done := make(chan reconcile.Report, 1)
	go func() {
		rep, err := p.engine.Sync(p.ctx, reconcile.RunOptions{Trigger: "test", RequestedBy: "test"})
		if err != nil {
			t.Errorf("sync: %v", err)
		}
		done <- rep
	}()
	require.Eventually(t, func() bool { u, _ := p.account(0); return u.Position == "Clerk" }, 30*time.Second, 5*time.Millisecond)
	p.push(pushedID(people-1, leaver))
	u, _ := p.account(people - 1)
	require.NotZero(t, u.DeleteAt)
	p.push(pushedID(people-2, titled("Captain")))
	select {
	case <-done:
		t.Fatal("the run was over before the pushes came")
	default:
	}
	slow()
	rep := <-done
	require.Equal(t, state.RunDone, rep.Status, "%+v", rep.Failures)
	u, _ = p.account(people - 2)
	require.Equal(t, "Captain", u.Position, "the run's older view of the person is not carried out any more")
	for n := range people - 2 {
		u, _ := p.account(n)
		require.Equal(t, "Clerk", u.Position, n)
	}
	ops, err := p.store.Ops(t.Context(), state.OpFilter{Key: pushedID(people-1, nil).Key, Statuses: []state.OpStatus{state.OpDone}})
	require.NoError(t, err)
	require.Equal(t, plan.SetActive, ops[len(ops)-1].Op.Kind)
}

func TestEngine_Push_away(t *testing.T) {
	t.Parallel()
	due := func(p *pusher, keys []identity.Key) []state.Due {
		list, err := p.store.DueOf(t.Context(), keys)
		require.NoError(t, err)
		return list
	}
	asked := func(w *world) func() bool {
		return func() bool {
			return slices.ContainsFunc(w.sim.Calls(), func(c mmsim.Call) bool { return c.Path == "/api/v4/system/ping" })
		}
	}
	t.Run("nobody is put off while Mattermost is away, and no client waits for it", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		p := w.service(newClient(), wiring{})
		const people = 20
		p.push(pushedID(0, nil))
		w.sim.ResetCalls()
		over := w.sim.Fail(mmsim.Fault{Status: http.StatusBadGateway})
		var keys []identity.Key
		for n := range people {
			id := pushedID(n, titled("Pilot"))
			p.keep(id)
			keys = append(keys, id.Key)
		}
		require.Eventually(t, asked(w), 20*time.Second, time.Millisecond)
		require.Eventually(t, func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			began := time.Now()
			require.NoError(t, p.engine.Push(ctx, keys[0]))
			return time.Since(began) < time.Second
		}, 20*time.Second, time.Millisecond)
		waits := due(p, keys)
		require.Len(t, waits, people)
		for _, d := range waits {
			require.True(t, d.After.IsZero(), "%+v", d)
		}
		over()
		p.calm()
		for n := range people {
			u, _ := p.account(n)
			require.Equal(t, "Pilot", u.Position, n)
		}
	})
	t.Run("beside a run they go on while it does", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		change := func(o *reconcile.Options) { o.Limits.Updates.Count, o.Workers = 1000, 1 }
		p := w.service(newClient(), wiring{change: change})
		const people = 100
		for n := range people {
			p.keep(pushedID(n, nil))
		}
		p.calm()
		p.stop()
		for n := range people {
			id := pushedID(n, titled("Clerk"))
			p.client.people[id.Key.Anchor] = id
		}
		slow := w.sim.Fail(mmsim.Fault{Method: http.MethodPut, Path: "/users/*/patch", Latency: 400 * time.Millisecond})
		p = w.service(p.client, wiring{change: change})
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, err := p.engine.Sync(p.ctx, reconcile.RunOptions{Trigger: "test", RequestedBy: "test"})
			if err != nil {
				t.Errorf("sync: %v", err)
			}
		}()
		require.Eventually(t, func() bool { u, _ := p.account(0); return u.Position == "Clerk" }, 30*time.Second, time.Millisecond)
		w.sim.ResetCalls()
		over := w.sim.Fail(mmsim.Fault{Status: http.StatusBadGateway, Match: func(r *http.Request) bool { return r.Method != http.MethodPut }})
		gone := pushedID(people-1, leaver)
		p.keep(gone)
		require.Eventually(t, asked(w), 20*time.Second, time.Millisecond)
		over()
		require.Eventually(t, func() bool { u, _ := p.account(people - 1); return u.DeleteAt != 0 }, 20*time.Second, time.Millisecond)
		select {
		case <-done:
			t.Error("the run was over before")
		default:
		}
		slow()
		<-done
	})
}

func TestEngine_Push_taken(t *testing.T) {
	t.Parallel()
	t.Run("a name that another person of ours has is taken as soon as he gives it up, and never his account", func(t *testing.T) {
		t.Parallel()
		p := newWorld(t).service(newClient(), wiring{})
		p.push(pushedID(1, nil))
		one, _ := p.account(1)
		p.push(pushedID(2, named(1)))
		due, err := p.store.DueOf(t.Context(), []identity.Key{pushedID(2, nil).Key})
		require.NoError(t, err)
		require.Len(t, due, 1)
		require.Equal(t, "username_taken", due[0].Reason)
		require.False(t, due[0].Held)
		links, err := p.store.Links(t.Context(), state.LinkFilter{})
		require.NoError(t, err)
		require.Len(t, links, 1)
		p.push(pushedID(1, named(11)))
		require.Eventually(t, func() bool { u, found := p.account(1); return found && u.ID != one.ID }, 20*time.Second, time.Millisecond)
	})
}

// The server lets nobody but its own LDAP sync switch these accounts off, so that a
// leaving only ends the sessions, each time anew.
func TestEngine_Push_lockedLeavesAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.service(newClient(), wiring{})
	byLDAP := func(active bool) identity.Identity {
		return pushedID(1, func(id *identity.Identity) {
			id.Active, id.Auth = active, identity.Auth{Service: "ldap", Data: "p0001"}
		})
	}
	p.push(byLDAP(true))
	for times := 1; times <= 2; times++ {
		p.push(byLDAP(false))
		p.push(byLDAP(false))
		require.Equal(t, times, w.revocations("p0001"), "once each time")
		p.push(byLDAP(true))
	}
	require.True(t, w.active("p0001"))
}
