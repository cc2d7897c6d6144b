package plan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// TestConverge makes up worlds, plans, carries out, is cut off at any call, and
// goes on until nothing is left to do. MMSYNC_TEST_SEED=N runs one world alone.
func TestConverge(t *testing.T) {
	t.Parallel()
	worlds, whole := 1000, os.Getenv("MMSYNC_TEST_SEEDS") != "" // make storm plays all, without the race detector
	if whole {
		worlds = 4000
	}
	if s := os.Getenv("MMSYNC_TEST_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
		converge(t, seed, true, census{})
		return
	}
	seen := census{}
	for seed := range uint64(worlds) {
		if !converge(t, seed, false, seen) {
			return
		}
	}
	if !whole {
		return // too few to show what is rare
	}
	for _, what := range shown() {
		require.Positive(t, seen[what], "no world showed %q", what)
	}
}

// converge runs one world and reports its seed if a rule is broken.
func converge(t *testing.T, seed uint64, loud bool, seen census) bool {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	m := invent(r)
	if loud {
		t.Log(m.describe())
	}
	fail := func(round int, p plan.Plan, format string, args ...any) bool {
		var b bytes.Buffer
		_ = plan.Render(&b, p, plan.Style{})
		t.Errorf("seed %d, round %d: %s\n%s\n%s", seed, round, fmt.Sprintf(format, args...), b.String(), m.describe())
		return false
	}
	crashes := r.IntN(4)
	apart := rand.New(rand.NewPCG(seed, 2)) // so that the rest is as without
	belong(apart, m)
	others := rand.New(rand.NewPCG(seed, 3))
	several(others, m)
	for round := range 40 {
		m.now = m.now.Add(2 * time.Hour)
		m.recover()
		weather(r, m, round)
		m.stroll(apart, round)
		m.come(others, round)
		m.seats()
		m.read(r, round)
		m.hear()
		obs := m.observe()
		p := plan.Build(obs, m.policy)
		if loud {
			var b bytes.Buffer
			_ = plan.Render(&b, p, plan.Style{})
			t.Logf("round %d\n%s", round, b.String())
		}
		if why := sound(m, obs, p, seed); why != "" {
			return fail(round, p, "%s", why)
		}
		if why := m.spoken(p, seen); why != "" {
			return fail(round, p, "%s", why)
		}
		m.confirm(obs)
		before, links, in := m.copyAccounts(), maps.Clone(m.links), maps.Clone(m.members)
		c := cut{at: -1}
		if crashes > 0 {
			crashes--
			c = cut{at: r.IntN(ops(p) + 1), called: r.IntN(2) == 0}
			c.late = m.settle > 2*time.Hour && m.late == nil && r.IntN(3) == 0
		}
		late := m.late != nil
		whole, err := m.execute(t, p, c)
		if err != nil {
			return fail(round, p, "the server refused: %v", err)
		}
		seen.count(p, whole)
		if why := untouched(m, p, before, in, links); why != "" {
			return fail(round, p, "%s", why)
		}
		if why := m.owned(); why != "" {
			return fail(round, p, "%s", why)
		}
		if whole {
			if why := leaversOff(m); why != "" {
				return fail(round, p, "%s", why)
			}
		}
		if late {
			seen["late"]++
			m.arrive()
			continue
		}
		if whole && c.at < 0 && !p.Effective() && m.settledTime() && m.calm() {
			if why := m.asOne(func() string { return m.oracle(p) }); why != "" {
				return fail(round, p, "%s", why)
			}
			m.now = m.now.Add(2 * time.Hour)
			m.hear()
			if again := plan.Build(m.observe(), m.policy); again.Effective() {
				return fail(round, again, "at rest, and the next run writes")
			}
			return true
		}
	}
	return fail(40, plan.Build(m.observe(), m.policy), "no fixpoint")
}

func ops(p plan.Plan) int {
	n := 0
	for _, d := range p.Decisions {
		n += len(d.Ops)
	}
	return n
}

