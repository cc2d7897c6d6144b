package reconcile_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// The outages that the guards are there to prevent, on a server of 4,000 people.

// clocked is a store some time on: its clock is, and what is done is done then.
type clocked struct {
	state.Store
	by time.Duration
}

func (c clocked) Now(ctx context.Context) (time.Time, error) {
	now, err := c.Store.Now(ctx)
	return now.Add(c.by), err
}

func (c clocked) RecordOp(ctx context.Context, l state.Lease, o state.Outcome) error {
	o.At = o.At.Add(c.by)
	return c.Store.RecordOp(ctx, l, o)
}

// on is a wiring some time on, at the server as well, with the limits of the
// default configuration.
func (w *world) on(by time.Duration, more ...func(*reconcile.Options)) wiring {
	w.sim.SetClockOffset(by)
	return wiring{
		wrap: func(s state.Store) state.Store { return clocked{s, by} },
		change: func(o *reconcile.Options) {
			o.Limits.Deactivations = guard.Limit{Count: 50, Percent: 1, MinimumPopulation: 20}
			o.Limits.Creates = guard.Limit{Count: 500, Percent: 10, MinimumPopulation: 20}
			for _, f := range more {
				f(o)
			}
		},
	}
}

// crowdOf is a world of n people at rest, whose first run is over.
func crowdOf(t *testing.T, n int) (*world, []human) {
	t.Helper()
	w, people := seeded(t, n)
	_, err := w.sync(people, w.on(0))
	require.NoError(t, err)
	require.Empty(t, w.offs())
	return w, people
}

// offs gives the usernames of accounts that are off.
func (w *world) offs() map[string]bool {
	out := map[string]bool{}
	for _, u := range w.sim.Users() {
		if !u.Active() {
			out[u.Username] = true
		}
	}
	return out
}

func mass(t *testing.T) int {
	t.Helper()
	if testing.Short() || underRace {
		return 1000
	}
	return 4000
}

// crowdOfMany is mass for who makes many runs.
func crowdOfMany(t *testing.T) int {
	t.Helper()
	if underRace {
		return 300
	}
	return mass(t)
}

func TestEngine_Mass(t *testing.T) {
	t.Parallel()
	n := mass(t)
	anyEntries := func(o *reconcile.Options) { o.Limits.MinEntriesPercent = 0 }
	strict := func(o *reconcile.Options) { o.Limits.MinEntriesPercent = 80 }
	otherRules := func(o *reconcile.Options) { o.PolicyDigest = "another filter" }
	strangers := func(people []human) []human {
		out := slices.Clone(people)
		for i := range out {
			out[i].ID, out[i].UID, out[i].Mail = "other"+out[i].ID, "other"+out[i].UID, ""
		}
		return out
	}
	for name, c := range map[string]struct {
		read   func([]human) []human
		change func(*reconcile.Options)
		want   []plan.Class
		says   string
	}{
		"an empty source, which proves nothing": {
			func([]human) []human { return nil }, anyEntries, nil, "",
		},
		"a source with one person left": {
			func(p []human) []human { return p[:1] }, strict, []plan.Class{guard.SourceShrink}, "source corp shrank: 1 entries now",
		},
		"half of the source": {
			func(p []human) []human { return p[len(p)/2:] }, strict, []plan.Class{guard.SourceShrink}, "source corp shrank",
		},
		"half of the source, whose size was allowed": {
			func(p []human) []human { return p[len(p)/2:] }, anyEntries, []plan.Class{plan.Deactivations}, "None of them was written.",
		},
		"a filter that drops three in five": {
			func(p []human) []human { return p[len(p)*3/5:] }, func(o *reconcile.Options) { anyEntries(o); otherRules(o) },
			[]plan.Class{plan.Deactivations, guard.ScopeChange},
			"the configuration has changed since run ",
		},
		"a filter that drops a few": {
			func(p []human) []human { return p[7:] }, otherRules, []plan.Class{guard.ScopeChange}, ", and 7 of ",
		},
		"a wrong base, with other people": {
			strangers, anyEntries, []plan.Class{plan.Creates, plan.Deactivations}, "too many creates from corp",
		},
		"an OU that was renamed": {
			func(p []human) []human {
				moved := slices.Clone(p)
				slices.Reverse(moved)
				return moved
			}, strict, nil, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, people := crowdOf(t, n)
			w.sim.ResetCalls()
			for _, by := range []time.Duration{time.Minute, 12 * time.Hour, 25 * time.Hour, 48 * time.Hour} {
				rep, err := w.sync(c.read(people), w.on(by, c.change))
				require.NoError(t, err)
				require.Equal(t, len(c.want) > 0, rep.Verdict.Tripped(), "%s: %s", by, rep.Verdict.Message())
				require.Equal(t, len(c.want) > 0, rep.Status == state.RunWithheld)
				if by > time.Minute {
					continue
				}
				var got []plan.Class
				for _, x := range rep.Verdict.Trips {
					got = append(got, x.Class)
				}
				require.Equal(t, c.want, got, rep.Verdict.Message())
				require.Contains(t, rep.Verdict.Message(), c.says)
				if len(c.want) > 0 && c.want[0] != guard.SourceShrink {
					require.Contains(t, rep.Verdict.Message(), "mmsync approve "+rep.RunID+" --reason")
				}
			}
			require.Empty(t, w.sim.Writes(), "neither at once nor two days later")
			require.Empty(t, w.offs())
		})
	}
}

