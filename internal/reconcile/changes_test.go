package reconcile_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
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

// ledgered is a directory that knows what changed since when: a mark is a place in its
// log.
type ledgered struct {
	people []human
	log    []string // anchors, in the order in which they changed
	hints  []string // anchors that it says are gone, of everything since
	full   string
	err    error
	stray  []string // anchors whose changes it does not tell
	reads  []string // "changes" or "all"
}

func (r *ledgered) set(h human) {
	r.remove(h.ID)
	r.people = append(r.people, h)
	slices.SortFunc(r.people, func(a, b human) int { return strings.Compare(a.ID, b.ID) })
	r.log = append(r.log, h.ID)
}

func (r *ledgered) remove(id string) {
	r.people = slices.DeleteFunc(r.people, func(h human) bool { return h.ID == id })
}

// source gives the directory as it is now.
func (r *ledgered) source(t testing.TB) reconcile.Source {
	return ledgeredNow{r, directory(t, r.people)}
}

type ledgeredNow struct {
	*ledgered
	reconcile.Source
}

func (r ledgeredNow) Snapshot(ctx context.Context, known func(identity.Identity) bool) (identity.Snapshot, error) {
	r.reads = append(r.reads, "all")
	s, err := r.Source.Snapshot(ctx, known)
	s.Mark = r.mark()
	return s, err
}

func (r *ledgered) mark() string { return fmt.Sprintf("at %d", len(r.log)) }

func (r ledgeredNow) Changes(ctx context.Context, mark string) (identity.Delta, error) {
	r.reads = append(r.reads, "changes")
	d := identity.Delta{Source: "corp", Full: r.full, Mark: r.mark(), Gone: r.hints}
	if r.err != nil || r.full != "" {
		return d, r.err
	}
	var at int
	if _, err := fmt.Sscanf(mark, "at %d", &at); err != nil {
		return d, err
	}
	var anchors []string
	for _, a := range r.log[at:] {
		if !slices.Contains(r.stray, a) {
			anchors = append(anchors, a)
		}
	}
	var err error
	d.Identities, err = r.Read(ctx, anchors)
	d.Entries = len(d.Identities)
	return d, err
}

func (r ledgeredNow) Read(ctx context.Context, anchors []string) ([]identity.Identity, error) {
	s, err := r.Source.Snapshot(ctx, nil)
	return slices.DeleteFunc(s.Identities, func(i identity.Identity) bool { return !slices.Contains(anchors, i.Key.Anchor) }), err
}

// changing is a world whose source tells what changed.
type changing struct {
	*world
	*ledgered
	change func(*reconcile.Options)
}

func newChanging(t *testing.T, people ...human) *changing {
	c := &changing{world: newWorld(t), ledgered: &ledgered{people: people}}
	c.sync(t, false)
	c.sync(t, false) // looks again at those whom the first one made
	c.reads = []string{"all"}
	return c
}

func (c *changing) wiring(t testing.TB) wiring {
	return wiring{change: func(o *reconcile.Options) {
		o.Sources = []reconcile.Source{c.ledgered.source(t)}
		o.FullRead = map[string]time.Duration{"corp": time.Hour}
		if c.change != nil {
			c.change(o)
		}
	}}
}

func (c *changing) sync(t testing.TB, changes bool) reconcile.Report {
	t.Helper()
	rep, err := c.run(t.Context(), nil, c.wiring(t), reconcile.RunOptions{Changes: changes})
	require.NoError(t, err)
	return rep
}

// readMark gives the store's.
func (c *changing) readMark(t testing.TB) state.ReadMark {
	t.Helper()
	s := c.store()
	defer s.Close()
	m, err := s.ReadMark(t.Context(), "corp")
	require.NoError(t, err)
	return m
}

func three() []human {
	return []human{{ID: "1", UID: "anna"}, {ID: "2", UID: "bert"}, {ID: "3", UID: "cora"}}
}