// sound checks what must hold for every plan by itself.
func sound(m *model, obs []plan.Observation, p plan.Plan, seed uint64) string {
	a, err := json.Marshal(p)
	if err != nil {
		return err.Error()
	}
	b, err := json.Marshal(plan.Build(shuffle(obs, int(seed)+1), m.policy))
	if err != nil {
		return err.Error()
	}
	if !bytes.Equal(a, b) {
		return "the order of observations changes the plan:\n" + string(a) + "\n" + string(b)
	}
	steps := map[plan.Step]int{}
	last := 0
	for _, u := range p.Units() {
		for _, s := range u.Steps {
			steps[s]++
		}
		at := slices.Index(plan.Actions(), u.Phase)
		if at < last {
			return "units are not in the order of phases"
		}
		last = at
	}
	for i, d := range p.Decisions {
		for j := range d.Ops {
			if steps[plan.Step{Decision: i, Op: j}] != 1 {
				return fmt.Sprintf("op %d of %s is in %d units", j, d.Key, steps[plan.Step{Decision: i, Op: j}])
			}
		}
		delete(steps, plan.Step{})
		if d.Action == plan.Hold && d.Reason.Explain().Sentence == "" {
			return "unknown reason " + string(d.Reason)
		}
		if d.Action == plan.Deactivate {
			if why := m.mayLeave(d.Key); why != "" && m.offs[d.Key] == nil {
				return d.Key.String() + " is deactivated: " + why
			}
			if m.desired[d.Key] == nil && !m.absence[d.Key].Explicit && m.offs[d.Key] == nil && m.inherited(d.Key) {
				return d.Key.String() + " is deactivated, and an active person wants the account"
			}
		}
		if why := m.placed(d); why != "" {
			return d.Key.String() + ": " + why
		}
		if why := m.allowed(d); why != "" {
			return d.Key.String() + ": " + why
		}
	}
	return m.counted(p)
}

// mayLeave says why a person must not be deactivated now, or "".
func (m *model) mayLeave(k identity.Key) string {
	if d := m.desired[k]; d != nil {
		if d.Active {
			return "the source says active"
		}
		return ""
	}
	a := m.absence[k]
	switch {
	case a.Explicit:
		return ""
	case !a.Complete:
		return "the read was not complete"
	case a.Presence != identity.PresenceGone && a.Presence != identity.PresenceOutOfScope:
		return "nobody confirmed it"
	}
	grace := m.policy.Grace.Missing
	if a.Presence == identity.PresenceOutOfScope {
		grace = m.policy.Grace.OutOfScope
	}
	if m.now.Before(a.Since.Add(grace)) || (grace > 0 && a.Reads < 2) {
		return "grace is not over"
	}
	return ""
}

// untouched checks that nothing happened to accounts that are not ours.
func untouched(m *model, p plan.Plan, before map[string]identity.Account, in map[string]identity.Memberships, links map[identity.Key]*identity.Link) string {
	ours := map[string]bool{}
	for _, l := range links {
		ours[l.AccountID] = ours[l.AccountID] || l.Part == identity.Owner
	}
	for _, d := range p.Decisions {
		if d.Action == plan.Adopt && d.Reason != plan.Contributes {
			ours[d.AccountID] = true
		}
	}
	for id, was := range before {
		now := m.accounts[id]
		same := now != nil && now.Profile == was.Profile && now.Roles.Equal(was.Roles) && now.Auth == was.Auth && now.DeleteAt == was.DeleteAt && m.members[id].Equal(in[id])
		if same {
			continue
		}
		for k, l := range links {
			if l.AccountID == id && l.Part == identity.Owner && m.stopped(k) != nil {
				return "account " + id + " is held by an operator and was changed"
			}
			if l.AccountID == id && m.busy[k].After(m.now) && p.Effective() && !slices.ContainsFunc(p.Decisions, func(d plan.Decision) bool { return d.Key == k && len(d.Ops) > 0 }) {
				return "account " + id + " is busy and was changed"
			}
		}
		if !ours[id] {
			return "account " + id + " is not ours and was changed"
		}
		if m.isProtected(&was) {
			return "account " + id + " is protected and was changed"
		}
	}
	return ""
}

func (m *model) isProtected(a *identity.Account) bool {
	return a.Bot || a.Remote || a.MagicLink || m.facts.Protected[a.ID] != ""
}