// Half of the source is gone for good: what was held goes once somebody has said so,
// exactly that and once.
func TestEngine_Mass_approved(t *testing.T) {
	t.Parallel()
	w, people := crowdOf(t, mass(t))
	half := people[len(people)/2:]
	anyEntries := func(o *reconcile.Options) { o.Limits.MinEntriesPercent = 0 }
	var held reconcile.Report
	for _, by := range []time.Duration{time.Minute, 24 * time.Hour, 48 * time.Hour} {
		var err error
		held, err = w.sync(half, w.on(by, anyEntries))
		require.NoError(t, err)
		require.Equal(t, state.RunWithheld, held.Status)
	}
	require.Empty(t, w.offs())
	later := w.on(49*time.Hour, anyEntries)
	v, err := w.say(later, reconcile.Say{Run: held.RunID, Approves: true})
	require.NoError(t, err)
	require.Len(t, v.Items, len(people)/2)
	rep, err := w.sync(half[1:], later) // one more has left since
	require.NoError(t, err)
	require.Equal(t, len(people)/2+1, rep.Counts.Done)
	off := w.offs()
	require.Len(t, off, len(people)/2+1)
	for _, p := range people[:len(people)/2+1] {
		require.True(t, off[p.UID], p.UID)
	}
	require.NotZero(t, w.verdict(v.ID).ClosedAt)

	// All come back, and half of them go again: that was not approved.
	_, err = w.sync(people, w.on(50*time.Hour, func(o *reconcile.Options) {
		anyEntries(o)
		o.Limits.Reactivations = guard.Limit{Count: len(people), ByHand: true}
	}))
	require.NoError(t, err)
	require.Empty(t, w.offs())
	rep, err = w.sync(half, w.on(51*time.Hour, anyEntries))
	require.NoError(t, err)
	require.Equal(t, state.RunWithheld, rep.Status)
	require.Empty(t, w.offs())
}