func TestEngine_Changes(t *testing.T) {
	t.Parallel()
	t.Run("only who changed is asked for and written", func(t *testing.T) {
		t.Parallel()
		c := newChanging(t, three()...)
		c.set(human{ID: "2", UID: "bert", Title: "Chef"})
		c.sim.ResetCalls()
		rep := c.sync(t, true)
		require.Equal(t, []string{"all", "changes"}, c.reads)
		require.Equal(t, state.RunDone, rep.Status, rep.Problems)
		require.Equal(t, "Chef", c.position("bert"))
		require.Len(t, writes(c.sim.Calls()), 1)
		require.Equal(t, 1, rep.Decided)
		require.True(t, rep.Plan.Sources[0].Changes)

		require.Equal(t, 1, c.sync(t, true).Decided, "who was changed is looked at once more")
		require.Zero(t, c.sync(t, true).Decided)
		require.False(t, c.plan(nil, c.wiring(t)).Plan.Effective())
	})
	t.Run("people come, leave and take each other's names", func(t *testing.T) {
		t.Parallel()
		c := newChanging(t, three()...)
		c.set(human{ID: "4", UID: "dora"})
		c.set(human{ID: "1", UID: "bert"})
		c.set(human{ID: "2", UID: "anna"})
		c.set(human{ID: "3", UID: "cora", Left: "yes"})
		rep := c.sync(t, true)
		require.Equal(t, state.RunDone, rep.Status, rep.Problems)
		require.True(t, c.active("dora"))
		require.False(t, c.active("cora"))
		require.Equal(t, []string{"all", "changes"}, c.reads)
		require.False(t, c.plan(nil, c.wiring(t)).Plan.Effective())
	})
	t.Run("nobody is missing", func(t *testing.T) {
		t.Parallel()
		c := newChanging(t, three()...)
		c.remove("2")
		c.set(human{ID: "1", UID: "anna", Title: "Chef"})
		c.sync(t, true)
		require.True(t, c.active("bert"))
		require.Empty(t, c.world.sightings())
		c.sync(t, false)
		require.False(t, c.active("bert"), "a full read misses him")
	})
	t.Run("who is said to be gone is asked about", func(t *testing.T) {
		t.Parallel()
		c := newChanging(t, three()...)
		c.hints = []string{"2", "3", "77"}
		c.remove("2")
		c.sync(t, true)
		require.False(t, c.active("bert"), "who is gone")
		require.True(t, c.active("cora"), "who is not")
		require.Empty(t, c.world.sightings()[1:])
	})
	t.Run("a hint that nobody confirms starts no grace", func(t *testing.T) {
		t.Parallel()
		c := newChanging(t, three()...)
		c.change = func(o *reconcile.Options) {
			threeDays(o)
			o.Sources = []reconcile.Source{doubtful{ledgeredNow{c.ledgered, directory(t, c.people)}}}
		}
		c.sync(t, false)
		c.hints = []string{"2"}
		c.remove("2")
		c.sync(t, true)
		require.True(t, c.active("bert"))
		require.Empty(t, c.world.sightings())
	})
	t.Run("a call that fails is made by the next run", func(t *testing.T) {
		t.Parallel()
		c := newChanging(t, three()...)
		c.set(human{ID: "2", UID: "bert", Title: "Chef"})
		over := c.sim.Fail(mmsim.Fault{Method: "PUT", Path: "/users/*/patch", Status: 400, ErrorID: "model.user.is_valid.position.app_error"})
		rep := c.sync(t, true)
		require.Equal(t, state.RunPartial, rep.Status)
		require.Equal(t, []string{"2"}, c.readMark(t).Again)
		over()
		c.sync(t, true)
		require.Equal(t, "Chef", c.position("bert"))
		require.Equal(t, []string{"all", "changes", "changes"}, c.reads)
	})
	t.Run("what was approved is done by the next run", func(t *testing.T) {
		t.Parallel()
		c := newChanging(t, three()...)
		c.change = func(o *reconcile.Options) { o.Limits.Deactivations.Count = 1 }
		c.set(human{ID: "1", UID: "anna", Left: "yes"})
		c.set(human{ID: "2", UID: "bert", Left: "yes"})
		rep := c.sync(t, true)
		require.Equal(t, state.RunWithheld, rep.Status)
		require.True(t, c.active("anna"))
		require.Equal(t, state.RunDone, c.sync(t, true).Status, "and stays held")
		require.True(t, c.active("anna"))
		_, err := c.say(c.wiring(t), reconcile.Say{Run: rep.RunID, Approves: true, By: "test", Reason: "test"})
		require.NoError(t, err)
		c.sync(t, true)
		require.False(t, c.active("anna"))
		require.False(t, c.active("bert"))
	})
	t.Run("who comes back is held no more", func(t *testing.T) {
		t.Parallel()
		c := newChanging(t, three()...)
		c.change = func(o *reconcile.Options) { o.Limits.Deactivations.Count = 1 }
		c.set(human{ID: "1", UID: "anna", Left: "yes"})
		c.set(human{ID: "2", UID: "bert", Left: "yes"})
		c.sync(t, true)
		require.Len(t, c.held(t), 2)
		c.set(human{ID: "1", UID: "anna"})
		c.sync(t, true)
		require.Equal(t, []identity.Key{{Source: "corp", Anchor: "2"}}, c.held(t))
	})
	t.Run("a clock that was set ends no grace", func(t *testing.T) {
		t.Parallel()
		c := newChanging(t, three()...)
		c.change = threeDays
		c.remove("2")
		s := c.store()
		defer s.Close()
		var ahead time.Duration
		with := c.wiring(t)
		with.wrap = func(s state.Store) state.Store { return movable{s, &ahead} }
		e := c.engine(s, nil, with)
		_, err := e.Sync(t.Context(), reconcile.RunOptions{Trigger: "test"})
		require.NoError(t, err)
		ahead = 73 * time.Hour
		c.sim.SetClockOffset(ahead)
		_, err = e.Sync(t.Context(), reconcile.RunOptions{Trigger: "test", Changes: true})
		require.NoError(t, err)
		require.Equal(t, []string{"all", "all", "all"}, c.reads)
		require.True(t, c.active("bert"), "one more read has to miss him")
	})
	t.Run("a grace of the disabled ends without a change", func(t *testing.T) {
		t.Parallel()
		c := newChanging(t, three()...)
		c.change = func(o *reconcile.Options) { o.Policy.Grace = plan.Grace{Disabled: time.Hour} }
		c.set(human{ID: "1", UID: "anna", Left: "yes"})
		c.sync(t, true)
		require.True(t, c.active("anna"))
		c.age(2 * time.Hour)
		c.sync(t, true)
		require.False(t, c.active("anna"))
	})
	t.Run("a change that was not told is found by the next full read", func(t *testing.T) {
		t.Parallel()
		c := newChanging(t, three()...)
		c.stray = []string{"2"}
		c.set(human{ID: "2", UID: "bert", Title: "Chef"})
		c.sync(t, true)
		require.Empty(t, c.position("bert"))
		c.change = func(o *reconcile.Options) { o.FullRead["corp"] = time.Nanosecond }
		c.sync(t, true)
		require.Equal(t, "Chef", c.position("bert"))
		require.Equal(t, []string{"all", "changes", "all"}, c.reads)
	})
}

