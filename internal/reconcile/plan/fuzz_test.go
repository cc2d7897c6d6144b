package plan_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// dice turns bytes into choices; when they are used up, every choice is 0.
type dice struct{ data []byte }

func (d *dice) roll(n int) int {
	if len(d.data) == 0 {
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return int(b) % n
}

func (d *dice) bool() bool { return d.roll(2) == 1 }

func (d *dice) text() string {
	words := []string{"", "ann", "bob", "Ann", "svc-x", "mmsync-parked-z", "a b", "\x1b[2J\u202e\n\"", "\xff\xfe", "ann@x", "saml", "ldap", strings.Repeat("ü", 70)}
	return words[d.roll(len(words))]
}

func (d *dice) profile() identity.Profile {
	return identity.Profile{Username: d.text(), Email: d.text(), FirstName: d.text(), Position: d.text()}
}

func (d *dice) roles() identity.Roles {
	list := []string{"", identity.RoleUser, identity.RoleGuest, identity.RoleAdmin, "x\x00y", auditor}
	return identity.NewRoles(list[d.roll(len(list))], list[d.roll(len(list))])
}

func (d *dice) account() *identity.Account {
	if d.roll(3) == 0 {
		return nil
	}
	a := &identity.Account{ID: d.text(), Profile: d.profile(), Roles: d.roles(), Auth: identity.Auth{Service: d.text(), Data: d.text()}}
	a.DeleteAt, a.Bot, a.Remote, a.MagicLink = int64(d.roll(3)), d.roll(6) == 1, d.roll(6) == 1, d.roll(6) == 1
	return a
}

func (d *dice) holder() *plan.Holder {
	if d.bool() {
		return nil
	}
	return &plan.Holder{
		Account: d.account(), Owner: identity.Key{Source: d.text(), Anchor: d.text()}, Formerly: d.bool(), OwnsBotOrToken: d.bool(),
	}
}

func (d *dice) observation(facts *plan.Facts) plan.Observation {
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	o := plan.Observation{
		Key: identity.Key{Source: d.text(), Anchor: d.text()}, Facts: facts, Now: day,
		Linked: d.account(), Unseen: d.bool(), ByIntent: d.account(), ByAuth: d.holder(), ByEmail: d.holder(), ByUsername: d.holder(),
	}
	if d.roll(4) > 0 {
		o.Desired = &identity.Identity{
			Key: o.Key, Ref: d.text(), Active: d.bool(), Profile: d.profile(), Owned: identity.Attributes(d.roll(256)),
			Roles: d.roles(), Auth: identity.Auth{Service: d.text(), Data: d.text()},
		}
		if d.roll(5) == 1 {
			o.Desired.Fault = d.text()
		}
	}
	if d.roll(8) == 1 {
		o.Stopped = &plan.Word{ID: d.text(), About: d.text(), By: d.text(), Reason: d.text()}
	}
	if d.roll(8) == 1 {
		o.Off = &plan.Word{ID: d.text(), About: d.text(), By: d.text(), Reason: d.text()}
	}
	if d.roll(4) > 0 {
		o.Link = &identity.Link{Key: o.Key, AccountID: d.text(), Part: identity.Owner, DeactivatedAt: int64(d.roll(3))}
		o.Link.Applied = identity.Applied{Profile: d.profile(), Roles: d.roles(), Active: d.bool(), Username: d.text()}
		if d.roll(5) == 1 {
			o.Link.Part = identity.Contributor
		}
	}
	o.Absence = plan.Absence{
		Explicit: d.roll(4) == 1, Complete: d.bool(), Doubt: d.text(), Reads: d.roll(4),
		Presence: identity.Presence([]string{"", "gone", "out_of_scope", "present", "unknown", "?"}[d.roll(6)]),
	}
	if d.bool() {
		o.Absence.Since = day.Add(-time.Duration(d.roll(100)) * time.Hour)
	}
	if d.roll(6) == 1 {
		o.Busy = day.Add(time.Duration(d.roll(100)) * time.Second)
	}
	return o
}

func (d *dice) policy() plan.Policy {
	return plan.Policy{
		Create: d.bool(), Update: d.bool(), Reactivate: d.bool(), AdoptByAuth: d.bool(), ChangeAuth: d.bool(), NeverBelow: d.roll(4) - 1,
		Deactivate: plan.Triggers{Disabled: d.bool(), Missing: d.bool(), OutOfScope: d.bool()},
		Grace:      plan.Grace{Disabled: time.Duration(d.roll(60)) * time.Hour, Missing: time.Duration(d.roll(60)) * time.Hour, OutOfScope: time.Duration(d.roll(60)) * time.Hour},
		UserOwned:  identity.Attributes(d.roll(128)), ReportDrift: identity.Attributes(d.roll(128)) &^ 3, ReservedNames: []string{"svc-*", d.text()},
		Roles:        []plan.RoleAuthority{{Source: d.text(), Managed: d.roles(), Granted: d.roles(), Kept: d.roles(), Asked: d.roles(), Guests: d.bool(), Guest: []plan.Lost{"", plan.LostAsk, plan.LostTake, plan.LostKeep}[d.roll(4)]}},
		RevokeOnAuth: d.bool(), RecreateGone: d.bool(), DeleteEndpoint: d.bool(),
	}
}

func (d *dice) facts() *plan.Facts {
	if d.roll(8) == 1 {
		return nil
	}
	f := &plan.Facts{
		AuthDataVisible: d.bool(), LDAPLocked: d.bool(), EmailVerification: d.bool(), SeatsLeft: d.roll(4) - 1,
		HumanAdmins: []string{"ann", "bob"}, Protected: map[string]string{},
	}
	if d.bool() {
		f.Protected["bob"] = d.text()
	}
	f.SetBack, f.Version = d.roll(5) == 1, d.text()
	f.GuestsOff, f.Licence = d.roll(4) == 1, plan.Licence{Known: d.bool(), Guests: d.bool(), Delegated: d.bool()}
	return f
}

func FuzzDecide(f *testing.F) {
	f.Add([]byte("a plain seed that is long enough to make up several people with links and holders, one after the other, for Build"))
	f.Add(bytes.Repeat([]byte{1, 2, 3, 5, 8, 13, 21, 34, 55, 89}, 40))
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 9))
		data := make([]byte, 60+r.IntN(500))
		for i := range data {
			data[i] = byte(r.IntN(256))
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := &dice{data}
		p, facts := d.policy(), d.facts()
		seen := map[identity.Key]bool{}
		var obs []plan.Observation
		for range min(8, 1+len(data)/60) {
			o := d.observation(facts)
			if seen[o.Key] {
				continue
			}
			seen[o.Key] = true
			obs = append(obs, o)
			total(t, plan.Decide(o, p), o)
		}
		built := plan.Build(obs, p)
		require.Equal(t, len(obs), len(built.Decisions)+built.Unchanged, "every observation has a decision")
		for _, x := range built.Decisions {
			for _, o := range obs {
				if o.Key == x.Key {
					total(t, x, o)
				}
			}
		}
		require.Equal(t, built.Digest(), plan.Build(shuffle(obs, 3), p).Digest())
		text := string(rendered(t, built, plan.Style{}))
		for _, r := range text {
			require.False(t, r == 0x1b || r == 0x202e || r == 0xfffd, "output is safe to print: %q", text)
		}
		roundTrip(t, built)
	})
}

