package reconcile_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/file"
	"github.com/mmsync/mmsync/internal/state"
)

// club is a world with teams and channels, and rules about them.
type club struct {
	*world
	rules  []sources.MembershipRule
	strict map[string]bool
	change func(*reconcile.Options)
	ids    map[string]string // of teams and channels, by name
}

// newClub makes teams and channels, a team before its channels.
func newClub(t testing.TB, o mmsim.Options, names ...string) *club {
	t.Helper()
	c := &club{world: newWorldOf(t, o), strict: map[string]bool{}, ids: map[string]string{}}
	for _, name := range names {
		c.make(name)
	}
	return c
}

func (c *club) make(name string) {
	c.t.Helper()
	team, channel, isChannel := strings.Cut(name, "/")
	path, body := "/teams", fmt.Sprintf(`{"name":%q,"display_name":%q,"type":"O"}`, team, team)
	if isChannel {
		path, body = "/channels", fmt.Sprintf(`{"team_id":%q,"name":%q,"display_name":%q,"type":"P"}`, c.ids[team], channel, channel)
	}
	var made struct {
		ID string `json:"id"`
	}
	require.NoError(c.t, json.Unmarshal(c.call(http.MethodPost, path, body), &made))
	require.NotEmpty(c.t, made.ID, name)
	c.ids[name] = made.ID
}

// call asks the server as its administrator.
func (c *club) call(method, path, body string) []byte {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.url+"/api/v4"+path, strings.NewReader(body))
	require.NoError(c.t, err)
	r.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	require.Equal(c.t, 2, resp.StatusCode/100, "%s %s: %s", method, path, data)
	return data
}

// give adds a rule: whoever is in the group gets the team or channel.
func (c *club) give(group, space string, admin bool) {
	team, channel, isChannel := strings.Cut(space, "/")
	rule := sources.MembershipRule{Team: team, Admin: admin, Groups: []string{group}}
	if isChannel {
		rule.Channels = []string{channel}
	}
	c.rules = append(c.rules, rule)
}

// authority is what the rules decide about.
func (c *club) authority() []plan.MembershipAuthority {
	of := map[string]plan.SpaceRule{}
	for _, r := range c.rules {
		names := []string{r.Team}
		for _, ch := range r.Channels {
			names = append(names, r.Team+"/"+ch)
		}
		for i, name := range names {
			x := of[name]
			x.Name, x.Strict = name, c.strict[name]
			x.Admins = x.Admins || r.Admin && (i > 0 || len(names) == 1)
			of[name] = x
		}
	}
	a := plan.MembershipAuthority{Source: "corp"}
	for _, x := range of {
		a.Spaces = append(a.Spaces, x)
	}
	slices.SortFunc(a.Spaces, func(x, y plan.SpaceRule) int { return strings.Compare(x.Name, y.Name) })
	return []plan.MembershipAuthority{a}
}

func (c *club) directory(people []human) reconcile.Source {
	c.t.Helper()
	var b bytes.Buffer
	for _, p := range people {
		if p.Mail == "" {
			p.Mail = p.UID + "@example.test"
		}
		require.NoError(c.t, json.NewEncoder(&b).Encode(p))
	}
	at := func(s string) sources.Expr { return sources.Expr{Source: s} }
	m, err := sources.Compile("corp", sources.Rules{
		ID: at("attr.id"), Username: at("attr.uid"), Email: at("attr.mail"), Position: at("attr.title"),
		DisabledWhen: at(`attr.left == "yes"`), Memberships: c.rules,
	}, sources.CompileOptions{})
	require.NoError(c.t, err)
	src, err := file.New(file.Options{Path: "people.jsonl", Mapper: m, FS: fs.FS(fstest.MapFS{"people.jsonl": {Data: b.Bytes(), ModTime: time.Now()}})})
	require.NoError(c.t, err)
	return src
}

// with wires the rules.
func (c *club) with(people []human, w wiring) wiring {
	more := w.change
	w.change = func(o *reconcile.Options) {
		o.Sources = []reconcile.Source{c.directory(people)}
		o.Policy.Memberships, o.Policy.Roles = c.authority(), nil
		o.Limits.MembershipAdditions, o.Limits.MembershipRemovals = guard.Limit{Count: 10_000}, guard.Limit{Count: 50}
		for _, f := range []func(*reconcile.Options){c.change, more} {
			if f != nil {
				f(o)
			}
		}
	}
	return w
}

