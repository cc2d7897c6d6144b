package reconcile_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

func named(n int) func(*identity.Identity) {
	return func(id *identity.Identity) { id.Profile.Username = fmt.Sprintf("p%04d", n) }
}

// Whom a client has before and after. In between: a changed title, two names passed
// on, a leaver, one who comes back, two who join, one who wants a stranger's name,
// and one who left before anybody knew him.
func clientsBefore() []identity.Identity {
	return []identity.Identity{pushedID(1, nil), pushedID(2, nil), pushedID(3, nil), pushedID(4, nil), pushedID(5, leaver)}
}

func clientsAfter() []identity.Identity {
	return []identity.Identity{
		pushedID(1, titled("Pilot")), pushedID(2, named(3)), pushedID(3, named(33)), pushedID(4, leaver), pushedID(5, nil),
		pushedID(6, titled("Trainee")), pushedID(7, nil), pushedID(8, named(9)), pushedID(10, leaver),
	}
}

// newPushTemplate is a world in which the people of before were pushed.
func newPushTemplate(t *testing.T, at setting) template {
	t.Helper()
	w := newWorld(t)
	w.db = at.store(t)
	long := time.Now().Add(-time.Hour * 1000).UnixMilli()
	w.sim.AddUser(mmsim.User{Username: "p0009", Email: "stranger@chat.test", CreateAt: long})
	w.sim.AddUser(mmsim.User{Username: "gone.stranger", Email: "gone@chat.test", CreateAt: long, DeleteAt: long + 5})
	foreign := w.sim.Users()
	p := w.service(newClient(), wiring{})
	p.keep(pushedID(5, nil))
	p.calm()
	p.keep(clientsBefore()...)
	p.calm()
	p.stop()
	w.migrated = true
	tpl := template{world: w, setting: at, state: w.sim.SnapshotState(), foreign: foreign}
	if at.postgres {
		tpl.save(t)
	}
	return tpl
}

// push has a service work on the people of after until nobody is due or it dies.
func (w *world) push(t *testing.T, c *crash, marked bool) {
	t.Helper()
	w.t = t
	cl := newClient()
	for _, id := range clientsAfter() {
		cl.people[id.Key.Anchor] = id
	}
	with := wiring{change: func(o *reconcile.Options) { o.Holder, o.Workers = "test", 1 }}
	if c != nil {
		with.network, with.wrap = c, func(s state.Store) state.Store { return mortal{s, c} }
	}
	s := w.store()
	defer s.Close()
	if !marked {
		var marks []state.DueMark
		for _, id := range clientsAfter() {
			marks = append(marks, state.DueMark{Key: id.Key, Leaver: !id.Active})
		}
		require.NoError(t, s.MarkDue(t.Context(), marks))
	}
	change := with.change
	with.change = func(o *reconcile.Options) {
		o.Sources = []reconcile.Source{cl}
		change(o)
	}
	e := w.engine(s, nil, with)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.ServePushes(ctx) }()
	for until := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		n, _, err := s.CountDue(t.Context())
		require.NoError(t, err)
		if n == 0 || (c != nil && c.dead.Load()) {
			break
		}
		if time.Now().After(until) {
			due, _ := s.Due(t.Context(), 0)
			require.Fail(t, "no rest", "%+v", due)
		}
	}
	stop()
	require.NoError(t, <-done)
}

// checkPushed is the oracle: the server is as the client wants it, whatever happened
// on the way.
func (w *world) checkPushed(t *testing.T, name string, tpl template) {
	t.Helper()
	s := w.store()
	defer s.Close()
	links, err := s.Links(t.Context(), state.LinkFilter{})
	require.NoError(t, err)
	byAnchor, owned := map[string]identity.Link{}, map[string]bool{}
	for _, l := range links {
		byAnchor[l.Key.Anchor] = l
		require.False(t, owned[l.AccountID], "%s: account %s has two owners", name, l.AccountID)
		owned[l.AccountID] = true
	}
	accounts := len(tpl.foreign)
	for _, id := range clientsAfter() {
		l, linked := byAnchor[id.Key.Anchor]
		if a := id.Key.Anchor; a == "id-0008" || a == "id-0010" {
			require.False(t, linked, "%s: %s", name, a)
			continue
		}
		accounts++
		require.True(t, linked, "%s: %s", name, id.Key)
		u, ok := w.sim.User(l.AccountID)
		require.True(t, ok, "%s: %s", name, id.Key)
		require.Equal(t, []string{id.Profile.Username, id.Profile.Email, id.Profile.Position}, []string{u.Username, u.Email, u.Position}, "%s: %s", name, id.Key)
		require.Equal(t, id.Active, u.Active(), "%s: %s", name, id.Key)
		require.Equal(t, u.DeleteAt, l.DeactivatedAt, "%s: %s", name, id.Key)
	}
	require.Len(t, w.sim.Users(), accounts, "%s: accounts on the server", name)
	for _, u := range tpl.foreign {
		now, ok := w.sim.User(u.ID)
		require.True(t, ok)
		require.Equal(t, u, now, "%s: a foreign account", name)
	}
	due, err := s.DueOf(t.Context(), []identity.Key{pushedID(8, nil).Key})
	require.NoError(t, err)
	require.True(t, len(due) == 1 && due[0].Held, "%s: who wants a stranger's name is held: %+v", name, due)
}

func TestEngine_Push_crash(t *testing.T) {
	t.Parallel()
	for _, at := range []setting{{name: "sqlite"}, {name: "postgres", postgres: true}} {
		for _, kind := range cutKinds() {
			t.Run(fmt.Sprintf("%s/%s/every one is survived", at.name, kind), func(t *testing.T) {
				t.Parallel()
				tpl := newPushTemplate(t, at)
				apart := at.step(5)
				n := 1 + rand.IntN(apart) //nolint:gosec // where to begin; failures name the place
				cuts := 0
				for hit := true; hit; n, cuts = n+apart, cuts+1 {
					w := tpl.start(t)
					name := fmt.Sprintf("%s %d", kind, n)
					if kind == lostRequest || kind == lostAnswer {
						over := w.sim.Fail(mmsim.Fault{Skip: n - 1, Count: 1, CutBefore: kind == lostRequest, CutAfter: kind == lostAnswer})
						w.push(t, nil, false)
						over()
						hit = len(w.sim.Calls()) >= n
					} else {
						c := &crash{at: int64(n), kind: kind}
						w.push(t, c, false)
						hit = c.dead.Load()
						w.push(t, nil, true)
					}
					w.checkPushed(t, name, tpl)
					w.checkJournal(t, name)
				}
				require.Greater(t, n, 20, "places to cut at")
				t.Logf("cut at %d of about %d places", cuts-1, n)
			})
		}
	}
}
