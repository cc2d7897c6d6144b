package reconcile_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// making is a club in which teams and channels that are missing are made, at most five.
func making(t testing.TB, names ...string) *club {
	t.Helper()
	c := newClub(t, mmsim.Options{}, names...)
	c.change = func(o *reconcile.Options) {
		o.NewSpaces = reconcile.NewSpaces{Make: true, Titles: map[string]string{"crew": "The Crew"}, Public: map[string]bool{"crew/dev": true}}
		o.Limits.SpaceCreations = guard.Limit{Count: 5}
	}
	return c
}

// crew gives rules about a team and two channels of it that are not there.
func (c *club) crew() []human {
	c.give("crew", "crew", false)
	c.give("devs", "crew/dev", false)
	c.give("devs", "crew/ops", true)
	return []human{
		{ID: "1", UID: "ann", Groups: []string{"crew", "devs"}},
		{ID: "2", UID: "bob", Groups: []string{"crew"}},
	}
}

// made asks the server for a team or channel by its name, and gives its id.
func (c *club) made(name string) string {
	c.t.Helper()
	cl, err := mattermost.New(mattermost.Options{BaseURL: c.url, Token: func() (string, error) { return adminToken, nil }, RatePerSecond: 1e6, ProxyURL: "direct"})
	require.NoError(c.t, err)
	found, err := mattermost.NewTarget(cl, mattermost.TargetOptions{}).Spaces(c.t.Context(), []string{name})
	require.NoError(c.t, err)
	require.NotEmpty(c.t, found[name].ID, name)
	c.ids[name] = found[name].ID
	return found[name].ID
}

func posts(calls []mmsim.Call, path string) int {
	n := 0
	for _, call := range calls {
		if call.Method == http.MethodPost && call.Path == "/api/v4"+path {
			n++
		}
	}
	return n
}

