package plan_test

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// company makes observations as a full run of a big company gives them: most
// people unchanged, some updated, created, leaving, renamed, some of those in
// rows of ten that pass names on.
func company(unchanged, updated, created, leaving, renamed int) ([]plan.Observation, plan.Policy) {
	facts := &plan.Facts{Version: "11.6.0", AuthDataVisible: true, LDAPLocked: true, SeatsLeft: -1, HumanAdmins: []string{"root"}, Protected: map[string]string{"root": "guards.protect root"}}
	policy := newWorld().policy
	policy.ReservedNames = []string{"breakglass", "svc-*"}
	policy.Roles = []plan.RoleAuthority{{Source: "ad", Managed: identity.NewRoles(auditor, identity.RoleAdmin), Granted: identity.NewRoles(auditor)}}
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	obs := make([]plan.Observation, 0, unchanged+updated+created+leaving+renamed)
	owned := identity.AttributesOf(identity.Username, identity.Email, identity.FirstName, identity.LastName, identity.Position)
	add := func(i int) *plan.Observation {
		k := identity.Key{Source: "ad", Anchor: fmt.Sprintf("6f9619ff-8b86-d011-b42d-%012d", i)}
		p := identity.Profile{
			Username: fmt.Sprintf("user.%06d", i), Email: fmt.Sprintf("user.%06d@example.com", i),
			FirstName: "Vorname", LastName: "Nachname", Position: "Engineer",
		}
		a := &identity.Account{ID: fmt.Sprintf("%026d", i), Profile: p, Roles: identity.ParseRoles("system_user"), Auth: identity.Auth{Service: "", Data: ""}}
		obs = append(obs, plan.Observation{
			Key: k, Facts: facts, Now: now, Linked: a,
			Desired: &identity.Identity{Key: k, Ref: fmt.Sprintf("uid=user.%06d,ou=People,dc=example,dc=com", i), Active: true, Profile: p, Owned: owned},
			Link:    &identity.Link{Key: k, AccountID: a.ID, Part: identity.Owner, Applied: identity.Applied{Profile: p, Active: true}},
		})
		return &obs[len(obs)-1]
	}
	n := 0
	for range unchanged {
		add(n)
		n++
	}
	for range updated {
		add(n).Desired.Profile.Position = "Lead"
		n++
	}
	for range created {
		o := add(n)
		o.Link, o.Linked = nil, nil
		n++
	}
	for range leaving {
		add(n).Desired.Active = false
		n++
	}
	for i := range renamed {
		o := add(n)
		n++
		if i%10 == 9 {
			o.Desired.Profile.Username += ".new"
			continue
		}
		o.Desired.Profile.Username = fmt.Sprintf("user.%06d", n) // the next one's
	}
	for i := n - renamed; i < n-1; i++ {
		if o, next := &obs[i], &obs[i+1]; o.Desired.Profile.Username == next.Linked.Username {
			o.ByUsername = &plan.Holder{Account: next.Linked, Owner: next.Key}
		}
	}
	return obs, policy
}

func BenchmarkBuild50k(b *testing.B) {
	obs, policy := company(45_000, 2_000, 2_000, 500, 500)
	p := plan.Build(obs, policy)
	require.Equal(b, 45_000, p.Unchanged)
	require.Equal(b, 2_500, p.Count(plan.Update))
	require.Equal(b, 500, p.Count(plan.Deactivate))
	b.ReportAllocs()
	for b.Loop() {
		plan.Build(obs, policy)
	}
}

// BenchmarkBuildFirst is a first run: everybody is created.
func BenchmarkBuildFirst50k(b *testing.B) {
	obs, policy := company(0, 0, 50_000, 0, 0)
	b.ReportAllocs()
	for b.Loop() {
		plan.Build(obs, policy)
	}
}

// BenchmarkBuildOneRow is one chain as long as the directory: after a change of
// the naming rule everybody may want the next one's name.
func BenchmarkBuildOneRow(b *testing.B) {
	obs, policy := company(0, 0, 0, 0, 10_000)
	for i := range len(obs) - 1 {
		obs[i].Desired.Profile.Username = obs[i+1].Linked.Username
		obs[i].ByUsername = &plan.Holder{Account: obs[i+1].Linked, Owner: obs[i+1].Key}
	}
	require.Equal(b, 10_000, plan.Build(obs, policy).Count(plan.Update))
	b.ReportAllocs()
	for b.Loop() {
		plan.Build(obs, policy)
	}
}

func BenchmarkDecide(b *testing.B) {
	obs, policy := company(1, 0, 0, 0, 0)
	b.ReportAllocs()
	for b.Loop() {
		plan.Decide(obs[0], policy)
	}
}

func BenchmarkRender(b *testing.B) {
	p := plan.Build(company(45_000, 2_000, 2_000, 500, 500))
	b.ReportAllocs()
	for b.Loop() {
		if err := plan.Render(io.Discard, p, plan.Style{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDigest(b *testing.B) {
	p := plan.Build(company(45_000, 2_000, 2_000, 500, 500))
	b.ReportAllocs()
	for b.Loop() {
		p.Digest()
	}
}
