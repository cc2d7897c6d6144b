package reconcile_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
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

// These tests are about who has to be decided: nobody for whom nothing has
// changed, and everybody for whom something has.

func few() []human {
	return []human{
		{ID: "1", UID: "anna", Title: "Clerk"}, {ID: "2", UID: "bert"}, {ID: "3", UID: "cora"}, {ID: "4", UID: "dirk"},
	}
}

// rest runs until nobody has to be decided any more, so that everybody is settled.
func (w *world) rest(people []human, with wiring) {
	w.t.Helper()
	for range 4 {
		rep, err := w.sync(people, with)
		require.NoError(w.t, err)
		if rep.Decided == 0 {
			return
		}
	}
	require.Fail(w.t, "somebody has to be decided again and again")
}

// decided runs once and tells about how many people something had to be decided.
func (w *world) decided(people []human, with wiring) int {
	w.t.Helper()
	rep, err := w.sync(people, with)
	require.NoError(w.t, err)
	return rep.Decided
}

// seen runs once, fails unless so many people had to be decided, and unless
// everybody is settled after one more run.
func (w *world) seen(people []human, with wiring, n int) {
	w.t.Helper()
	require.Equal(w.t, n, w.decided(people, with))
	w.decided(people, with)
	require.Zero(w.t, w.decided(people, with), "everybody is settled again")
}

func (w *world) links() map[string]identity.Link {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	list, err := s.Links(w.t.Context(), state.LinkFilter{})
	require.NoError(w.t, err)
	out := make(map[string]identity.Link, len(list))
	for _, l := range list {
		out[l.Key.Anchor] = l
	}
	return out
}

// heads tells who is settled.
func (w *world) settled() map[string]bool {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	out := map[string]bool{}
	require.NoError(w.t, s.Heads(w.t.Context(), func(h state.LinkHead) error {
		out[h.Key.Anchor] = h.Settled != state.Digest{}
		return nil
	}))
	return out
}

// asked gives the ids of the look-ups by id since the calls were last forgotten,
// with since and without.
func (w *world) asked() (since, whole []string) {
	w.t.Helper()
	for _, c := range w.sim.Calls() {
		if c.Method != http.MethodPost || !strings.HasSuffix(c.Path, "/users/ids") {
			continue
		}
		var ids []string
		require.NoError(w.t, json.Unmarshal(c.Body, &ids))
		if strings.Contains(c.RawQuery, "since=") {
			since = append(since, ids...)
		} else {
			whole = append(whole, ids...)
		}
	}
	return since, whole
}