// One leaver after the other, run by run: the limit counts them together, and who
// was held once does not slip out when the window has moved on.
func TestEngine_Mass_oneByOne(t *testing.T) {
	t.Parallel()
	w, people := crowdOf(t, crowdOfMany(t))
	const limit, tooMany = 50, 15
	gone := map[string]time.Duration{}
	held := map[string]bool{}
	next := 0
	step := func(now time.Duration) reconcile.Report {
		t.Helper()
		rep, err := w.sync(people, w.on(now))
		require.NoError(t, err)
		for name := range w.offs() {
			if _, known := gone[name]; !known {
				gone[name] = now
			}
			require.False(t, held[name], "%s was held, and is off %s after the beginning", name, now)
		}
		inWindow := 0
		for _, at := range gone {
			if at > now-24*time.Hour {
				inWindow++
			}
		}
		require.LessOrEqual(t, inWindow, limit)
		for _, d := range rep.Plan.Decisions {
			if d.Reason == plan.GuardTripped {
				held[d.Username] = true
				require.Equal(t, plan.SetActive, d.Withheld[0].Kind)
			}
		}
		return rep
	}
	leaves := func(now time.Duration) reconcile.Report {
		t.Helper()
		people[next].Left = "yes"
		next++
		return step(now)
	}
	var rep reconcile.Report
	for i := range limit + tooMany {
		rep = leaves(time.Duration(i) * 10 * time.Minute)
	}
	require.Len(t, gone, limit)
	require.Len(t, held, tooMany)
	require.Contains(t, rep.Verdict.Message(), fmt.Sprintf("too many deactivations from corp: %d (%d of them were made in the last 24 h, %d were held before, the first in run ", limit+tooMany, limit, tooMany-1))
	require.Contains(t, rep.Verdict.Message(), fmt.Sprintf("of %d linked active accounts", len(people)))

	// A day later there is room: for others.
	for h := 33; h <= 48; h += 3 {
		rep = leaves(time.Duration(h) * time.Hour)
		require.Equal(t, state.RunWithheld, rep.Status)
	}
	require.Len(t, gone, limit+6)
	require.Len(t, held, tooMany)
	require.Contains(t, rep.Verdict.Message(), "deactivations from corp stay held, for a guard held them in run ")
	require.NotContains(t, rep.Verdict.Message(), "too many")

	// Who is back is not held any more, and leaves like anybody else the next time.
	back := limit + tooMany - 1
	people[back].Left = ""
	rep = step(49 * time.Hour)
	require.Len(t, rep.Plan.Decisions, tooMany-1)
	delete(held, people[back].UID)
	people[back].Left = "yes"
	step(50 * time.Hour)
	require.True(t, w.offs()[people[back].UID])
	require.Len(t, gone, limit+7)
}

// Leaver after leaver, thousands if MMSYNC_TEST_LEAVERS says so, each in a run of
// his own, over two days: no more go than one day allows, and of those who were held
// nobody.
func TestEngine_Mass_oneByOne_thousands(t *testing.T) {
	t.Parallel()
	leavers := 70
	if n, err := strconv.Atoi(os.Getenv("MMSYNC_TEST_LEAVERS")); err == nil {
		leavers = n
	}
	w, people := crowdOf(t, max(crowdOfMany(t), leavers))
	held := map[string]bool{}
	for i := range leavers {
		people[i].Left = "yes"
		rep, err := w.sync(people, w.on(time.Duration(i)*(48*time.Hour)/time.Duration(leavers)))
		require.NoError(t, err)
		for _, d := range rep.Plan.Decisions {
			if d.Reason == plan.GuardTripped {
				held[d.Username] = true
			}
		}
		off := w.offs()
		require.LessOrEqual(t, len(off), 2*50, "two windows")
		for name := range off {
			require.False(t, held[name], "%s was held, and is off", name)
		}
	}
	require.Len(t, held, leavers-len(w.offs()))
}

// What a guard held is held in pieces that mmsync could carry out, and the rest of
// the same people goes on.
func TestEngine_Mass_attributeLoss(t *testing.T) {
	t.Parallel()
	w, people := crowdOf(t, 300)
	for i := range people[:31] {
		people[i].Title, people[i].Mail = "", fmt.Sprintf("new%d@example.test", i)
	}
	rep, err := w.sync(people, w.on(0))
	require.NoError(t, err)
	require.Len(t, rep.Verdict.Trips, 1)
	require.Equal(t, plan.AttributeLoss("position"), rep.Verdict.Trips[0].Class)
	require.Contains(t, rep.Verdict.Message(), "too many losses of position from corp: 31 of 300 people of the source who had a position (10.33 %), limit 30 (more than 20, and 10 %)")
	u, ok := w.sim.UserByName(people[0].UID)
	require.True(t, ok)
	require.Equal(t, "Clerk", u.Position)
	require.Equal(t, "new0@example.test", u.Email)

	people[30].Title = "Clerk" // one fewer would have passed, but the others were held
	rep, err = w.sync(people, w.on(72*time.Hour))
	require.NoError(t, err)
	require.Equal(t, 30, rep.Verdict.Trips[0].Held)
	require.Equal(t, "Clerk", w.position(people[0].UID))
	require.Equal(t, []plan.Op{{Kind: plan.PatchProfile, Changes: []plan.Change{{Field: "position", From: "Clerk"}}}}, rep.Plan.Decisions[0].Withheld)
}