// A run of changes between a leaving and the look whether it lasts has seen nothing of it.
func TestEngine_Changes_secondLook(t *testing.T) {
	t.Parallel()
	c := newChanging(t, three()...)
	c.change = func(o *reconcile.Options) { o.LookAgain = 300 * time.Millisecond }
	c.set(human{ID: "2", UID: "bert", Left: "yes"})
	between := wiring{change: func(o *reconcile.Options) {
		o.Sources = []reconcile.Source{c.source(t)}
		o.FullRead = map[string]time.Duration{"corp": time.Hour}
	}}
	with, once := c.wiring(t), false
	change := with.change
	with.change = func(o *reconcile.Options) {
		change(o)
		o.Progress = func(p reconcile.Progress) {
			if !strings.HasPrefix(p.Stage, "waiting") || once {
				return
			}
			once = true
			m := c.readMark(t)
			c.under(func(s state.Store, l state.Lease) { // so that it has nobody to look at again
				none := m
				none.Again = nil
				require.NoError(t, s.SetReadMark(t.Context(), l, m.Mark, none))
			})
			_, err := c.run(t.Context(), nil, between, reconcile.RunOptions{Changes: true})
			require.NoError(t, err)
			u, _ := c.sim.UserByName("bert")
			c.sim.SetUser(u.ID, func(u *mmsim.User) { u.DeleteAt = 0; u.UpdateAt = time.Now().UnixMilli() })
		}
	}
	_, err := c.run(t.Context(), nil, with, reconcile.RunOptions{Changes: true})
	require.NoError(t, err)
	require.True(t, once)
	require.Equal(t, []string{"all", "changes", "changes"}, c.reads)
	require.False(t, c.active("bert"))
}

// movable is a store whose clock a test sets.
type movable struct {
	state.Store
	ahead *time.Duration
}

func (m movable) Now(ctx context.Context) (time.Time, error) {
	now, err := m.Store.Now(ctx)
	return now.Add(*m.ahead), err
}

// held gives the people of whom the guards hold something.
func (c *changing) held(t testing.TB) []identity.Key {
	t.Helper()
	s := c.store()
	defer s.Close()
	list, err := s.Held(t.Context())
	require.NoError(t, err)
	var out []identity.Key
	for _, h := range list {
		out = append(out, h.Key)
	}
	return out
}