func TestEngine_Settled(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) (*world, []human) {
		w, people := newWorld(t), few()
		w.rest(people, wiring{})
		return w, people
	}
	all := len(few())

	t.Run("while nothing changes nothing is decided and only the accounts written last are read whole", func(t *testing.T) {
		t.Parallel()
		people := crowd()
		w := old(t, people)
		rep, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.Zero(t, rep.Decided)
		require.Equal(t, len(people), rep.Plan.Unchanged)
		require.Equal(t, state.RunDone, rep.Status)
		since, whole := w.asked()
		require.Len(t, since, len(people)-200)
		whole = slices.DeleteFunc(whole, func(id string) bool { return id == w.sim.AdminID() }) // whose answer tells the server's clock
		require.Len(t, whole, 200)
		require.Empty(t, w.sim.Writes())
		for _, c := range w.sim.Calls() {
			require.False(t, c.Method == http.MethodGet && c.Path == "/api/v4/users" && !strings.Contains(c.RawQuery, "role"), "no walk")
		}
	})
	t.Run("an account that changed on the server is decided, alone", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		w.touch("anna", 0, func(u *mmsim.User) { u.Position = "Emperor" })
		rep, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, 1, rep.Decided)
		require.Equal(t, plan.Drifted, decisionOn(t, rep, "1").Reason)
		w.rest(people, wiring{})
	})
	t.Run("an entry that changed is decided, alone", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		people[2].Title = "Director"
		w.seen(people, wiring{}, 1)
		u, _ := w.sim.UserByName("cora")
		require.Equal(t, "Director", u.Position)
	})
	t.Run("a login moves update_at and is forgotten after one look", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		w.touch("bert", time.Second, func(*mmsim.User) {})
		require.Equal(t, 1, w.decided(people, wiring{}))
		require.Zero(t, w.decided(people, wiring{}))
	})
	t.Run("other rules decide about everybody", func(t *testing.T) {
		t.Parallel()
		for name, change := range map[string]func(*reconcile.Options){
			"the policy":           func(o *reconcile.Options) { o.Policy.NeverBelow = 2 },
			"the configuration":    func(o *reconcile.Options) { o.PolicyDigest = "another" },
			"the program":          func(o *reconcile.Options) { o.Version = "another" },
			"the server's version": func(o *reconcile.Options) { o.Target = told{o.Target, func(f *plan.Facts) { f.Version = "11.7.0" }} },
			"what is shown": func(o *reconcile.Options) {
				o.Target = told{o.Target, func(f *plan.Facts) { f.AuthDataVisible = false }}
			},
			"who is locked": func(o *reconcile.Options) { o.Target = told{o.Target, func(f *plan.Facts) { f.LDAPLocked = false }} },
			"e-mails are verified": func(o *reconcile.Options) {
				o.Target = told{o.Target, func(f *plan.Facts) { f.EmailVerification = true }}
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w, people := setup(t)
				w.seen(people, wiring{change: change}, all)
				require.Equal(t, all, w.decided(people, wiring{}), "and so does the way back")
			})
		}
	})
	t.Run("a free seat more or less decides about nobody", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		require.Zero(t, w.decided(people, wiring{change: func(o *reconcile.Options) {
			o.Target = told{o.Target, func(f *plan.Facts) { f.SeatsLeft = 3 }}
		}}))
	})
	t.Run("a server that was upgraded is another one", func(t *testing.T) {
		t.Parallel()
		site := map[string]string{"MM_SERVICESETTINGS_SITEURL": "https://chat.example.test"}
		before := newWorldOf(t, mmsim.Options{Seed: 7, Settings: site, Profile: mmsim.Profile538})
		people := few()
		before.rest(people, wiring{})
		w := newWorldOf(t, mmsim.Options{Seed: 7, Settings: site})
		w.db = before.db
		w.sim.RestoreState(before.sim.SnapshotState())
		w.seen(people, wiring{}, all)
	})
	t.Run("an audit decides about everybody", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		rep, err := w.run(t.Context(), people, wiring{}, reconcile.RunOptions{Audit: true})
		require.NoError(t, err)
		require.Equal(t, all, rep.Decided)
		require.Zero(t, w.decided(people, wiring{}))
	})
	t.Run("an audit that was asked for in vain leaves nobody settled", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		c := &crash{at: 1, kind: beforeRequest}
		cut := network(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodGet && r.URL.Path == "/api/v4/users" && !r.URL.Query().Has("role") {
				c.dead.Store(true)
			}
			return c.RoundTrip(r)
		})
		c.at = -1
		_, err := w.run(t.Context(), people, wiring{network: cut}, reconcile.RunOptions{Audit: true})
		require.ErrorIs(t, err, errCrash)
		require.Equal(t, all, w.decided(people, wiring{}))
	})
}

// told is a server that says something else about itself.
type told struct {
	reconcile.Target
	change func(*plan.Facts)
}

func (s told) Facts(ctx context.Context) (plan.Facts, error) {
	f, err := s.Target.Facts(ctx)
	s.change(&f)
	return f, err
}