// total checks that a decision is one of those that exist.
func total(t *testing.T, d plan.Decision, o plan.Observation) {
	t.Helper()
	require.Contains(t, plan.Actions(), d.Action)
	require.NotEmpty(t, d.Reason.Explain().Sentence, "reason %q", d.Reason)
	for _, n := range d.Notes {
		require.NotEmpty(t, n.Reason.Explain().Sentence, "reason %q", n.Reason)
		require.NotEmpty(t, n.Detail)
	}
	kinds := make([]plan.OpKind, len(d.Ops))
	for i, op := range d.Ops {
		kinds[i] = op.Kind
	}
	require.True(t, o.Busy.IsZero() || len(d.Ops) == 0, "two writes at once")
	require.False(t, d.AccountID == "" && d.Action != plan.Create && len(d.Ops) > 0 && o.Link != nil && o.Linked != nil && o.Linked.ID != "", "whose account it is")
	switch d.Action {
	case plan.NoOp:
		require.Empty(t, d.Ops)
	case plan.Create:
		again := kinds[0] == plan.UnlinkAccount
		require.Equal(t, o.Link != nil, again, "the link of an account that is made anew goes first")
		require.Equal(t, again, d.Reason == plan.Recreated)
		require.False(t, again && (o.Linked != nil || o.Unseen || o.Facts != nil && o.Facts.SetBack), "what may be there is not made anew")
		require.Empty(t, d.AccountID)
	case plan.Adopt:
		require.NotContains(t, kinds, plan.SetAuth, "who is taken over logs in as before")
	case plan.Hold:
		if d.Reason != plan.LockedByLDAP {
			require.Empty(t, d.Ops)
		}
		for _, op := range d.Ops {
			require.Contains(t, []plan.OpKind{plan.RevokeSessions, plan.SetRoles}, op.Kind, "all that is done to a leaver who cannot be switched off")
		}
	default:
		require.NotEmpty(t, d.Ops, "%s does something", d.Action)
	}
	require.True(t, o.Stopped == nil || len(d.Ops) == 0, "an operator holds everything")
	for _, op := range d.Ops {
		if !op.Kind.Calls() {
			continue
		}
		require.NotEmpty(t, op.Changes, "%s changes something", op.Kind)
		switch op.Kind {
		case plan.SetRoles:
			require.NotEmpty(t, op.Changes[0].To, "an empty roles body would wipe them all")
		case plan.Demote:
			require.Equal(t, []plan.Change{{Field: plan.FieldRoles, From: identity.RoleUser, To: identity.RoleGuest}}, op.Changes)
		case plan.Promote:
			require.Equal(t, []plan.Change{{Field: plan.FieldRoles, From: identity.RoleGuest, To: identity.RoleUser}}, op.Changes)
		}
		if op.Kind == plan.PatchProfile {
			for _, c := range op.Changes {
				require.NotEqual(t, c.From, c.To, "a patch without change is still a write")
			}
		}
	}
	if d.Action == plan.Deactivate {
		require.True(t, o.Link != nil && o.Linked.Active() && (o.Off != nil || o.Desired == nil || !o.Desired.Active))
	}
}

