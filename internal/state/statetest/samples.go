package statetest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

func key(n int) identity.Key {
	return identity.Key{Source: "corp", Anchor: fmt.Sprintf("anchor-%06d", n)}
}

func accountID(n int) string { return fmt.Sprintf("account%019d", n) }

// account gives a plain one, but for every hundredth, whose values need care.
func account(n int) *identity.Account {
	a := &identity.Account{
		ID: accountID(n),
		Profile: identity.Profile{
			Username: fmt.Sprintf("user.%06d", n), Email: fmt.Sprintf("user.%06d@example.org", n),
			FirstName: "Zoë", LastName: "O'Brien", Position: "Head of Something & Other", Locale: "de",
		},
		Roles:    identity.NewRoles(identity.RoleUser),
		Auth:     identity.Auth{Service: "saml", Data: fmt.Sprintf("uid-%06d", n)},
		CreateAt: 1_700_000_000_123 + int64(n), UpdateAt: 1_700_000_000_456,
	}
	if n%100 == 1 {
		a.LastName, a.Position = `O'Brien <"&\> 日本`, "line\nbreak\tand tab"
	}
	return a
}

// link gives a link with every field set.
func link(n int) identity.Link {
	a := account(n)
	return identity.Link{
		Key: key(n), AccountID: a.ID, Part: identity.Owner, Origin: identity.OriginCreated,
		Ref: fmt.Sprintf("uid=user%06d,ou=People,dc=example,dc=org", n),
		Applied: identity.Applied{
			Profile: a.Profile, Roles: a.Roles, Auth: a.Auth, Active: true, Username: a.Username + "2", Memberships: identity.Memberships{{Space: "eng", ID: "team-id"}, {Space: "eng/dev", ID: "channel-id", Admin: true}}, MatchKey: "4711 <&>\u00df", Manager: "manager-id", Hash: "h1:0123456789abcdef",
			Custom:  map[string]string{"Cost centre": "4711 <&>"},
			Picture: "0123456789abcdef", PictureAt: 1_700_000_000_123, PictureRefused: "fedcba9876543210",
		},
		Observed: a, DeactivatedAt: 1_700_000_000_789, Written: at(1), Recheck: at(4), Undone: 3, CreatedAt: at(2), UpdatedAt: at(3),
	}
}

func linksOf(from, to int) []identity.Link {
	out := make([]identity.Link, 0, to-from)
	for n := from; n < to; n++ {
		out = append(out, link(n))
	}
	return out
}

func run(id string, l state.Lease) state.Run {
	return state.Run{
		ID: id, Kind: "sync", Trigger: "schedule", RequestedBy: "root@host", Reason: "because", Options: `{"only": ["x"]}`,
		Status: state.RunApplying, Token: l.Token, Digest: "sha256:1", Policy: "sha256:2",
		RequestedAt: at(10), StartedAt: at(11), PlannedAt: at(12),
		Counts:  state.Counts{Planned: map[plan.Action]int{plan.Create: 2, plan.Hold: 1}, Done: 1, Failed: 2, Skipped: 3, Held: 4, Unchanged: 5},
		Message: "so far so good",
		Sources: []plan.SourceSummary{{Name: "corp", Entries: 7, Last: 8, Linked: 6, Complete: true, Faults: 1, Took: 1234567}},
		Target:  plan.TargetSummary{URL: "https://chat.example.org", Version: "11.6.0", Active: 6, SeatsLeft: -1},
	}
}

// thePlan has one decision of each shape: a create of three ops, a deactivation
// and a hold with a note.
func thePlan() plan.Plan {
	due := at(99)
	return plan.Plan{
		Decisions: []plan.Decision{
			deactivation(1),
			{
				Key: key(2), Ref: "uid=2", Action: plan.Create, Reason: plan.Wanted, Username: "user.000002",
				Chain: 3, Ops: []plan.Op{
					{Kind: plan.CreateAccount, Changes: []plan.Change{{Field: "username", From: "", To: "user.000002"}, {Field: "first_name", To: `<Zoë> & "co"`}}},
					{Kind: plan.SetRoles, Changes: []plan.Change{{Field: plan.FieldRoles, From: "system_user", To: "system_admin system_user"}}},
					{Kind: plan.PatchProfile, Parks: true, SpaceID: "of another kind"},
				},
			},
			{
				Key: key(3), Ref: "uid=3", Action: plan.Hold, Reason: plan.InGrace, AccountID: accountID(3), Username: "user.000003",
				Detail: "until tomorrow", Until: &due, Held: plan.Deactivate, Approval: "a1",
				Withheld: []plan.Op{{Kind: plan.SetActive, Changes: []plan.Change{{Field: plan.FieldActive, From: "true", To: "false"}}}},
				Notes:    []plan.Note{{Field: "email", Reason: plan.EmailTaken, Detail: "x has it", From: "a@b", To: "c@d"}},
			},
		},
		Unchanged: 5,
	}
}

func deactivation(n int) plan.Decision {
	return plan.Decision{
		Key: key(n), Ref: fmt.Sprintf("uid=%d", n), Action: plan.Deactivate, Reason: plan.SourceMissing, AccountID: accountID(n),
		Username: fmt.Sprintf("user.%06d", n), Detail: "gone",
		Ops: []plan.Op{
			{Kind: plan.SetActive, Changes: []plan.Change{{Field: plan.FieldActive, From: "true", To: "false"}}},
			{Kind: plan.RevokeSessions},
		},
	}
}

// begin acquires the lease and begins a run of thePlan.
func begin(t testing.TB, s state.Store, id string) state.Lease {
	t.Helper()
	l := acquire(t, s)
	require.NoError(t, s.BeginRun(t.Context(), l, run(id, l), thePlan(), state.SightingChanges{}))
	return l
}

func ref(run string, decision, op int) state.OpRef {
	return state.OpRef{Run: run, Decision: decision, Op: op}
}

func outcome(r state.OpRef, status state.OpStatus) state.Outcome {
	return state.Outcome{Ref: r, Status: status, At: at(30)}
}
