package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// lastsAfter is how long a leaving, or a removal of roles, must have lasted to be
// believed: by then what was under way at the server when it happened is over.
const lastsAfter = 40 * time.Second

// takes tells an op that takes access or rights away, which the server may lose
// to a write that comes at the same time, and answer 200 to both.
func takes(op plan.Op) bool {
	switch op.Kind {
	case plan.SetActive:
		to, _ := op.To(plan.FieldActive)
		return to == "false"
	case plan.SetRoles, plan.Demote:
		for _, c := range op.Changes {
			if c.Field == plan.FieldRoles && len(identity.ParseRoles(c.From).Minus(identity.ParseRoles(c.To))) > 0 {
				return true
			}
		}
	default:
	}
	return false
}

// undone names what of mmsync's last taking the account does not show any more; ""
// if it lasts.
func (e *Engine) undone(k *identity.Link, a *identity.Account) string {
	if k.DeactivatedAt != 0 && !k.Applied.Active && a.Active() {
		return "switched on again"
	}
	if k.Applied.Roles.Has(identity.RoleGuest) && !a.Roles.Has(identity.RoleGuest) {
		return "made a full member again"
	}
	rights := e.taken(k.Key.Source)
	var back []string
	for _, r := range a.Roles.Minus(k.Applied.Roles) {
		if rights.Has(r) {
			back = append(back, r)
		}
	}
	if len(back) > 0 {
		return "given " + strings.Join(back, ", ") + " again"
	}
	return ""
}

// taken are the roles that leavers of a source lose.
func (e *Engine) taken(source string) identity.Roles {
	rights := identity.NewRoles(identity.RoleAdmin)
	for _, r := range e.o.Policy.Roles {
		if r.Source == source || slices.Contains(e.o.Policy.RoleSources, r.Source) {
			rights = rights.Union(r.Managed)
		}
	}
	return rights
}

// hasRights tells whether a leaver of a source would lose one of the roles.
func (e *Engine) hasRights(source string, r identity.Roles) bool {
	return !r.Minus(e.taken(source)).Equal(r)
}

// lasts notes what became of what mmsync took from an account, and tells whether
// the link is to be written. What does not last is taken again by the plan; what
// does not last twice is an alarm.
func (e *Engine) lasts(ctx context.Context, g *gathered, k *identity.Link, a *identity.Account) bool {
	if k.Recheck.IsZero() || a == nil {
		return false
	}
	what := e.undone(k, a)
	if what == "" {
		if g.now.Sub(k.Recheck) < lastsAfter {
			return false
		}
		k.Recheck, k.Undone = time.Time{}, 0
		return true
	}
	k.Recheck = time.Time{}
	k.Undone++
	e.log.WarnContext(ctx, "what was taken from an account is back", "source", k.Key.Source, "anchor", k.Key.Anchor, "account", k.AccountID, "times", k.Undone)
	if k.Undone > 1 {
		g.notices = append(g.notices, undoneNotice(k, what))
		g.problems = append(g.problems, fmt.Sprintf("account %s (%s) was %s after mmsync had taken that away, %d times in a row: find out who or what does it, another sync, an administrator, or a client that saves its profile all the time; until then mmsync takes it away each time",
			k.AccountID, k.Key, what, k.Undone))
	}
	return true
}

// onlyTakes tells an op after which somebody has less than before, and nothing that he had
// not: it need not wait for what he is called.
func onlyTakes(op plan.Op) bool {
	gives := func(c plan.Change) bool { return len(identity.ParseRoles(c.To).Minus(identity.ParseRoles(c.From))) > 0 }
	return op.Takes() || op.Kind == plan.Demote || op.Kind == plan.SetRoles && !slices.ContainsFunc(op.Changes, gives)
}