func TestNewSpaces(t *testing.T) {
	t.Parallel()
	t.Run("are made once, as configured, and people are put into them in the same sync", func(t *testing.T) {
		t.Parallel()
		c := making(t)
		people := c.crew()
		before := c.plan(people, c.with(people, wiring{}))
		require.Equal(t, 3, before.Plan.Count(plan.Make))
		rep, writes := c.sync(people)
		require.NotNil(t, rep.Again)
		require.Empty(t, rep.Problems)
		require.Equal(t, state.RunDone, rep.Status)
		require.Equal(t, 1, posts(writes, "/teams"))
		require.Equal(t, 2, posts(writes, "/channels"))
		for _, name := range []string{"crew", "crew/dev", "crew/ops"} {
			c.made(name)
		}
		require.Equal(t, []string{"ann", "bob"}, c.in("crew"))
		require.Equal(t, []string{"ann"}, c.in("crew/dev"))
		require.Equal(t, []string{"ann*"}, c.in("crew/ops"))
		team := string(c.call(http.MethodGet, "/teams/"+c.ids["crew"], ""))
		require.Contains(t, team, `"display_name":"The Crew"`)
		require.Contains(t, team, `"type":"I"`)
		require.Contains(t, string(c.call(http.MethodGet, "/channels/"+c.ids["crew/dev"], "")), `"type":"O"`)
		require.Contains(t, string(c.call(http.MethodGet, "/channels/"+c.ids["crew/ops"], "")), `"type":"P"`)
		c.quiet(people)
		s := c.store()
		defer s.Close()
		ops, err := s.Ops(t.Context(), state.OpFilter{})
		require.NoError(t, err)
		var made []string
		for _, op := range ops {
			if name, ok := op.Op.Makes(); ok {
				require.Equal(t, state.OpDone, op.Status)
				require.Equal(t, c.ids[name], op.AccountID)
				made = append(made, name)
			}
		}
		require.Equal(t, []string{"crew", "crew/dev", "crew/ops"}, made)
		links, err := s.Links(t.Context(), state.LinkFilter{})
		require.NoError(t, err)
		require.Len(t, links, 2)
	})
	t.Run("so it is in a run that another process makes", func(t *testing.T) {
		t.Parallel()
		c := making(t)
		people := c.crew()
		s, _ := c.desk(people, c.with(people, holders("desk")))
		free := c.busy(s)
		_, got := c.ask(t.Context(), people, c.with(people, holders("asker")), reconcile.RunOptions{}, time.Minute, nil)
		r := asked(t, s)
		free()
		a := <-got
		require.NoError(t, a.err)
		require.NotNil(t, a.rep.Again)
		c.made("crew")
		require.Equal(t, []string{"ann", "bob"}, c.in("crew"))
		noRequest(t, s, r)
	})
	t.Run("no channel is made for people whom its team keeps out", func(t *testing.T) {
		t.Parallel()
		c := making(t, "eng")
		c.give("crew", "eng", false)
		c.give("crew", "eng/new", false)
		c.sync([]human{{ID: "1", UID: "ann"}})
		c.call(http.MethodPut, "/teams/"+c.ids["eng"]+"/patch", `{"allowed_domains":"else.test"}`)
		rep, writes := c.sync([]human{{ID: "1", UID: "ann", Groups: []string{"crew"}}})
		require.Zero(t, posts(writes, "/channels"))
		require.Equal(t, plan.TeamDomain, rep.Plan.Decisions[0].Notes[1].Reason)
		require.Zero(t, rep.Plan.Count(plan.Make))
	})
	t.Run("what has to be made does not have everybody read each time", func(t *testing.T) {
		t.Parallel()
		c := making(t, "crew", "crew/dev")
		c.give("crew", "crew", false)
		c.give("nobody", "void", false) // nobody is to be in it, so that it is never made
		c.give("crew", "crew/dev", false)
		c.call(http.MethodDelete, "/channels/"+c.ids["crew/dev"], "")
		people := []human{{ID: "1", UID: "ann", Groups: []string{"crew"}}}
		r := &ledgered{}
		r.set(people[0])
		more := c.change
		c.change = func(o *reconcile.Options) {
			more(o)
			o.Sources = []reconcile.Source{ledgeredNow{r, c.directory(r.people)}}
			o.FullRead = map[string]time.Duration{"corp": time.Hour}
		}
		run := func() reconcile.Report {
			rep, err := c.run(t.Context(), people, c.with(people, wiring{}), reconcile.RunOptions{Changes: true})
			require.NoError(t, err)
			return rep
		}
		run()
		r.set(human{ID: "1", UID: "ann", Groups: []string{"crew"}, Title: "Captain"})
		rep := run()
		require.True(t, rep.Plan.Sources[0].Changes, "%+v", rep.Plan.Sources)
	})
	t.Run("a run of changes makes them as well, and puts people into them", func(t *testing.T) {
		t.Parallel()
		c := making(t)
		people := c.crew()
		r := &ledgered{}
		r.set(human{ID: "2", UID: "bob"})
		more := c.change
		c.change = func(o *reconcile.Options) {
			more(o)
			o.Sources = []reconcile.Source{ledgeredNow{r, c.directory(r.people)}}
			o.FullRead = map[string]time.Duration{"corp": time.Hour}
		}
		s := c.store()
		defer s.Close()
		run := func() reconcile.Report { // a service: what it learned of teams it knows for a while
			rep, err := c.engine(s, people, c.with(people, wiring{})).Sync(t.Context(), reconcile.RunOptions{Changes: true, Trigger: "test", RequestedBy: "test"})
			require.NoError(t, err)
			return rep
		}
		run()
		r.set(people[0])
		r.set(people[1])
		rep := run()
		require.True(t, rep.Plan.Sources[0].Changes, "%+v", rep.Plan.Sources)
		require.NotNil(t, rep.Again)
		require.Empty(t, rep.Again.Failures)
		c.made("crew")
		require.Equal(t, []string{"ann", "bob"}, c.in("crew"))
	})
	t.Run("are only reported unless the configuration says to make them", func(t *testing.T) {
		t.Parallel()
		c := newClub(t, mmsim.Options{})
		rep, writes := c.sync(c.crew())
		require.Zero(t, posts(writes, "/teams")+posts(writes, "/channels"))
		require.Len(t, rep.Problems, 3)
	})
	t.Run("nothing is made for nobody, nor in place of what is archived", func(t *testing.T) {
		t.Parallel()
		c := making(t, "crew", "crew/dev", "old")
		people := c.crew()
		c.give("nobody", "void", false)
		c.give("crew", "old", false)
		c.give("crew", "old/talk", false)
		c.call(http.MethodDelete, "/channels/"+c.ids["crew/dev"], "")
		c.call(http.MethodDelete, "/teams/"+c.ids["old"], "")
		rep, writes := c.sync(people)
		require.Zero(t, posts(writes, "/teams"))
		require.Equal(t, 1, posts(writes, "/channels"), "crew/ops alone")
		said := strings.Join(rep.Problems, "\n")
		require.Contains(t, said, `channel "crew/dev", which memberships.rules names, is archived`)
		require.Contains(t, said, `team "old", which memberships.rules names, is archived`)
	})
	t.Run("a typo makes no hundreds of teams, and an operator may let them be made", func(t *testing.T) {
		t.Parallel()
		c := making(t)
		var people []human
		for i := range 6 {
			c.give(fmt.Sprintf("g%d", i), fmt.Sprintf("team-%d", i), false)
			people = append(people, human{ID: fmt.Sprint(i), UID: fmt.Sprintf("user%d", i), Groups: []string{fmt.Sprintf("g%d", i)}})
		}
		rep, writes := c.sync(people)
		require.Equal(t, state.RunWithheld, rep.Status)
		require.Zero(t, posts(writes, "/teams"))
		require.Contains(t, rep.Verdict.Message(), "too many new teams and channels from corp: 6, limit 5")
		require.Equal(t, state.RunWithheld, func() state.RunStatus { r, _ := c.sync(people); return r.Status }())
		s := c.store()
		e := c.engine(s, people, c.with(people, wiring{}))
		_, err := e.Say(t.Context(), reconcile.Say{Run: rep.RunID, Approves: true, By: "ann", Reason: "a new house"})
		require.NoError(t, err)
		require.NoError(t, s.Close())
		rep, writes = c.sync(people)
		require.Equal(t, state.RunDone, rep.Status, rep.Verdict.Message())
		require.Equal(t, 6, posts(writes, "/teams"))
		c.quiet(people)
	})
	t.Run("a name that is taken meanwhile costs that one alone", func(t *testing.T) {
		t.Parallel()
		c := making(t)
		people := c.crew()
		c.give("crew", "other", false)
		w := wiring{network: network(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPost && r.URL.Path == "/api/v4/teams" && c.ids["crew"] == "" {
				c.make("crew")
				c.call(http.MethodDelete, "/teams/"+c.ids["crew"], "")
			}
			return http.DefaultTransport.RoundTrip(r)
		})}
		w.change = func(o *reconcile.Options) { o.Workers = 1 }
		rep, err := c.world.sync(people, c.with(people, w))
		require.NoError(t, err)
		require.Equal(t, state.RunPartial, rep.Status)
		c.made("other")
		require.Equal(t, []string{"ann", "bob"}, c.in("other"))
		rep, writes := c.sync(people)
		require.Zero(t, posts(writes, "/teams"), "now it is known that it is archived")
		require.Contains(t, strings.Join(rep.Problems, "\n"), `team "crew", which memberships.rules names, is archived`)
	})
	t.Run("people of a first run are put into them however many they are", func(t *testing.T) {
		t.Parallel()
		c := making(t)
		c.unseen = true
		people := c.crew()
		more := c.change
		c.change = func(o *reconcile.Options) {
			more(o)
			o.Limits.MembershipAdditions = guard.Limit{Count: 1}
		}
		rep, _ := c.sync(people)
		require.Equal(t, state.RunDone, rep.Status, "%+v", rep.Verdict)
		c.made("crew")
		require.Equal(t, []string{"ann", "bob"}, c.in("crew"))
	})
	t.Run("taking the run back leaves them there", func(t *testing.T) {
		t.Parallel()
		c := making(t)
		people := c.crew()
		rep, _ := c.sync(people)
		s := c.store()
		defer s.Close()
		back, err := c.engine(s, people, c.with(people, wiring{})).PlanRevert(t.Context(), reconcile.RunOptions{Trigger: "test", RequestedBy: "test"}, rep.RunID)
		require.NoError(t, err)
		require.Contains(t, strings.Join(back.Problems, "\n"), "what was made stays")
		c.made("crew")
	})
}