// sync runs once and gives the writes that it made.
func (c *club) sync(people []human) (reconcile.Report, []mmsim.Call) {
	c.t.Helper()
	c.sim.ResetCalls()
	rep, err := c.world.sync(people, c.with(people, wiring{}))
	require.NoError(c.t, err)
	return rep, c.sim.Writes()
}

// quiet runs once and wants nothing written.
func (c *club) quiet(people []human) reconcile.Report {
	c.t.Helper()
	rep, writes := c.sync(people)
	require.Empty(c.t, writes)
	return rep
}

// in gives who is in a team or channel, administrators with a star, sorted.
func (c *club) in(space string) []string {
	c.t.Helper()
	cl, err := mattermost.New(mattermost.Options{BaseURL: c.url, Token: func() (string, error) { return adminToken, nil }, RatePerSecond: 1e6, ProxyURL: "direct"})
	require.NoError(c.t, err)
	s := plan.Space{ID: c.ids[space]}
	if team, channel := identity.TeamOf(space); channel {
		s.TeamID = c.ids[team]
	}
	out := []string{}
	err = mattermost.NewTarget(cl, mattermost.TargetOptions{}).Members(c.t.Context(), space, s, func(id string, m identity.Membership) {
		u, ok := c.sim.User(id)
		if require.True(c.t, ok); id == c.sim.AdminID() {
			return
		}
		name := u.Username
		if m.Admin {
			name += "*"
		}
		out = append(out, name)
	})
	require.NoError(c.t, err)
	slices.Sort(out)
	return out
}

func (c *club) id(name string) string {
	c.t.Helper()
	u, ok := c.sim.UserByName(name)
	require.True(c.t, ok, name)
	return u.ID
}

// walkOut plays somebody who leaves a team or channel by himself.
func (c *club) walkOut(name, space string) {
	c.t.Helper()
	path := "/teams/"
	if _, channel := identity.TeamOf(space); channel {
		path = "/channels/"
	}
	c.call(http.MethodDelete, path+c.ids[space]+"/members/"+c.id(name), "")
}

func (c *club) walkIn(name, space string) {
	c.t.Helper()
	path, body := "/teams/", fmt.Sprintf(`{"team_id":%q,"user_id":%q}`, c.ids[space], c.id(name))
	if _, channel := identity.TeamOf(space); channel {
		path = "/channels/"
	}
	c.call(http.MethodPost, path+c.ids[space]+"/members", body)
}

// engineering is a club of one team with two channels.
func engineering(t testing.TB) *club {
	t.Helper()
	c := newClub(t, mmsim.Options{}, "eng", "eng/dev", "eng/ops", "all")
	c.give("g-eng", "eng", false)
	c.give("g-dev", "eng/dev", false)
	c.give("g-lead", "eng/dev", true)
	c.give("g-ops", "eng/ops", false)
	return c
}

func engineers() []human {
	return []human{
		{ID: "1", UID: "ann", Groups: []string{"g-eng", "g-dev", "g-lead"}},
		{ID: "2", UID: "bob", Groups: []string{"g-dev"}},
		{ID: "3", UID: "cid", Groups: []string{"g-eng"}},
		{ID: "4", UID: "dan"},
	}
}

