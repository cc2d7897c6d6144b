package plan_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"breakglass", "breakglass", true},
		{"breakglass", "BreakGlass", true},
		{"breakglass", "breakglass2", false},
		{"svc-*", "svc-", true},
		{"svc-*", "svc-backup", true},
		{"svc-*", "my-svc-backup", false},
		{"*-bot", "a-bot", true},
		{"*-bot", "a-bot2", false},
		{"*", "", true},
		{"*", "x", true},
		{"a*c*e", "abcde", true},
		{"a*c*e", "ae", false},
		{"ab*ba", "aba", false}, // the ends may not share a letter
		{"a*b*b", "ab", false},
		{"a**b", "ab", true},
		{"", "", true},
		{"", "x", false},
		{"a?c", "abc", false}, // only * is special
	} {
		require.Equal(t, c.want, plan.Match(c.pattern, c.name), "%q on %q", c.pattern, c.name)
	}
}

// TestLocked is the table that was recorded from servers 5.38 and 11.6.
func TestLocked(t *testing.T) {
	t.Parallel()
	locked := map[string]string{
		"":          "",
		"saml":      "username",
		"email":     "username",
		"invented":  "username",
		"ldap":      "username email",
		"gitlab":    "username email first_name last_name",
		"google":    "username email first_name last_name",
		"office365": "username email first_name last_name",
		"openid":    "username email first_name last_name",
	}
	for service, want := range locked {
		var got []string
		for _, a := range identity.AllAttributes() {
			if plan.Locks(nil).Locked(service, a) {
				got = append(got, string(a))
			}
		}
		require.Equal(t, want, strings.Join(got, " "), "service %q", service)
	}
}