func roundTrip(t *testing.T, p plan.Plan) {
	t.Helper()
	data, err := json.Marshal(p)
	require.NoError(t, err)
	read, err := plan.Decode(data)
	require.NoError(t, err)
	again, err := json.Marshal(read)
	require.NoError(t, err)
	require.JSONEq(t, string(data), string(again))
}

func FuzzPlanDecode(f *testing.F) {
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"format_version":"1.0","digest":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","decisions":[]}`))
	f.Add([]byte(`{"format_version":"1.7","digest":"x","decisions":[{"action":"update","chain":1,"ops":[{"kind":"set_active","parks":true}]}]}`))
	w := newWorld()
	w.desired[identity.Key{Source: "ad", Anchor: "1"}] = &identity.Identity{
		Key: identity.Key{Source: "ad", Anchor: "1"}, Active: true, Owned: 3, Profile: identity.Profile{Username: "\xff", Email: "a@x"},
	}
	data, err := json.Marshal(w.build())
	require.NoError(f, err)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := plan.Decode(data)
		if err != nil {
			require.True(t, strings.HasPrefix(err.Error(), "read plan: "), err.Error())
			return
		}
		roundTrip(t, p)
		_ = p.Units()
		_ = rendered(t, p, plan.Style{Color: true, Redact: true, Lines: 3})
	})
}