func TestMemberships(t *testing.T) {
	t.Parallel()
	t.Run("rules add people, and a second run writes nothing", func(t *testing.T) {
		t.Parallel()
		c := engineering(t)
		_, writes := c.sync(engineers())
		require.NotEmpty(t, writes)
		require.Equal(t, []string{"ann", "bob", "cid"}, c.in("eng"))
		require.Equal(t, []string{"ann*", "bob"}, c.in("eng/dev"))
		require.Empty(t, c.in("eng/ops"))
		require.Empty(t, c.in("all"))
		c.quiet(engineers())
		require.Zero(t, c.quiet(engineers()).Decided, "everybody is settled")
	})
	t.Run("additive takes nobody out, strict takes out exactly the strays", func(t *testing.T) {
		t.Parallel()
		c := engineering(t)
		people := engineers()
		c.sync(people)
		c.sim.AddUser(mmsim.User{Username: "stranger"})
		for _, name := range []string{"stranger", "dan"} {
			c.walkIn(name, "eng")
			c.walkIn(name, "eng/dev")
		}
		people[0].Groups = []string{"g-eng", "g-dev"}
		people[1].Groups = nil
		c.quiet(people)
		require.Equal(t, []string{"ann*", "bob", "dan", "stranger"}, c.in("eng/dev"))

		c.strict["eng/dev"] = true
		rep, _ := c.sync(people)
		require.Equal(t, []string{"ann", "stranger"}, c.in("eng/dev"), "bob and dan are ours and have no rule, ann is no lead any more, and the stranger is nobody's")
		require.Equal(t, []string{"ann", "bob", "cid", "dan", "stranger"}, c.in("eng"))
		require.Equal(t, 3, rep.Counts.Done)
		c.quiet(people)

		c.strict["eng"] = true
		c.sync(people)
		require.Equal(t, []string{"ann", "cid", "stranger"}, c.in("eng"))
		c.quiet(people)
	})
	t.Run("who left by himself stays out until he is wanted anew", func(t *testing.T) {
		t.Parallel()
		c := engineering(t)
		people := engineers()
		c.sync(people)
		c.quiet(people)
		c.walkOut("ann", "eng/dev")
		c.walkOut("cid", "eng")
		rep := c.quiet(people)
		require.Len(t, rep.Plan.Decisions, 2, "it is noticed although both were settled")
		for _, d := range rep.Plan.Decisions {
			require.Equal(t, plan.LeftByThemselves, d.Reason)
		}
		require.Equal(t, state.RunDone, rep.Status)
		require.Empty(t, c.quiet(people).Plan.Decisions, "said once")
		require.Equal(t, []string{"bob"}, c.in("eng/dev"))

		people[2].Groups = nil
		c.quiet(people)
		people[2].Groups = []string{"g-eng"}
		c.sync(people)
		require.Equal(t, []string{"ann", "bob", "cid"}, c.in("eng"), "a new wish counts anew")

		c.change = func(o *reconcile.Options) { o.Policy.ReaddRemoved = true }
		c.sync(people)
		require.Equal(t, []string{"ann*", "bob"}, c.in("eng/dev"))
	})
	t.Run("who was in already and leaves has left by himself as well", func(t *testing.T) {
		t.Parallel()
		c := engineering(t)
		people := engineers()
		c.rules = c.rules[:1]
		c.sync([]human{{ID: "2", UID: "bob"}})
		c.walkIn("bob", "eng")
		people[1].Groups = []string{"g-eng"}
		c.sync(people)
		c.quiet(people)
		c.walkOut("bob", "eng")
		c.quiet(people)
		require.Equal(t, []string{"ann", "cid"}, c.in("eng"))
	})
	t.Run("another team of the same name is another team", func(t *testing.T) {
		t.Parallel()
		c := newClub(t, mmsim.Options{}, "eng")
		c.give("g-eng", "eng", false)
		people := engineers()[2:3]
		c.sync(people)
		before := c.ids["eng"]
		c.call(http.MethodDelete, "/teams/"+before, "") // a name stays taken; the rule is given another team's
		c.make("eng2")
		c.rules[0].Team, c.ids["eng"] = "eng2", c.ids["eng2"]
		c.sync(people)
		require.Equal(t, []string{"cid"}, c.in("eng2"))
	})
}