// A group of three vanishes: fewer than the limit, but all of them at once.
func TestEngine_Mass_groupLoss(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := many(10)
	for i := range people[:3] {
		people[i].Groups = []string{adminsGroup}
	}
	w.settle(people, wiring{})
	for i := range people[:3] {
		people[i].Groups = nil
	}
	rep, err := w.sync(people, wiring{})
	require.NoError(t, err)
	require.Equal(t, state.RunWithheld, rep.Status)
	require.Contains(t, rep.Verdict.Message(), "a whole group of corp would lose its role: 3 of ")
	require.Contains(t, rep.Verdict.Message(), "all 3 people of source corp who have system_admin would lose it")
	people[3].Groups = []string{adminsGroup} // the group is there, with somebody else in it
	people[2].Groups = []string{adminsGroup}
	w.sim.ResetCalls()
	_, err = w.sync(people, wiring{})
	require.NoError(t, err)
	u, _ := w.sim.UserByName(people[0].UID)
	require.True(t, u.IsAdmin(), "who was held stays held")
}

// With stop nothing is written while a guard trips, and the rest goes on by itself
// when none does any more.
func TestEngine_Mass_stop(t *testing.T) {
	t.Parallel()
	w, people := crowdOf(t, 100)
	stop := func(o *reconcile.Options) { o.Limits.Stop, o.Limits.MinEntriesPercent = true, 80 }
	people[99].Title = "Chief"
	rep, err := w.sync(people[60:], w.on(0, stop))
	require.NoError(t, err)
	require.Equal(t, state.RunWithheld, rep.Status)
	require.Equal(t, "Clerk", w.position(people[99].UID))
	require.False(t, rep.Plan.Effective())
	_, err = w.sync(people, w.on(time.Minute, stop))
	require.NoError(t, err)
	require.Equal(t, "Chief", w.position(people[99].UID), "it was never too much itself")
}

// Nobody is released by a read that proves nothing; who is not wanted any more is.
func TestEngine_Mass_release(t *testing.T) {
	t.Parallel()
	w, people := crowdOf(t, 100)
	strict := func(o *reconcile.Options) {
		o.Limits.Deactivations, o.Limits.Creates, o.Limits.MinEntriesPercent = guard.Limit{Count: 1}, guard.Limit{Count: 1}, 80
	}
	held := func() (keys []string) {
		s := w.store()
		defer s.Close()
		list, err := s.Held(t.Context())
		require.NoError(t, err)
		for _, h := range list {
			keys = append(keys, h.Key.Anchor)
		}
		return keys
	}
	sync := func(at time.Duration, people []human) {
		t.Helper()
		_, err := w.sync(people, w.on(at, strict))
		require.NoError(t, err)
	}
	newcomers := append(slices.Clone(people[2:]), human{ID: "n1", UID: "newcomer1"}, human{ID: "n2", UID: "newcomer2"})
	sync(0, newcomers)
	require.Equal(t, []string{"0", "1", "n1", "n2"}, held())
	sync(time.Hour, people[50:])
	require.Equal(t, []string{"0", "1", "n1", "n2"}, held(), "a source that shrank says nothing about them")
	sync(2*time.Hour, nil)
	require.Equal(t, []string{"0", "1", "n1", "n2"}, held(), "nor does one that could not be read")
	sync(30*time.Hour, append(slices.Clone(people[1:]), newcomers[len(newcomers)-1]))
	require.Equal(t, []string{"0", "n2"}, held(), "one is back, and one is not wanted any more")
	require.Empty(t, w.offs())
	sync(31*time.Hour, append(slices.Clone(people[1:]), newcomers[len(newcomers)-1]))
	_, ok := w.sim.UserByName("newcomer2")
	require.False(t, ok, "there would be room for one")
}

