package reconcile_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// These tests are about the since mark, and about clocks that are set.

// under has f do something with the store under a lease.
func (w *world) under(f func(s state.Store, l state.Lease)) {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	l, err := s.AcquireLease(w.t.Context(), "reconcile", "test", time.Minute)
	require.NoError(w.t, err)
	f(s, l)
	require.NoError(w.t, s.ReleaseLease(w.t.Context(), l))
}

func (w *world) mark() (m state.Mark) {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	m, err := s.Mark(w.t.Context(), "observe")
	require.NoError(w.t, err)
	return m
}

// bySince gives the usernames of those of whom only changes are asked for.
func (w *world) bySince() []string {
	w.t.Helper()
	since, _ := w.asked()
	var names []string
	for _, id := range since {
		u, ok := w.sim.User(id)
		require.True(w.t, ok)
		names = append(names, u.Username)
	}
	require.NotEmpty(w.t, names)
	return names
}

// emperor is a change of a title, at the server, at a time of the server's.
func (w *world) emperor(name string, at time.Time) {
	w.t.Helper()
	u, ok := w.sim.UserByName(name)
	require.True(w.t, ok)
	w.sim.SetUser(u.ID, func(u *mmsim.User) { u.Position, u.UpdateAt = "Emperor", at.UnixMilli() })
}

func (w *world) position(name string) string {
	w.t.Helper()
	u, ok := w.sim.UserByName(name)
	require.True(w.t, ok)
	return u.Position
}

// barely makes the overlap so small that it hides nothing.
func barely(o *reconcile.Options) { o.SinceOverlap = time.Millisecond }