func TestMemberships_troubles(t *testing.T) {
	t.Parallel()
	t.Run("what is not there is said once for all, and joined once it is", func(t *testing.T) {
		t.Parallel()
		c := engineering(t)
		c.give("g-eng", "new", false)
		people := engineers()
		rep, _ := c.sync(people)
		require.Contains(t, strings.Join(rep.Problems, "\n"), `team "new", which memberships.rules names, is not on the server`)
		require.Equal(t, state.RunPartial, rep.Status)
		c.quiet(people)
		rep = c.quiet(people)
		require.Empty(t, rep.Plan.Decisions, "people are not told of again")
		require.Len(t, rep.Problems, 1)
		c.make("new")
		rep, _ = c.sync(people)
		require.Empty(t, rep.Problems)
		require.Equal(t, []string{"ann", "cid"}, c.in("new"))
	})
	t.Run("a channel that vanishes in mid-run costs nobody anything else", func(t *testing.T) {
		t.Parallel()
		c := engineering(t)
		var people []human
		for i := range 60 { // more than would end a run whose calls fail
			people = append(people, human{ID: fmt.Sprint(i), UID: fmt.Sprintf("u%02d", i), Groups: []string{"g-dev", "g-ops"}})
		}
		over := c.sim.Fail(mmsim.Fault{
			Method: "POST", Path: "/channels/" + c.ids["eng/dev"] + "/members", Skip: 5, Status: 404, ErrorID: "app.channel.get.existing.app_error",
		})
		rep, _ := c.sync(people)
		over()
		require.Equal(t, state.RunPartial, rep.Status)
		require.Equal(t, 55, rep.Counts.Skipped)
		require.Zero(t, rep.Counts.Failed)
		require.Len(t, c.in("eng/ops"), 60)
		require.Len(t, c.in("eng/dev"), 5)
		tried := 0
		for _, w := range c.sim.Writes() {
			if strings.Contains(w.Path, c.ids["eng/dev"]) && w.Status == 404 {
				tried++
			}
		}
		require.LessOrEqual(t, tried, 4, "as many as workers: after the first nobody asks again")
		c.sync(people)
		require.Len(t, c.in("eng/dev"), 60)
		c.quiet(people)
	})
	t.Run("a full team takes as many as it has room for", func(t *testing.T) {
		t.Parallel()
		c := newClub(t, mmsim.Options{}, "eng", "eng/dev")
		c.sim.Restart(map[string]string{"MM_TEAMSETTINGS_MAXUSERSPERTEAM": "3"}) // one of whom made it
		c.give("g-eng", "eng", false)
		c.give("g-dev", "eng/dev", false)
		people := engineers()
		rep, _ := c.sync(people)
		require.Equal(t, []string{"ann", "bob"}, c.in("eng"))
		require.Equal(t, plan.TeamFull, rep.Plan.Decisions[2].Notes[0].Reason)
		rep = c.quiet(people)
		require.Equal(t, plan.TeamFull, rep.Plan.Decisions[0].Reason)
		c.walkOut("bob", "eng")
		c.sync(people)
		require.Equal(t, []string{"ann", "cid"}, c.in("eng"))
	})
	t.Run("nobody is added who would be made an administrator of the team by his e-mail", func(t *testing.T) {
		t.Parallel()
		c := engineering(t)
		people := engineers()
		maker, _ := c.sim.User(c.sim.AdminID())
		c.sync(people)
		c.call(http.MethodPut, "/users/"+c.sim.AdminID()+"/patch", `{"email":"maker@elsewhere.test"}`)
		people[3].Mail, people[3].Groups = maker.Email, []string{"g-eng", "g-ops"}
		rep, _ := c.sync(people)
		require.NotEmpty(t, rep.Plan.Decisions[0].Notes)
		require.Contains(t, rep.Plan.Decisions[0].Notes[0].Detail, "joining would make an administrator of it")
		require.Equal(t, plan.TeamEmail, rep.Plan.Decisions[0].Notes[0].Reason)
		require.Equal(t, []string{"ann", "bob", "cid"}, c.in("eng"))
		require.Empty(t, c.in("eng/ops"), "a channel takes only people of its team")

		c.walkIn("dan", "eng") // as a rule of the server that is not ours to break
		require.Equal(t, []string{"ann", "bob", "cid", "dan*"}, c.in("eng"))
	})
	t.Run("a tied team is left alone, and so is a guest", func(t *testing.T) {
		t.Parallel()
		c := engineering(t)
		people := engineers()
		c.sync(people)
		c.call(http.MethodPut, "/users/"+c.id("cid")+"/roles", `{"roles":"system_guest"}`)
		c.strict["eng"], c.strict["eng/dev"] = true, true
		people[2].Groups = nil
		rep := c.quiet(people)
		require.Equal(t, plan.GuestLeftAlone, rep.Plan.Decisions[0].Reason)
		c.call(http.MethodPut, "/channels/"+c.ids["eng/dev"]+"/patch", `{"group_constrained":true}`)
		people[1].Groups = []string{"g-eng"}
		rep = c.quiet(people)
		require.Equal(t, plan.SpaceByGroups, rep.Plan.Decisions[0].Reason)
		require.Equal(t, []string{"ann*", "bob"}, c.in("eng/dev"))
	})
}

