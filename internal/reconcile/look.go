package reconcile

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// look reads the account again before a destructive op, or when the plan has
// become old, and says why the op must not be sent any more. Only what the op
// changes is compared: update_at moves with every login.
func (a *applier) look(ctx context.Context, who *person, d *plan.Decision, op plan.Op) (string, error) {
	id := who.id(d)
	if id == "" || !op.Kind.Calls() {
		return "", nil
	}
	if _, _, _, ok := op.Space(); ok && who.account != nil {
		return a.lookInSpace(ctx, id, op)
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
		case now.Bot || now.Roles.Minus(who.expected(d, op)).Privileged():
			return "the account was given more rights since the plan was made", nil
		}
		if a.e.o.Policy.DisableOnReturn {
			if why, err := a.revived(ctx, id); why != "" || err != nil {
				return why, err
			}
		}
	}
	if op.Kind == plan.DeleteAccount {
		if cause := a.stillDeletable(who, op); cause != "" {
			return cause, nil
		}
		return a.e.backAgain(ctx, d.Key)
	}
	for _, c := range op.Changes {
		if c.Field.OfThing() {
			continue // not of the account
		}
		if name, ok := c.Field.Custom(); ok {
			if who.link != nil && who.link.Applied.Custom[name] != c.From {
				return string(c.Field) + " was set since the plan was made", nil
			}
			continue
		}
		if c.Field == plan.FieldPicture {
			if cause := a.pictureMoved(who, d, c); cause != "" {
				return cause, nil
			}
			continue
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

// expected gives the roles that the account has by the time of an op: those that the plan
// saw, or what earlier ops of the decision made of them.
func (p *person) expected(d *plan.Decision, before plan.Op) identity.Roles {
	roles := p.roles
	for i := range d.Ops {
		if d.Ops[i].Equal(before) {
			break
		}
		if to, changes := d.Ops[i].To(plan.FieldRoles); changes {
			roles = identity.ParseRoles(to)
		}
	}
	return roles
}

// revived says why an account must not be switched on yet: a token would work again
// with it that was made, or enabled, since the plan was made.
func (a *applier) revived(ctx context.Context, id string) (string, error) {
	owned, err := a.e.o.Target.Belongings(ctx, []string{id}, false)
	if err != nil {
		return "", fmt.Errorf("read the access tokens of account %s before switching it on: %w", id, err)
	}
	switch b := owned[id]; {
	case b.Hidden != "":
		return "its access tokens, which would work again, are not known: " + b.Hidden, nil
	case len(b.Tokens) > 0:
		return "it has an access token that would work again, and that was made or enabled since the plan was made", nil
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
	case plan.SetActive, plan.SetRoles, plan.Promote, plan.Demote, plan.SetAuth, plan.RevokeSessions, plan.DisableToken, plan.DisableBot, plan.SetPassword, plan.MailReset, plan.DeleteAccount:
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
	case op.Kind == plan.MailReset:
		return "nothing shows whether the mail was sent"
	case op.Kind == plan.SetPicture:
		return "the account does not show which picture it has; the next run sets it again"
	case op.Kind == plan.SetCustom:
		return "the account does not show its user attributes; the next run sets them again"
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
	case plan.FieldOffSince:
		return strconv.FormatInt(a.DeleteAt, 10)
	case plan.FieldAuthService:
		return a.Auth.Service
	case plan.FieldAuthData:
		return a.Auth.Data
	}
	return a.Value(identity.Attribute(f))
}