func TestEngine_Mark(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) (w *world, people []human, names []string) {
		people = crowd()
		w = old(t, people) // its clock is three hours ahead of its accounts
		_, err := w.sync(people, wiring{change: barely})
		require.NoError(t, err)
		return w, people, w.bySince()
	}
	server := func() time.Time { return time.Now().Add(3 * time.Hour) }

	t.Run("stays behind the server's clock, however late an account says it was changed", func(t *testing.T) {
		t.Parallel()
		w, people, names := setup(t)
		w.emperor(names[0], server().AddDate(3, 0, 0))
		for range 2 {
			_, err := w.sync(people, wiring{change: barely})
			require.NoError(t, err)
			require.LessOrEqual(t, w.mark().Value, w.mark().ServerDate.UnixMilli())
		}
		w.emperor(names[1], server())
		_, err := w.sync(people, wiring{change: barely})
		require.NoError(t, err)
		require.Equal(t, "Clerk", w.position(names[0]))
		require.Equal(t, "Clerk", w.position(names[1]), "the account of the future hides nobody's change")
	})
	t.Run("stays behind what was seen by the overlap, for a write may show later than it says", func(t *testing.T) {
		t.Parallel()
		w, people, names := setup(t)
		w.touch(names[0], 3*time.Hour, func(*mmsim.User) {})
		for range 2 {
			_, err := w.sync(people, wiring{})
			require.NoError(t, err)
		}
		w.emperor(names[1], server().Add(-44*time.Minute)) // shows only now
		_, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, "Clerk", w.position(names[1]))
		require.InDelta(t, server().Add(-45*time.Minute).UnixMilli(), w.mark().Value, 5000)
	})
	t.Run("never goes by the answer of a write", func(t *testing.T) {
		t.Parallel()
		w, people, names := setup(t)
		people[259].Title = "Director"
		began := server()
		_, err := w.sync(people, wiring{change: barely, wrap: func(s state.Store) state.Store {
			return journaled{s, func() { w.sim.SetClockOffset(5 * time.Hour) }}
		}})
		require.NoError(t, err)
		require.Equal(t, "Director", w.position(people[259].UID))
		require.LessOrEqual(t, w.mark().Value, began.UnixMilli()+1000)
		w.emperor(names[0], began.Add(time.Hour)) // before the write, and after the pass
		_, err = w.sync(people, wiring{change: barely})
		require.NoError(t, err)
		require.Equal(t, "Clerk", w.position(names[0]))
	})
	t.Run("is ahead of a server whose clock was set back, and then nothing is asked since", func(t *testing.T) {
		t.Parallel()
		w, people, names := setup(t)
		w.sim.SetClockOffset(2 * time.Hour)
		w.emperor(names[0], time.Now().Add(2*time.Hour))
		_, err := w.sync(people, wiring{change: barely})
		require.NoError(t, err)
		require.Equal(t, "Clerk", w.position(names[0]))
		w.emperor(names[1], time.Now().Add(2*time.Hour))
		_, err = w.sync(people, wiring{change: barely})
		require.NoError(t, err)
		require.Equal(t, "Clerk", w.position(names[1]))
	})
	t.Run("is not gone by when the server's clock was set back between two passes, however far apart they are", func(t *testing.T) {
		t.Parallel()
		w, people, names := setup(t)
		m := w.mark()
		m.At = m.At.Add(-4 * time.Hour) // so much went by, and at the server next to nothing
		w.under(func(s state.Store, l state.Lease) { require.NoError(t, s.SetMark(t.Context(), l, m)) })
		w.emperor(names[0], server().Add(-2*time.Hour))
		_, err := w.sync(people, wiring{change: barely})
		require.NoError(t, err)
		require.Equal(t, "Clerk", w.position(names[0]))
	})
	t.Run("sees, with its overlap, what a cache showed too late", func(t *testing.T) {
		t.Parallel()
		w, people, names := setup(t)
		stop := w.sim.Fail(mmsim.Fault{Path: "/users/*", CacheLag: 30 * time.Minute})
		w.emperor(names[0], server())
		_, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, "Emperor", w.position(names[0]), "the cache does not show it yet")
		w.sim.SetClockOffset(3*time.Hour + 31*time.Minute)
		_, err = w.sync(people, wiring{})
		stop()
		require.NoError(t, err)
		require.Equal(t, "Clerk", w.position(names[0]))
	})
	t.Run("that was not written leaves nothing unseen", func(t *testing.T) {
		t.Parallel()
		w, people, names := setup(t)
		w.emperor(names[0], server())
		_, err := w.sync(people, wiring{change: barely, wrap: func(s state.Store) state.Store { return unmarked{s} }})
		require.ErrorIs(t, err, errCrash)
		require.Equal(t, "Emperor", w.position(names[0]))
		rep, err := w.sync(people, wiring{change: barely})
		require.NoError(t, err)
		require.Equal(t, 1, rep.Decided)
		require.Equal(t, "Clerk", w.position(names[0]))
	})
	t.Run("goes by the first of many answers, for what changed in between", func(t *testing.T) {
		t.Parallel()
		w, people := seeded(t, 3_001)
		first, last := w.links()["0"], w.links()["999"]
		began := time.Now()
		answers := 0
		between := network(func(r *http.Request) (*http.Response, error) {
			answer, err := http.DefaultTransport.RoundTrip(r)
			if strings.HasSuffix(r.URL.Path, "/users/ids") && r.URL.Query().Has("since") {
				if answers++; answers == 1 { // between the two parts of the pass
					w.sim.SetClockOffset(2 * time.Hour)
					w.emperor(first.Observed.Username, began.Add(time.Hour))
					w.emperor(last.Observed.Username, began.Add(90*time.Minute))
				}
			}
			return answer, err
		})
		_, err := w.sync(people, wiring{change: barely, network: between})
		require.NoError(t, err)
		require.Equal(t, 2, answers)
		require.Equal(t, "Clerk", w.position(last.Observed.Username), "the second part shows it")
		require.Equal(t, "Emperor", w.position(first.Observed.Username))
		_, err = w.sync(people, wiring{change: barely})
		require.NoError(t, err)
		require.Equal(t, "Clerk", w.position(first.Observed.Username))
	})
}

// unmarked is a store whose process dies before the mark is written.
type unmarked struct{ state.Store }

func (unmarked) SetMark(context.Context, state.Lease, state.Mark) error { return errCrash }