func TestEngine_Settled_absent(t *testing.T) {
	t.Parallel()
	// dirk has left, and cora's entry says so.
	left := func(t *testing.T) (*world, []human) {
		w, people := newWorld(t), few()
		w.rest(people, wiring{})
		people[2].Left = "yes"
		people = people[:3]
		w.decided(people, wiring{})
		w.decided(people, long)
		require.True(t, w.settled()["3"])
		require.True(t, w.settled()["4"])
		require.False(t, w.active("cora"))
		require.False(t, w.active("dirk"))
		return w, people
	}
	t.Run("one who is switched on by somebody is off again", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{"cora", "dirk"} {
			w, people := left(t)
			w.touch(name, time.Second, func(u *mmsim.User) { u.DeleteAt = 0 })
			rep, err := w.sync(people, wiring{})
			require.NoError(t, err)
			require.Equal(t, 1, rep.Plan.Count(plan.Deactivate), name)
			require.False(t, w.active(name))
		}
	})
	t.Run("one who is back is on again", func(t *testing.T) {
		t.Parallel()
		w, _ := left(t)
		require.Equal(t, 2, w.decided(few(), wiring{}))
		require.True(t, w.active("cora"))
		require.True(t, w.active("dirk"))
	})
	t.Run("an entry that cannot be read, where a settled absent person was last, is that person", func(t *testing.T) {
		t.Parallel()
		w, people := left(t)
		broken := append(slices.Clone(people), human{UID: "no.id"}) // on dirk's line
		rep, err := w.sync(broken, wiring{change: func(o *reconcile.Options) { threeDays(o) }})
		require.NoError(t, err)
		require.Contains(t, strings.Join(rep.Problems, "\n"), "people.jsonl:4")
		require.NotContains(t, rep.Plan.Sources[0].Doubt, "belongs to nobody known")
		require.False(t, w.active("dirk"))
		// One line further it belongs to nobody, and leaves open who is missing.
		broken = append(slices.Clone(people), human{ID: "5", UID: "emil"}, human{UID: "no.id"})
		rep, err = w.sync(broken, wiring{})
		require.NoError(t, err)
		require.False(t, rep.Plan.Sources[0].Complete)
	})
	t.Run("nobody who never had an account and has left is decided", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()
		people = append(people, human{ID: "9", UID: "zoe", Left: "yes"})
		w.rest(people, wiring{})
		rep, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.Zero(t, rep.Decided)
		require.Equal(t, 5, rep.Plan.Unchanged)
	})
}

func TestEngine_Settled_never(t *testing.T) {
	t.Parallel()
	t.Run("who is held", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()
		w.sim.AddUser(mmsim.User{Username: "taken", Email: "taken@chat.test"})
		w.rest(people, wiring{})
		people[1].UID, people[1].Mail = "taken", "bert@example.test"
		for range 3 {
			rep, err := w.sync(people, wiring{})
			require.NoError(t, err)
			require.Equal(t, 1, rep.Decided)
			require.Equal(t, plan.UsernameTaken, decisionOn(t, rep, "2").Reason)
		}
	})
	t.Run("who waits for a grace", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()
		patient := wiring{change: threeDays}
		w.rest(people, patient)
		for range 3 {
			require.Equal(t, 1, w.decided(people[:3], patient))
		}
	})
	t.Run("for whom a call failed", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()
		w.rest(people, wiring{})
		people[0].Title = "Director"
		stop := w.sim.Fail(mmsim.Fault{Path: "/users/*/patch", Status: http.StatusBadRequest, ErrorID: "model.user.is_valid.position.app_error"})
		for range 3 {
			rep, err := w.sync(people, wiring{})
			require.NoError(t, err)
			require.Equal(t, 1, rep.Decided)
			require.Equal(t, 1, rep.Counts.Failed)
			require.False(t, w.settled()["1"])
		}
		stop()
		w.seen(people, wiring{}, 1)
	})
	t.Run("by a run that was narrowed", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()
		_, err := w.sync(people, wiring{})
		require.NoError(t, err)
		s := w.store()
		_, err = w.engine(s, people, wiring{}).Approve(t.Context(), reconcile.RunOptions{Trigger: "test"}, nil)
		require.NoError(t, err)
		require.NoError(t, s.Close())
		for anchor, is := range w.settled() {
			require.False(t, is, anchor)
		}
	})
	t.Run("whose anchor occurs twice", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()
		w.rest(people, wiring{})
		double := append(slices.Clone(people[:3]), people[3], people[3]) // both as he was
		for range 2 {
			rep, err := w.sync(double, wiring{})
			require.NoError(t, err)
			require.Equal(t, 1, rep.Decided)
			require.Equal(t, 3, rep.Plan.Unchanged)
			require.Equal(t, plan.EntryFault, decisionOn(t, rep, "4").Reason)
			require.False(t, rep.Plan.Sources[0].Complete)
		}
		require.Empty(t, w.sightings())
		require.True(t, w.active("dirk"))
	})
	t.Run("while what was taken may yet come back", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()
		w.rest(people, wiring{})
		people[0].Left = "yes"
		for range 3 {
			require.Equal(t, 1, w.decided(people, wiring{}))
			require.False(t, w.settled()["1"])
		}
		require.Equal(t, 1, w.decided(people, long))
		require.True(t, w.settled()["1"])
		require.Zero(t, w.links()["1"].Recheck)
		require.Zero(t, w.decided(people, long))
	})
}