func TestMemberships_guards(t *testing.T) {
	t.Parallel()
	crowd := func(n int, groups ...string) []human {
		var out []human
		for i := range n {
			out = append(out, human{ID: fmt.Sprint(i), UID: fmt.Sprintf("u%03d", i), Groups: groups})
		}
		return out
	}
	t.Run("too many removals are held until somebody has agreed", func(t *testing.T) {
		t.Parallel()
		c := engineering(t)
		c.strict["eng"] = true
		c.change = func(o *reconcile.Options) { o.Limits.MembershipRemovals = guard.Limit{Count: 5} }
		people := crowd(20, "g-eng")
		c.sync(people)
		for i := range 6 {
			people[i].Groups = nil
		}
		rep := c.quiet(people)
		require.Equal(t, state.RunWithheld, rep.Status)
		require.Contains(t, rep.Verdict.Message(), "too many membership removals from corp: 6")
		rep = c.quiet(people)
		require.Contains(t, rep.Verdict.Message(), "stay held")
		s := c.store()
		_, err := c.engine(s, people, c.with(people, wiring{})).Say(t.Context(), reconcile.Say{Run: rep.RunID, Approves: true, Reason: "yes", By: "test"})
		require.NoError(t, err)
		require.NoError(t, s.Close())
		c.sync(people)
		require.Len(t, c.in("eng"), 14)
		c.quiet(people)
	})
	t.Run("a group that is empty all of a sudden takes nobody out", func(t *testing.T) {
		t.Parallel()
		c := engineering(t)
		c.strict["eng/ops"] = true
		people := append(crowd(10, "g-eng"), human{ID: "a", UID: "a", Groups: []string{"g-ops"}}, human{ID: "b", UID: "b", Groups: []string{"g-ops"}}, human{ID: "c", UID: "c", Groups: []string{"g-ops"}})
		c.sync(people)
		for i := range people {
			people[i].Groups = slices.DeleteFunc(slices.Clone(people[i].Groups), func(g string) bool { return g == "g-ops" })
		}
		rep := c.quiet(people)
		require.Contains(t, rep.Verdict.Message(), `all 3 people of source corp who have "eng/ops" would lose it, for no rule about teams and channels gives it to anybody any more`)
		require.Equal(t, []string{"a", "b", "c"}, c.in("eng/ops"))
	})
	t.Run("a change of the rules that takes people out waits for a word", func(t *testing.T) {
		t.Parallel()
		c := engineering(t)
		c.change = func(o *reconcile.Options) { o.PolicyDigest = "before" }
		people := crowd(10, "g-eng")
		c.sync(people)
		c.walkIn("u001", "eng/dev")
		c.change = func(o *reconcile.Options) { o.PolicyDigest = "after" }
		c.strict["eng/dev"] = true
		rep := c.quiet(people)
		require.Contains(t, rep.Verdict.Message(), "the configuration has changed")
	})
	t.Run("additions are bounded as well", func(t *testing.T) {
		t.Parallel()
		c := engineering(t)
		c.sync(crowd(20))
		c.change = func(o *reconcile.Options) { o.Limits.MembershipAdditions = guard.Limit{Count: 19} }
		rep := c.quiet(crowd(20, "g-eng"))
		require.Contains(t, rep.Verdict.Message(), "too many membership additions from corp: 20")
	})
}