// leaversOff checks that nobody who has left can still log in after a whole run,
// whatever else is wrong with him.
func leaversOff(m *model) string {
	for k, d := range m.desired {
		l := m.links[k]
		if d.Active || l == nil || m.unread[k] || l.Part != identity.Owner || m.accounts[l.AccountID] == nil || m.unseen[k] || m.facts.SetBack || m.busy[k].After(m.now) || m.stopped(k) != nil {
			continue
		}
		a := m.accounts[l.AccountID]
		switch {
		case !m.isProtected(a) && m.policy.DisableTokens && l.DeactivatedAt != 0 && l.DeactivatedAt == a.DeleteAt && len(m.things[a.ID].Tokens) > 0:
			return k.String() + " has left and keeps tokens"
		case !a.Active() || m.isProtected(a):
		case a.HumanAdmin() && m.admins() <= max(1, m.policy.NeverBelow):
		case a.Auth.Service == "ldap" && m.facts.LDAPLocked && !m.policy.DeleteEndpoint:
			if l.Applied.Active || a.Roles.Has(identity.RoleAdmin) {
				return k.String() + " has left and keeps sessions or rights"
			}
		default:
			return k.String() + " has left and is on"
		}
	}
	return ""
}

// read is what a source's read says about the missing this time. In the
// end everything is read whole, or all would hardly ever be so at the same time.
func (m *model) read(r *rand.Rand, round int) {
	for _, k := range sortedKeys(m.links) {
		l := m.links[k]
		if m.desired[k] != nil {
			continue
		}
		a := m.absence[k]
		if a.Explicit {
			continue
		}
		if a.Complete = (r.IntN(4) > 0 || round > 12) && !m.partial[k.Source]; !a.Complete {
			a.Doubt, a.Presence = "cut off", ""
			m.absence[k] = a
			continue
		}
		if a.Since.IsZero() {
			a.Since = m.now
		}
		a.Reads++
		a.Doubt, a.Presence = "", identity.PresenceUnknown
		if r.IntN(4) > 0 || round > 12 {
			a.Presence = identity.PresenceGone
			if len(l.AccountID)%2 == 0 {
				a.Presence = identity.PresenceOutOfScope
			}
		}
		m.absence[k] = a
	}
}

// settledTime tells that no absence is still in the balance.
func (m *model) settledTime() bool {
	for k := range m.links {
		if m.desired[k] == nil && m.mayLeave(k) != "" {
			return false
		}
	}
	return true
}

func (m *model) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "policy %+v\nfacts %+v\nbusy %v\nunseen %v\nunread %v\nwords %+v\n", m.policy, m.facts, m.busy, m.unseen, m.unread, m.words)
	for _, id := range slices.Sorted(maps.Keys(m.accounts)) {
		a := m.accounts[id]
		fmt.Fprintf(&b, "account %s %s %s %v %v off=%d bot=%v remote=%v\n", id, a.Username, a.Email, a.Roles, a.Auth, a.DeleteAt, a.Bot, a.Remote)
	}
	for _, k := range slices.SortedFunc(maps.Keys(m.links), identity.Key.Compare) {
		l := m.links[k]
		fmt.Fprintf(&b, "link %s %s %s %+v off_by_us=%d\n", k, l.AccountID, l.Part, l.Applied, l.DeactivatedAt)
	}
	for _, id := range slices.Sorted(maps.Keys(m.members)) {
		fmt.Fprintf(&b, "in %s %+v\n", id, m.members[id])
	}
	for _, k := range slices.SortedFunc(maps.Keys(m.desired), identity.Key.Compare) {
		d := m.desired[k]
		fmt.Fprintf(&b, "desired %s active=%v %+v roles=%v auth=%v fault=%q in=%+v\n", k, d.Active, d.Profile, d.Roles, d.Auth, d.Fault, d.Memberships)
	}
	for _, k := range slices.SortedFunc(maps.Keys(m.absence), identity.Key.Compare) {
		fmt.Fprintf(&b, "absent %s %+v\n", k, m.absence[k])
	}
	return b.String()
}