// long is later than what was taken has to last to be believed.
var long = wiring{wrap: func(s state.Store) state.Store { return later{s, 41 * time.Second} }}

func TestEngine_Settled_moved(t *testing.T) {
	t.Parallel()
	w, people := newWorld(t), few()
	w.rest(people, wiring{})
	ref := w.links()["1"].Ref
	turned := slices.Clone(people)
	slices.Reverse(turned)
	require.Zero(t, w.decided(turned, wiring{}), "who is kept elsewhere is the same person")
	require.NotEqual(t, ref, w.links()["1"].Ref)
	require.Equal(t, ref, w.links()["4"].Ref)
	s := w.store()
	defer s.Close()
	x, err := w.engine(s, turned, wiring{}).Explain(t.Context(), "anna")
	require.NoError(t, err)
	require.Equal(t, w.links()["1"].Ref, x.Link.Ref)
	require.Equal(t, x.Desired.Ref, x.Link.Ref)
	require.Zero(t, w.decided(turned, wiring{}))
}

func TestEngine_Settled_contributors(t *testing.T) {
	t.Parallel()
	w, people := newWorld(t), few()
	w.rest(people, wiring{})
	anna := w.links()["1"]
	second := identity.Link{
		Key: identity.Key{Source: "corp", Anchor: "second"}, AccountID: anna.AccountID, Part: identity.Contributor, Origin: identity.OriginOperator,
		CreatedAt: time.Now(), UpdatedAt: time.Now(),
	}
	s := w.store()
	l, err := s.AcquireLease(t.Context(), "reconcile", "test", time.Minute)
	require.NoError(t, err)
	require.NoError(t, s.PutLinks(t.Context(), l, []identity.Link{second}))
	require.NoError(t, s.ReleaseLease(t.Context(), l))
	require.NoError(t, s.Close())
	people = append(people, human{ID: "second", UID: "anna", Title: "Other"})
	for range 3 {
		rep, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, 1, rep.Decided, "a contributor alone")
		require.False(t, rep.Plan.Effective())
		require.Equal(t, 5, rep.Plan.Unchanged)
	}
	u, _ := w.sim.UserByName("anna")
	require.Equal(t, "Clerk", u.Position, "a contributor changes nothing")
	// His absence is nobody's.
	rep, err := w.sync(people[:4], wiring{})
	require.NoError(t, err)
	require.Zero(t, rep.Decided)
	require.True(t, w.active("anna"))
	require.Contains(t, w.links(), "second")
}

func TestEngine_Plan_writesNothing(t *testing.T) {
	t.Parallel()
	w, people := newWorld(t), few()
	_, err := w.sync(people, wiring{})
	require.NoError(t, err)
	w.touch("bert", time.Second, func(u *mmsim.User) { u.Position = "Emperor" })
	people[0].Title = "Director"
	c := &crash{kind: beforeWrite, at: -1}
	counted := wiring{wrap: func(s state.Store) state.Store { return mortal{s, c} }}
	links, settled, sightings := w.links(), w.settled(), w.sightings()
	rep := w.plan(people[:3], counted)
	require.Len(t, rep.Plan.Decisions, 3)
	require.EqualValues(t, 2, c.count.Load(), "its own row, twice")
	require.Equal(t, links, w.links())
	require.Equal(t, settled, w.settled())
	require.Equal(t, sightings, w.sightings())
}