// Whoever was left with something to do is looked at by the next run, also when the
// directory has him no more and says nothing about it.
func TestEngine_Changes_removed(t *testing.T) {
	t.Parallel()
	offs := mmsim.Fault{Method: "PUT", Path: "/users/*/active", Status: 400, ErrorID: "api.user.update_active.not_enable.app_error"}
	t.Run("a call that failed is made", func(t *testing.T) {
		t.Parallel()
		c := newChanging(t, three()...)
		c.remove("2")
		over := c.sim.Fail(offs)
		c.sync(t, false)
		c.sync(t, true)
		require.True(t, c.active("bert"))
		over()
		c.sync(t, true)
		require.False(t, c.active("bert"))
		c.sync(t, true)
		c.sync(t, true)
		require.Empty(t, c.readMark(t).Again, "nothing is left to do about him")
		require.Equal(t, []string{"all", "all", "changes", "changes", "changes", "changes"}, c.reads)
	})
	t.Run("what was approved is done", func(t *testing.T) {
		t.Parallel()
		c := newChanging(t, three()...)
		c.change = func(o *reconcile.Options) { o.Limits.Deactivations.Count = 1 }
		c.remove("1")
		c.remove("2")
		rep := c.sync(t, false)
		require.Equal(t, state.RunWithheld, rep.Status)
		c.sync(t, true)
		require.Zero(t, c.gone())
		_, err := c.say(c.wiring(t), reconcile.Say{Run: rep.RunID, Approves: true, By: "test", Reason: "test"})
		require.NoError(t, err)
		c.sync(t, true)
		require.Equal(t, 2, c.gone())
	})
	t.Run("a grace ends", func(t *testing.T) {
		t.Parallel()
		c := newChanging(t, three()...)
		c.change = threeDays
		c.remove("2")
		c.sync(t, false)
		c.sync(t, true)
		c.sync(t, true)
		require.True(t, c.active("bert"))
		c.age(73 * time.Hour)
		c.sync(t, true)
		require.False(t, c.active("bert"))
	})
	t.Run("who could not be asked about is asked about again", func(t *testing.T) {
		t.Parallel()
		c := newChanging(t, three()...)
		c.hints = []string{"2"}
		c.remove("2")
		c.change = func(o *reconcile.Options) {
			o.Sources = []reconcile.Source{doubtful{ledgeredNow{c.ledgered, directory(t, c.people)}}}
		}
		c.sync(t, true)
		require.True(t, c.active("bert"))
		c.change, c.hints = nil, nil
		c.sync(t, true)
		require.False(t, c.active("bert"))
	})
	t.Run("who is there after all stays", func(t *testing.T) {
		t.Parallel()
		c := newChanging(t, three()...)
		c.remove("2")
		over := c.sim.Fail(offs)
		c.sync(t, false)
		over()
		c.people = append(c.people, human{ID: "2", UID: "bert"})
		c.sync(t, true)
		c.sync(t, true)
		require.True(t, c.active("bert"))
	})
}

// Whoever is first missed because the configuration changed is asked about when his grace
// is over, also if a run of changes is the one that sees it end.
func TestEngine_Changes_changedRules(t *testing.T) {
	t.Parallel()
	c := newChanging(t, three()...)
	c.change = func(o *reconcile.Options) {
		o.PolicyDigest = "another filter"
		o.FullRead = map[string]time.Duration{"corp": 100 * time.Hour}
		o.Policy.Grace = plan.Grace{OutOfScope: 2 * time.Hour, Missing: 2 * time.Hour}
		o.Sources = []reconcile.Source{narrowed{ledgeredNow{c.ledgered, directory(t, c.people)}}}
	}
	at := func(by time.Duration, changes bool) reconcile.Report {
		c.sim.SetClockOffset(by)
		with := c.wiring(t)
		with.wrap = func(s state.Store) state.Store { return clocked{s, by} }
		rep, err := c.run(t.Context(), nil, with, reconcile.RunOptions{Changes: changes})
		require.NoError(t, err)
		return rep
	}
	c.remove("2")
	at(time.Hour, false)
	c.hints = []string{"2"}
	for _, by := range []time.Duration{4 * time.Hour, 5 * time.Hour} {
		rep := at(by, true)
		require.Equal(t, "changes", c.reads[len(c.reads)-1])
		require.True(t, c.active("bert"), by)
		require.Equal(t, []identity.Key{{Source: "corp", Anchor: "2"}}, c.held(t))
		if by == 4*time.Hour {
			require.Equal(t, state.RunWithheld, rep.Status)
			require.Equal(t, guard.ScopeChange, rep.Verdict.Trips[0].Class)
		}
	}
}

// narrowed has everybody whom its filter does not select.
type narrowed struct{ ledgeredNow }