// Wherever a run is cut, the ones after it bring everybody where he belongs, and each
// effective call is in the journal once.
func TestMemberships_crash(t *testing.T) {
	t.Parallel()
	before, after := engineers(), engineers()
	before[1].Groups = []string{"g-dev", "g-ops", "g-lead"}
	before[2].Groups = []string{"g-eng"}
	after[2].Groups = []string{"g-ops"}
	after[3].Groups = []string{"g-eng", "g-lead"}
	after = append(after, human{ID: "5", UID: "eve", Groups: []string{"g-lead"}})
	for _, kind := range cutKinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			base := engineering(t)
			base.db = emptyFile(t) // which can be copied
			for _, name := range []string{"eng", "eng/dev", "eng/ops"} {
				base.strict[name] = true
			}
			base.sync(before)
			base.quiet(before)
			base.migrated = true
			saved := base.sim.SnapshotState()
			apart := step(9)
			hit := true
			cuts := 0
			for n := 1; hit; n += apart {
				c := *base
				w := *base.world
				c.world = &w
				c.t, c.began, c.db = t, time.Now(), emptyFile(t)
				copyFile(t, base.db, c.db)
				c.sim.RestoreState(saved)
				c.sim.ResetCalls()
				hit = c.cutAt(after, kind, n)
				name := fmt.Sprintf("%s %d", kind, n)
				for i := 0; ; i++ {
					require.Less(t, i, 5, "%s: no rest", name)
					_, err := c.world.sync(after, c.with(after, wiring{}))
					require.NoError(t, err, name)
					if rep := c.world.plan(after, c.with(after, wiring{})); len(rep.Plan.Decisions) == 0 {
						break
					}
				}
				require.Equal(t, []string{"ann", "bob", "cid", "dan", "eve"}, c.in("eng"), name)
				require.Equal(t, []string{"ann*", "bob", "dan*", "eve*"}, c.in("eng/dev"), name)
				require.Equal(t, []string{"cid"}, c.in("eng/ops"), name)
				c.checkPlaces(name)
				cuts++
			}
			require.Greater(t, cuts*apart, 15, "places to cut at")
		})
	}
}

func (c *club) cutAt(people []human, kind cutKind, n int) (hit bool) {
	c.t.Helper()
	if kind == lostRequest || kind == lostAnswer {
		over := c.sim.Fail(mmsim.Fault{Skip: n - 1, Count: 1, CutBefore: kind == lostRequest, CutAfter: kind == lostAnswer})
		defer over()
		_, _ = c.world.sync(people, c.with(people, wiring{})) // what follows is looked at
		return len(c.sim.Calls()) >= n
	}
	cut := &crash{at: int64(n), kind: kind}
	_, err := c.world.sync(people, c.with(people, wiring{
		wrap: func(s state.Store) state.Store { return mortal{s, cut} }, network: cut,
	}))
	if !cut.dead.Load() {
		require.NoError(c.t, err)
	}
	return cut.dead.Load()
}

// checkPlaces compares the calls about teams and channels that had an effect with the
// ops that were closed as done. Joins may be repeated: the server answers a second one
// as the first, so that only what the journal has more is a fault.
func (c *club) checkPlaces(name string) {
	c.t.Helper()
	s := c.store()
	defer s.Close()
	ops, err := s.Ops(c.t.Context(), state.OpFilter{})
	require.NoError(c.t, err)
	made := map[string]int{}
	for _, w := range c.sim.Writes() {
		if w.Status/100 != 2 || !strings.Contains(w.Path, "/members") {
			continue
		}
		id := strings.Split(strings.TrimPrefix(w.Path, "/api/v4/"), "/")[1]
		who := ""
		for _, u := range c.sim.Users() {
			if strings.Contains(w.Path, u.ID) || strings.Contains(string(w.Body), u.ID) {
				who = u.ID
			}
		}
		made[w.Method+" "+id+" "+who]++
	}
	for _, o := range ops {
		require.True(c.t, o.Status.Closed(), "%s: op %s is left %s", name, o.Ref, o.Status)
		if o.Op.SpaceID == "" || o.PlannedAt.Before(c.began) || (o.Status != state.OpDone && o.Status != state.OpObserved) {
			continue
		}
		method := http.MethodPut
		if _, from, to, _ := o.Op.Space(); from == "" {
			method = http.MethodPost
		} else if to == "" {
			method = http.MethodDelete
		}
		what := method + " " + o.Op.SpaceID + " " + o.AccountID
		require.Positive(c.t, made[what], "%s: %s is in the journal and was not called", name, what)
		made[what]--
	}
	for what, n := range made {
		require.LessOrEqual(c.t, n, 1, "%s: %s", name, what)
	}
}