// seeded is a server with n accounts that are linked and as they should be, none
// of them written to of late.
func seeded(t *testing.T, n int) (*world, []human) {
	t.Helper()
	w, people := newWorld(t), many(n)
	long := time.Now().Add(-1000 * time.Hour)
	users := make([]mmsim.User, n)
	for i := range users {
		people[i].Title = "Clerk"
		users[i] = mmsim.User{Username: people[i].UID, Position: "Clerk", Email: people[i].UID + "@example.test", CreateAt: long.UnixMilli()}
	}
	users = w.sim.AddUsers(users)
	links := make([]identity.Link, n)
	for i, u := range users {
		links[i] = identity.Link{
			Key: identity.Key{Source: "corp", Anchor: strconv.Itoa(i)}, AccountID: u.ID, Part: identity.Owner, Origin: identity.OriginCreated, Ref: "x",
			Observed: &identity.Account{
				ID: u.ID, Profile: identity.Profile{Username: u.Username, Email: u.Email, Position: "Clerk", Locale: "en"}, Roles: identity.NewRoles(identity.RoleUser), CreateAt: u.CreateAt, UpdateAt: u.UpdateAt,
			},
			CreatedAt: long, UpdatedAt: long,
		}
	}
	w.under(func(s state.Store, l state.Lease) {
		require.NoError(t, s.PutLinks(t.Context(), l, links))
		for _, name := range []string{"observe", "audit"} {
			require.NoError(t, s.SetMark(t.Context(), l, state.Mark{Name: name, Value: time.Now().Add(-time.Hour).UnixMilli(), ServerDate: time.Now().Add(-time.Minute), At: time.Now().Add(-time.Minute)}))
		}
	})
	return w, people
}

func TestEngine_Clock(t *testing.T) {
	t.Parallel()
	all := few()
	with := wiring{change: threeDays}
	setup := func(t *testing.T) *world {
		w := newWorld(t)
		w.rest(all, with)
		_, err := w.sync(all[:3], with)
		require.NoError(t, err)
		w.age(73 * time.Hour)
		return w
	}
	run := func(t *testing.T, w *world, with wiring) reconcile.Report {
		t.Helper()
		rep, err := w.sync(all[:3], with)
		require.NoError(t, err)
		return rep
	}
	t.Run("that went on as clocks do lets a grace end", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		run(t, w, with)
		require.False(t, w.active("dirk"))
	})
	for name, jump := range map[string]func(*world){
		"the store's": func(w *world) {
			m := w.mark()
			m.At = m.At.Add(-6 * time.Minute) // as if it had been set on by so much
			w.under(func(s state.Store, l state.Lease) { require.NoError(w.t, s.SetMark(w.t.Context(), l, m)) })
		},
		"the store's, set back": func(w *world) {
			m := w.mark()
			m.At = m.At.Add(6 * time.Minute)
			w.under(func(s state.Store, l state.Lease) { require.NoError(w.t, s.SetMark(w.t.Context(), l, m)) })
		},
		"the server's": func(w *world) { w.sim.SetClockOffset(time.Hour) },
	} {
		t.Run(name+" that was set wants one more read", func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			jump(w)
			d := decisionOn(t, run(t, w, with), "4")
			require.Equal(t, plan.InGrace, d.Reason)
			require.Contains(t, d.Detail, "second complete read")
			require.True(t, w.active("dirk"))
			d = decisionOn(t, run(t, w, with), "4")
			require.Equal(t, plan.InGrace, d.Reason, "too soon after the first to be another read")
			w.age(11 * time.Minute)
			run(t, w, with)
			require.False(t, w.active("dirk"))
		})
	}
	t.Run("that was set wants one more read of who is disabled as well", func(t *testing.T) {
		t.Parallel()
		w, off := newWorld(t), few()
		w.rest(off, with)
		off[3].Left = "yes"
		disabled := func() reconcile.Report {
			rep, err := w.sync(off, with)
			require.NoError(t, err)
			return rep
		}
		disabled()
		w.age(25 * time.Hour)
		w.sim.SetClockOffset(time.Hour)
		d := decisionOn(t, disabled(), "4")
		require.Equal(t, plan.InGrace, d.Reason)
		require.Contains(t, d.Detail, "second complete read")
		require.True(t, w.active("dirk"))
		require.Equal(t, plan.InGrace, decisionOn(t, disabled(), "4").Reason, "too soon after the first to be another read")
		w.age(11 * time.Minute)
		disabled()
		require.False(t, w.active("dirk"))
	})
	t.Run("that drifts a little is believed", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		w.sim.SetClockOffset(4 * time.Minute)
		run(t, w, with)
		require.False(t, w.active("dirk"))
	})
	t.Run("a plan says so too, and takes no note of it", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		w.sim.SetClockOffset(time.Hour)
		for range 2 {
			require.Equal(t, plan.InGrace, decisionOn(t, w.plan(all[:3], with), "4").Reason)
		}
	})
}