// TestNewSpaces_Crash cuts the run at every place: in the end each team and channel is
// there once, and its people in it.
func TestNewSpaces_Crash(t *testing.T) {
	t.Parallel()
	for _, kind := range cutKinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			apart := step(3)
			n := 1 + rand.IntN(apart) //nolint:gosec // where to begin; failures name the place
			for hit := true; hit; n += apart {
				hit = cutWhileMaking(t, kind, n)
			}
			require.Greater(t, n, 20, "places to cut at")
		})
	}
}

func cutWhileMaking(t *testing.T, kind cutKind, n int) (hit bool) {
	t.Helper()
	c := making(t)
	people := c.crew()
	name := fmt.Sprintf("%s %d", kind, n)
	if kind == lostRequest || kind == lostAnswer {
		over := c.sim.Fail(mmsim.Fault{Skip: n - 1, Count: 1, CutBefore: kind == lostRequest, CutAfter: kind == lostAnswer})
		_, err := c.world.sync(people, c.with(people, wiring{}))
		over()
		if hit = len(c.sim.Calls()) >= n; !hit {
			require.NoError(t, err, name)
		}
	} else {
		cr := &crash{at: int64(n), kind: kind}
		_, err := c.world.sync(people, c.with(people, wiring{wrap: func(s state.Store) state.Store { return mortal{s, cr} }, network: cr}))
		if hit = cr.dead.Load(); !hit {
			require.NoError(t, err, name)
		}
	}
	for i := 0; ; i++ {
		time.Sleep(30 * time.Millisecond) // a call that may still arrive
		rep, err := c.world.sync(people, c.with(people, wiring{}))
		require.NoError(t, err, name)
		if rep.Status == state.RunDone && !c.plan(people, c.with(people, wiring{})).Plan.Effective() {
			break
		}
		require.Less(t, i, 5, "%s: no rest: %+v", name, rep.Plan.Decisions)
	}
	for _, x := range []struct {
		space string
		in    []string
	}{{"crew", []string{"ann", "bob"}}, {"crew/dev", []string{"ann"}}, {"crew/ops", []string{"ann*"}}} {
		c.made(x.space)
		require.Equal(t, x.in, c.in(x.space), "%s: %s", name, x.space)
	}
	writes := c.sim.Calls()
	made := slices.DeleteFunc(writes, func(x mmsim.Call) bool {
		return x.Method != http.MethodPost || x.Status != http.StatusCreated || x.Path != "/api/v4/teams" && x.Path != "/api/v4/channels"
	})
	require.Len(t, made, 3, "%s: each is made once", name)
	s := c.store()
	defer s.Close()
	open, err := s.Ops(t.Context(), state.OpFilter{Statuses: []state.OpStatus{state.OpPending, state.OpSent}})
	require.NoError(t, err)
	require.Empty(t, open, name)
	links, err := s.Links(t.Context(), state.LinkFilter{})
	require.NoError(t, err)
	for i := range links {
		require.Equal(t, identity.Owner, links[i].Part, name)
	}
	require.Len(t, links, 2, name)
	return hit
}
