package reconcile_test

import (
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// engine is a process on this world.
func (s *storm) engine(run *stormRun, holder string, calm bool) *reconcile.Engine {
	c, err := mattermost.New(mattermost.Options{
		BaseURL: "http://127.0.0.1:8065", Token: func() (string, error) { return adminToken, nil }, HTTPTransport: wire{s, run},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	// In the calm an operator lets through whatever was held before.
	plenty := guard.Limit{Count: 1000, ByHand: calm}
	limits := guard.Limits{
		Deactivations: plenty, Reactivations: plenty, RoleRemovals: plenty, Recreations: plenty, Creates: plenty, Updates: plenty, Renames: plenty,
		EmailChanges: plenty, AuthChanges: plenty, AdminGrants: plenty, MembershipAdditions: plenty, MembershipRemovals: plenty, Window: 24 * time.Hour,
	}
	if !calm {
		limits.MinEntriesPercent = 60
		if s.rules.tight {
			limits.Deactivations.Count = 2
		}
	}
	var sources []reconcile.Source
	for _, name := range s.allSources() {
		sources = append(sources, register{s, run, name})
	}
	o := reconcile.Options{
		Sources: sources, Target: target{mattermost.NewTarget(c, mattermost.TargetOptions{SettleFor: time.Minute, Guests: s.rules.guests})},
		Store: mortal{ledger{Store: s.db, s: s, run: run}, run.crash}, Limits: limits, TargetURL: "http://127.0.0.1:8065",
		Policy: plan.Policy{
			Create: true, Update: true, Reactivate: true, NeverBelow: 1,
			Deactivate:  plan.Triggers{Disabled: true, Missing: true, OutOfScope: true},
			Grace:       s.rules.grace,
			AdoptByAuth: s.rules.adopt, RecreateGone: s.rules.recreate, ChangeAuth: s.rules.changeAuth,
			RevokeOnAuth: s.rules.revoke, DeleteEndpoint: s.rules.del, ReservedNames: []string{"svc-*"},
		},
		Protect: slices.Clone(s.protect), Workers: s.rules.workers,
		LookAgain: s.rules.lookAgain, Holder: holder,
	}
	for _, name := range s.rules.sources {
		o.Policy.Roles = append(o.Policy.Roles, plan.RoleAuthority{
			Source: name, Managed: identity.NewRoles(identity.RoleAdmin), Granted: identity.NewRoles(identity.RoleAdmin),
			Guests: s.rules.guests, Guest: s.rules.guestLost,
		})
		if s.places.ids != nil {
			o.Policy.Memberships = append(o.Policy.Memberships, s.placeRules(name))
		}
	}
	o.Policy.ReaddRemoved = s.places.readd
	contributing(&o.Policy, s)
	return reconcile.New(o)
}