func TestPlan_Digest(t *testing.T) {
	t.Parallel()
	sample := func() plan.Plan {
		return plan.Plan{Unchanged: 7, Decisions: []plan.Decision{
			{
				Key: identity.Key{Source: "ad", Anchor: "1"}, Action: plan.Update, Reason: plan.Differs, AccountID: "a1", Username: "ann", Chain: 1,
				Ops: []plan.Op{{Kind: plan.PatchProfile, Changes: []plan.Change{{Field: "username", From: "a", To: "b"}, {Field: "position", From: "", To: "x"}}}},
			},
			{Key: identity.Key{Source: "ad", Anchor: "2"}, Action: plan.Hold, Reason: plan.EntryFault},
		}}
	}
	digest := sample().Digest()
	require.Equal(t, "ddf5-e3c8", sample().ShortDigest(), "a digest means the same in every version of the program, or its form has changed")
	same := map[string]func(*plan.Plan){
		"how long reading took": func(p *plan.Plan) { p.Sources = []plan.SourceSummary{{Took: time.Hour}} },
		"what is unchanged":     func(p *plan.Plan) { p.Unchanged++ },
		"words":                 func(p *plan.Plan) { p.Decisions[0].Detail, p.Decisions[0].Reason = "x", plan.Drifted },
		"warnings, and time":    func(p *plan.Plan) { p.Warnings, p.Target.Estimate = []string{"x"}, time.Hour },
		"what is held":          func(p *plan.Plan) { p.Decisions = p.Decisions[:1] },
	}
	for name, change := range same {
		p := sample()
		change(&p)
		require.Equal(t, digest, p.Digest(), name)
	}
	other := map[string]func(*plan.Plan){
		"value":            func(p *plan.Plan) { p.Decisions[0].Ops[0].Changes[0].To = "c" },
		"before":           func(p *plan.Plan) { p.Decisions[0].Ops[0].Changes[0].From = "c" },
		"person":           func(p *plan.Plan) { p.Decisions[0].Key.Anchor = "3" },
		"account":          func(p *plan.Plan) { p.Decisions[0].AccountID = "a2" },
		"call":             func(p *plan.Plan) { p.Decisions[0].Ops[0].Kind = plan.SetRoles },
		"order in a chain": func(p *plan.Plan) { p.Decisions[0].Ops[0].Parks = true },
		"by another call":  func(p *plan.Plan) { p.Decisions[0].Ops[0].ByDelete = true },
		"chain":            func(p *plan.Plan) { p.Decisions[0].Chain = 0 },
		"a text moved over the border of two fields": func(p *plan.Plan) {
			p.Decisions[0].Ops[0].Changes[0] = plan.Change{Field: "usernamea", From: "", To: "b"}
		},
		"one change split into two ops": func(p *plan.Plan) {
			c := p.Decisions[0].Ops[0].Changes
			p.Decisions[0].Ops = []plan.Op{{Kind: plan.PatchProfile, Changes: c[:1]}, {Kind: plan.PatchProfile, Changes: c[1:]}}
		},
	}
	for name, change := range other {
		p := sample()
		change(&p)
		require.NotEqual(t, digest, p.Digest(), name)
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	w := parseWorld(t, "account a1 ann position=x\nlink ad/1 a1\ndesired ad/1 position=y")
	data, err := json.Marshal(w.build())
	require.NoError(t, err)
	t.Run("a plan that was changed is refused", func(t *testing.T) {
		t.Parallel()
		_, err := plan.Decode(bytes.Replace(data, []byte(`"to":"y"`), []byte(`"to":"z"`), 1))
		require.ErrorContains(t, err, "it was changed")
	})
	t.Run("another major version is refused, a later minor one is read", func(t *testing.T) {
		t.Parallel()
		_, err := plan.Decode(bytes.Replace(data, []byte(`"format_version":"1.0"`), []byte(`"format_version":"2.0"`), 1))
		require.ErrorContains(t, err, `format version "2.0" is not 1.0`)
		p, err := plan.Decode(bytes.Replace(data, []byte(`"format_version":"1.0"`), []byte(`"format_version":"1.9","later":true`), 1))
		require.NoError(t, err)
		require.Equal(t, w.build().Decisions, p.Decisions)
	})
	t.Run("an empty plan has an empty list, not null", func(t *testing.T) {
		t.Parallel()
		data, err := json.Marshal(plan.Plan{})
		require.NoError(t, err)
		require.Contains(t, string(data), `"decisions":[]`)
	})
}

func TestPlan_Units(t *testing.T) {
	t.Parallel()
	patch := plan.Op{Kind: plan.PatchProfile}
	park := plan.Op{Kind: plan.PatchProfile, Parks: true}
	p := plan.Plan{Decisions: []plan.Decision{
		{Action: plan.Forget, Ops: []plan.Op{{Kind: plan.UnlinkAccount}}},
		{Action: plan.Update, Ops: []plan.Op{patch}, Chain: 2},
		{Action: plan.Update, Ops: []plan.Op{patch, {Kind: plan.SetRoles}}},
		{Action: plan.Update, Ops: []plan.Op{park, patch}, Chain: 2},
		{Action: plan.Update, Ops: []plan.Op{patch}, Chain: 1},
		{Action: plan.Create, Ops: []plan.Op{{Kind: plan.CreateAccount}, {Kind: plan.SetRoles}}},
		{Action: plan.Hold},
		{Action: plan.Hold, Ops: []plan.Op{{Kind: plan.RevokeSessions}}},
	}}
	require.Equal(t, []plan.Unit{
		{Phase: plan.Forget, Steps: []plan.Step{{Decision: 0, Op: 0}}},
		// What is done to leavers who cannot be switched off does not wait for creations.
		{Phase: plan.Deactivate, Steps: []plan.Step{{Decision: 7, Op: 0}}},
		// A chain is one unit, with what is parked first.
		{Phase: plan.Update, Steps: []plan.Step{{Decision: 3, Op: 0}, {Decision: 1, Op: 0}, {Decision: 3, Op: 1}}},
		{Phase: plan.Update, Steps: []plan.Step{{Decision: 2, Op: 0}, {Decision: 2, Op: 1}}},
		{Phase: plan.Update, Steps: []plan.Step{{Decision: 4, Op: 0}}},
		{Phase: plan.Create, Steps: []plan.Step{{Decision: 5, Op: 0}, {Decision: 5, Op: 1}}},
	}, p.Units())
	require.Empty(t, plan.Plan{}.Units())
}

func TestRender(t *testing.T) {
	t.Parallel()
	w := parseWorld(t, `
account a1 ann position=x
account a2 bob
account a3 cid
link ad/1 a1
link ad/2 a2
link ad/3 a3
desired ad/1 position=y
desired ad/2 inactive
desired ad/3 position=y
desired ad/4 username=a.very.long.name.that.does.not.fit.the.column`)
	p := w.build()
	t.Run("a limit cuts the list, never the sums", func(t *testing.T) {
		t.Parallel()
		text := string(rendered(t, p, plan.Style{Lines: 2}))
		require.Contains(t, text, "… and 2 more")
		require.NotContains(t, text, "cid")
		require.Contains(t, text, "1 deactivate, 2 update, 1 create, 0 unchanged")
	})
	t.Run("colour adds to the signs and takes nothing away", func(t *testing.T) {
		t.Parallel()
		text := string(rendered(t, p, plan.Style{Color: true}))
		require.Contains(t, text, "\x1b[31m  - bob")
		for _, code := range []string{"\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"} {
			text = strings.ReplaceAll(text, code, "")
		}
		require.Equal(t, string(rendered(t, p, plan.Style{})), text)
	})
	t.Run("columns begin at the same place", func(t *testing.T) {
		t.Parallel()
		for l := range strings.SplitSeq(string(rendered(t, p, plan.Style{})), "\n") {
			if strings.HasPrefix(l, "  ") && !strings.Contains(l, "a.very.long") {
				require.Equal(t, "  ", l[28:30], l)
				require.NotEqual(t, " ", l[30:31], l)
			}
		}
	})
	t.Run("warnings stand above the sum, and can be printed", func(t *testing.T) {
		t.Parallel()
		text := string(rendered(t, plan.Plan{Warnings: []string{"one\x1b[2J", "two"}}, plan.Style{}))
		require.Equal(t, "Warning: one\\x1b[2J.\nWarning: two.\n\nPlan e3b0-c442: nothing to do, 0 unchanged\n", text)
	})
	t.Run("how long it takes is said as exactly as one can tell", func(t *testing.T) {
		t.Parallel()
		for d, want := range map[time.Duration]string{
			-time.Second: "", 0: "", time.Millisecond: "; takes a few seconds", 9999 * time.Millisecond: "; takes a few seconds",
			10 * time.Second: "; takes about 10 s", 26 * time.Second: "; takes about 30 s", 54 * time.Second: "; takes about 50 s",
			55 * time.Second: "; takes about 1 min", 89 * time.Second: "; takes about 1 min", 170 * time.Second: "; takes about 3 min",
			54 * time.Minute: "; takes about 54 min", 56 * time.Minute: "; takes about 1 h", 84 * time.Minute: "; takes about 1 h 20 min", 26 * time.Hour: "; takes about 26 h",
		} {
			text := string(rendered(t, plan.Plan{Target: plan.TargetSummary{Estimate: d}}, plan.Style{}))
			require.Equal(t, "Plan e3b0-c442: nothing to do, 0 unchanged"+want+"\n", text, d)
		}
	})
	t.Run("thousands are grouped", func(t *testing.T) {
		t.Parallel()
		text := string(rendered(t, plan.Plan{Unchanged: 1234567, Sources: []plan.SourceSummary{
			{Name: "ad", Entries: 12412, Last: 12398, Complete: true, Took: 18200 * time.Millisecond},
			{Name: "contractors", Entries: 999, Complete: true},
		}}, plan.Style{}))
		require.Equal(t, "Source  ad            12 412 entries (last 12 398, +0.1 %)   18.2 s\n"+
			"Source  contractors   999 entries\n\nPlan e3b0-c442: nothing to do, 1 234 567 unchanged\n", text)
	})
}

func TestDecision_Sign(t *testing.T) {
	t.Parallel()
	roles := []plan.Op{{Kind: plan.SetRoles}}
	for want, d := range map[string]plan.Decision{
		"+": {Action: plan.Create}, "-": {Action: plan.Deactivate}, "^": {Action: plan.Reactivate}, "=": {Action: plan.Adopt},
		"x": {Action: plan.Forget}, "~": {Action: plan.Update, Ops: []plan.Op{{Kind: plan.PatchProfile}, roles[0]}},
		"@": {Action: plan.Update, Ops: roles}, ">": {Action: plan.Update, Ops: []plan.Op{{Kind: plan.SetAuth}}},
		"!": {Action: plan.Hold, Reason: plan.UsernameTaken}, "#": {Action: plan.Hold, Reason: plan.LockedByLogin}, " ": {Action: plan.NoOp},
	} {
		require.Equal(t, want, d.Sign())
	}
	require.True(t, plan.Decision{Action: plan.Hold, Reason: plan.UsernameTaken}.Open())
	require.False(t, plan.Decision{Action: plan.Hold, Reason: plan.InGrace}.Open(), "time ends it")
	require.False(t, plan.Decision{Action: plan.Hold, Reason: plan.LockedByLogin}.Open(), "nobody has to end it")
}

// TestDecide_noFacts: a push that knows nothing of the server still decides.
func TestDecide_noFacts(t *testing.T) {
	t.Parallel()
	k := identity.Key{Source: "ad", Anchor: "1"}
	d := plan.Decide(plan.Observation{Key: k, Desired: &identity.Identity{
		Key: k, Active: true, Owned: identity.AttributesOf(identity.Username, identity.Email), Profile: identity.Profile{Username: "ann", Email: "ann@x"},
	}}, plan.Policy{Create: true})
	require.Equal(t, plan.Create, d.Action)
}

// TestDecide_holder: a holder that does not have the wanted value, or is the
// person's own account, is none.
func TestDecide_holder(t *testing.T) {
	t.Parallel()
	w := parseWorld(t, "account a1 ann\naccount x1 zoe\nlink ad/1 a1\ndesired ad/1 username=bob email=bob@example.com")
	o := w.observe()[0]
	o.ByUsername = &plan.Holder{Account: w.accounts["x1"]}
	o.ByEmail = &plan.Holder{Account: w.accounts["a1"]}
	d := plan.Decide(o, w.policy)
	require.Equal(t, plan.Update, d.Action)
	require.Empty(t, d.Notes)
	require.Len(t, d.Ops[0].Changes, 2)
}