// A grace does not hide what a change of the configuration does.
func TestEngine_Mass_changedRulesWithGrace(t *testing.T) {
	t.Parallel()
	w, people := crowdOf(t, 100)
	rules := func(digest string) func(o *reconcile.Options) {
		return func(o *reconcile.Options) {
			o.PolicyDigest = digest
			o.Policy.Grace = plan.Grace{Missing: 24 * time.Hour, OutOfScope: 24 * time.Hour}
		}
	}
	_, err := w.sync(people[1:], w.on(0, rules(""))) // one leaves before the change
	require.NoError(t, err)
	rest := people[6:] // five go because of it
	_, err = w.sync(rest, w.on(time.Hour, rules("new")))
	require.NoError(t, err)
	_, err = w.sync(rest[1:], w.on(2*time.Hour, rules("new"))) // and one after it
	require.NoError(t, err)
	require.Empty(t, w.offs())
	for _, by := range []time.Duration{27 * time.Hour, 28 * time.Hour, 80 * time.Hour} {
		rep, err := w.sync(rest[1:], w.on(by, rules("new")))
		require.NoError(t, err)
		require.Len(t, rep.Verdict.Trips, 1, "%s: %+v %v", by, rep.Plan.Decisions, rep.Problems)
		require.Equal(t, 5, rep.Verdict.Trips[0].Planned)
		require.Equal(t, map[string]bool{people[0].UID: true, rest[0].UID: true}, w.offs(), "%s: %s", by, rep.Verdict.Message())
	}
}

// However many runs worked on parts since, what they leave is compared with the last run
// about everybody.
func TestEngine_Mass_changedRulesAfterManyParts(t *testing.T) {
	t.Parallel()
	w, people := newWorld(t), few()
	w.rest(people, wiring{})
	s := w.store()
	for i := range 501 {
		at := time.Now()
		require.NoError(t, s.SaveRun(t.Context(), state.Run{
			ID: fmt.Sprintf("9-%03d", i), Kind: "sync", Trigger: "test", Status: state.RunDone, Options: `{"part":true}`, RequestedAt: at, StartedAt: at, PlannedAt: at, FinishedAt: at,
		}))
	}
	require.NoError(t, s.Close())
	rep, err := w.sync(people[1:], wiring{change: func(o *reconcile.Options) { o.PolicyDigest = "another filter" }})
	require.NoError(t, err)
	require.Equal(t, state.RunWithheld, rep.Status)
	require.Equal(t, guard.ScopeChange, rep.Verdict.Trips[0].Class)
	require.True(t, w.active(people[0].UID))
}

func TestEngine_FirstRun(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) (*world, []human) {
		t.Helper()
		w := newWorld(t)
		w.unseen = true
		return w, many(3)
	}
	t.Run("on a server of administrators and bots creates everybody", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		w.sim.AddUsers([]mmsim.User{{Username: "robot", IsBot: true, OwnerID: w.sim.AdminID()}, {Username: "boss", Email: "b@example.test", Roles: "system_admin system_user"}, {Username: "gone", Email: "g@example.test", DeleteAt: 1}})
		rep, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, state.RunDone, rep.Status, rep.Verdict.Message())
	})
	t.Run("on a server that has people writes nothing, also the next day", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		w.sim.AddUser(mmsim.User{Username: "somebody", Email: "s@example.test"})
		require.True(t, w.plan(people, wiring{}).Verdict.Tripped())
		for _, by := range []time.Duration{0, time.Minute, 50 * time.Hour} {
			rep, err := w.sync(people, w.on(by))
			require.NoError(t, err)
			require.Equal(t, state.RunWithheld, rep.Status)
			require.Equal(t, guard.FirstRun, rep.Verdict.Trips[0].Class)
			require.Contains(t, rep.Verdict.Message(), "1 active account belongs to nobody whom mmsync knows, and 3 people would be created")
			require.Len(t, rep.Plan.Decisions[0].Withheld, 1)
		}
		require.Empty(t, w.sim.Writes())
	})
	t.Run("that was cut off goes on", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		w.dies(people, "/users")
		rep, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.False(t, rep.Verdict.Tripped(), rep.Verdict.Message())
	})
	t.Run("creates any number; the next runs do not", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		few := func(o *reconcile.Options) { o.Limits.Creates = guard.Limit{Count: 2} }
		_, err := w.sync(people, wiring{change: few})
		require.NoError(t, err)
		w.sim.AddUser(mmsim.User{Username: "somebody", Email: "s@example.test"})
		rep, err := w.sync(many(6), wiring{change: few})
		require.NoError(t, err)
		require.Len(t, rep.Verdict.Trips, 1)
		require.Equal(t, plan.Creates, rep.Verdict.Trips[0].Class)
		require.Equal(t, []int{3, 0, 3}, []int{rep.Verdict.Trips[0].Planned, rep.Verdict.Trips[0].Before, rep.Verdict.Trips[0].Base})
		_, ok := w.sim.UserByName("person05")
		require.False(t, ok)
	})
}