func (narrowed) Confirm(_ context.Context, anchors []string) (map[string]identity.Presence, error) {
	out := map[string]identity.Presence{}
	for _, a := range anchors {
		out[a] = identity.PresenceOutOfScope
	}
	return out, nil
}

// doubtful cannot be asked about single people.
type doubtful struct{ ledgeredNow }

func (d doubtful) Confirm(context.Context, []string) (map[string]identity.Presence, error) {
	return nil, errors.New("busy")
}

// Everybody is read wherever what changed would not do.
func TestEngine_Changes_readsAll(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, c *changing){
		"the source says so": func(_ *testing.T, c *changing) { c.full = "it is another server" },
		"other rules":        func(_ *testing.T, c *changing) { c.change = func(o *reconcile.Options) { o.PolicyDigest = "other" } },
		"another program":    func(_ *testing.T, c *changing) { c.change = func(o *reconcile.Options) { o.Version = "next" } },
		"no period":          func(_ *testing.T, c *changing) { c.change = func(o *reconcile.Options) { o.FullRead = nil } },
		"another source": func(t *testing.T, c *changing) {
			c.change = func(o *reconcile.Options) { o.Sources = append(o.Sources, directoryOf(t, "branch", nil)) }
		},
		"much has changed": func(_ *testing.T, c *changing) {
			for i := range 1001 {
				c.set(human{ID: fmt.Sprint("x", i), UID: fmt.Sprint("user", i), Left: "yes"})
			}
		},
		"the last audit is old": func(t *testing.T, c *changing) {
			c.under(func(s state.Store, l state.Lease) {
				require.NoError(t, s.SetMark(t.Context(), l, state.Mark{Name: "audit", At: time.Now().Add(-25 * time.Hour)}))
			})
		},
		"a hundred runs of changes": func(t *testing.T, c *changing) {
			s := c.store()
			defer s.Close()
			for i := range 100 {
				r := state.Run{ID: fmt.Sprintf("9-%03d", i), Kind: "sync", Trigger: "test", Status: state.RunDone, Options: `{"changes":true}`, RequestedAt: time.Now(), PlannedAt: time.Now(), FinishedAt: time.Now()}
				require.NoError(t, s.SaveRun(t.Context(), r))
			}
		},
		"a clock that went back": func(t *testing.T, c *changing) {
			m := c.readMark(t)
			c.under(func(s state.Store, l state.Lease) {
				next := m
				next.FullAt = m.FullAt.Add(30 * time.Hour)
				require.NoError(t, s.SetReadMark(t.Context(), l, m.Mark, next))
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newChanging(t, three()...)
			change(t, c)
			c.set(human{ID: "2", UID: "bert", Title: "Chef"})
			c.sync(t, true)
			require.Equal(t, "all", c.reads[len(c.reads)-1])
			require.Equal(t, "Chef", c.position("bert"))
		})
	}
	t.Run("and an error moves nothing", func(t *testing.T) {
		t.Parallel()
		c := newChanging(t, three()...)
		before := c.readMark(t)
		c.err = errors.New("the directory is away")
		_, err := c.run(t.Context(), nil, c.wiring(t), reconcile.RunOptions{Changes: true})
		require.ErrorContains(t, err, "the directory is away")
		require.Equal(t, before, c.readMark(t))
	})
}

// Whatever changes between them, runs that read only that leave nothing for a full one to
// do but what they cannot see.
func TestEngine_Changes_converge(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 7))
			var people []human
			for i := range 12 {
				people = append(people, human{ID: fmt.Sprint(i), UID: fmt.Sprint("user", i)})
			}
			c := newChanging(t, people...)
			for range 8 {
				for range rnd.IntN(4) {
					p := people[rnd.IntN(len(people))]
					p.Title = fmt.Sprint("title", rnd.IntN(3))
					p.UID = people[rnd.IntN(len(people))].UID + []string{"", "x"}[rnd.IntN(2)]
					if slices.ContainsFunc(c.people, func(h human) bool { return h.ID != p.ID && h.UID == p.UID }) {
						p.UID += fmt.Sprint("-", p.ID)
					}
					p.Left = []string{"", "", "yes"}[rnd.IntN(3)]
					c.set(p)
				}
				if rnd.IntN(3) == 0 {
					c.sim.Fail(mmsim.Fault{Method: "PUT", Path: "/users/*/*", Status: 500, Count: 1, Skip: rnd.IntN(2)})
				}
				c.sync(t, true)
			}
			for range 3 {
				c.sync(t, true)
			}
			rep := c.plan(nil, c.wiring(t))
			text, _ := json.MarshalIndent(rep.Plan.Decisions, "", " ")
			require.False(t, rep.Plan.Effective(), string(text))
		})
	}
}
