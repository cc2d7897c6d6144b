package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// look reads the account again before a destructive op, or when the plan has
// become old, and says why the op must not be sent any more. Only what the op
// changes is compared: update_at moves with every login.
func (a *applier) look(ctx context.Context, who *person, d *plan.Decision, op plan.Op) (string, error) {
	id := who.id(d)
	if id == "" || op.Kind == plan.LinkAccount || op.Kind == plan.UnlinkAccount {
		return "", nil
	}
	if who.account == nil || destructive(op) || time.Since(who.fresh) > a.e.o.StaleAfter {
		now, ok, err := a.e.o.Target.Account(ctx, id)
		if err != nil {
			return "", fmt.Errorf("read account %s before changing it: %w", id, err)
		}
		if !ok {
			return "the account is not there any more", a.unsee(ctx, who)
		}
		who.account, who.fresh = &now, time.Now()
	}
	if to, _ := op.To(plan.FieldActive); op.Kind == plan.SetActive && to == "true" {
		switch now := who.account; {
		case who.link == nil || now.DeleteAt != who.link.DeactivatedAt:
			return "somebody else switched the account off since the plan was made", nil
		case now.Roles.Privileged() || now.Bot:
			return "the account was given more rights since the plan was made", nil
		}
	}
	for _, c := range op.Changes {
		if c.Field.OfThing() {
			continue // not of the account
		}
		is := value(*who.account, c.Field)
		if c.Field == plan.FieldAuthData && is == "" && a.hidden {
			continue // cannot be seen
		}
		if is != c.From && op.Kind != plan.RevokeSessions {
			return string(c.Field) + " was changed since the plan was made", nil
		}
	}
	return "", nil
}

// unsee forgets what was last seen of an account that the server denies having or
// refuses to change, so that the next run reads it whole.
func (a *applier) unsee(ctx context.Context, who *person) error {
	if who.link == nil {
		return nil
	}
	link := *who.link
	link.Observed = nil
	if err := a.e.o.Store.PutLinks(ctx, a.lease.current(), []identity.Link{link}); err != nil {
		return fmt.Errorf("forget what was seen of account %s: %w", link.AccountID, err)
	}
	return nil
}

func destructive(op plan.Op) bool {
	switch op.Kind {
	case plan.SetActive, plan.SetRoles, plan.SetAuth, plan.RevokeSessions, plan.DisableToken, plan.DisableBot:
		return true
	default:
		return false
	}
}

// unshown says of an op that the account does not show what then; "" for one whose
// effect can be seen.
func unshown(op plan.Op) string {
	switch {
	case op.Kind == plan.RevokeSessions:
		return "nothing shows what became of it; it is repeated"
	case op.Thing() != "":
		return "the account does not show what became of it; mmsync leftovers does"
	}
	return ""
}

func value(a identity.Account, f plan.Field) string {
	switch f {
	case plan.FieldRoles:
		return a.Roles.String()
	case plan.FieldActive:
		if a.Active() {
			return "true"
		}
		return "false"
	case plan.FieldAuthService:
		return a.Auth.Service
	case plan.FieldAuthData:
		return a.Auth.Data
	}
	return a.Value(identity.Attribute(f))
}
