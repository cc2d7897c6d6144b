package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// effect gives the account if it shows what a sent op asked for, else nil.
func (e *Engine) effect(ctx context.Context, op state.OpRecord) (*identity.Account, error) {
	if op.Op.SpaceID != "" {
		return e.spaceEffect(ctx, op)
	}
	if _, makes := op.Op.Makes(); makes {
		return e.madeEffect(ctx, op.Op)
	}
	if op.Op.Kind != plan.CreateAccount {
		a, ok, err := e.o.Target.Account(ctx, op.AccountID)
		if err != nil || !ok || !satisfied(op.Op, a) || op.Op.Kind == plan.RevokeSessions || op.Op.Kind == plan.MailReset {
			return nil, err
		}
		if op.Op.Kind == plan.SetActive && !a.Active() && !near(a.DeleteAt, op.SentAt, plan.ClockLag) {
			return nil, nil // off, but not by this call, before which it was seen to be on
		}
		return &a, nil
	}
	name, _ := op.Op.To(plan.Field(identity.Username))
	found, err := e.o.Target.Lookup(ctx, []string{name}, nil)
	if err != nil {
		return nil, err
	}
	for i := range found {
		if ok, err := e.intended(ctx, op, &found[i]); ok || err != nil {
			return &found[i], err
		}
	}
	return nil, nil
}

// intended tells whether an account is what a creation that lost its answer
// made: all that was asked for and nothing else, by the server's clock not before
// the call was sent, and never owned by anybody. Somebody else may have made an
// account with the same name and e-mail while the plan was being carried out.
func (e *Engine) intended(ctx context.Context, op state.OpRecord, a *identity.Account) (bool, error) {
	login, _ := op.Op.To(plan.FieldAuthService)
	back := dateSlack
	if data, _ := op.Op.To(plan.FieldAuthData); login != "" && a.Auth.Data == data {
		back = plan.ClockLag // whose login data these are nobody else can be; a password anybody may have signed up with
	}
	if !satisfied(op.Op, *a) || a.Auth.Service != login || !near(a.CreateAt, op.SentAt, back) ||
		!a.Active() || a.Bot || a.Remote || a.MagicLink || a.Roles.Privileged() {
		return false, nil
	}
	past, err := e.o.Store.PastLinks(ctx, []string{a.ID})
	if err != nil {
		return false, fmt.Errorf("read who owned account %s: %w", a.ID, err)
	}
	return len(past) == 0, nil
}

// near tells whether something happened, by the server's clock, when a call that
// was marked as sent at t can have done it. back is how much earlier it may seem.
func near(ms int64, t time.Time, back time.Duration) bool {
	d := time.UnixMilli(ms).Sub(t)
	return d > -back && d < settleAfter+dateSlack
}

func (e *Engine) linkOf(ctx context.Context, k identity.Key) (*identity.Link, error) {
	links, err := e.o.Store.Links(ctx, state.LinkFilter{Keys: []identity.Key{k}})
	if err != nil || len(links) == 0 {
		return nil, err
	}
	return &links[0], nil
}

// intents finds, for runs that may not write, the accounts that interrupted
// creations made: plan shows them as adoptions, sync closes them in recover.
func (e *Engine) intents(ctx context.Context, v *view, owners map[string]identity.Key) (map[identity.Key]*identity.Account, error) {
	open, err := e.o.Store.Ops(ctx, state.OpFilter{Statuses: []state.OpStatus{state.OpSent}})
	if err != nil {
		return nil, fmt.Errorf("read unfinished ops: %w", err)
	}
	out := map[identity.Key]*identity.Account{}
	for _, op := range open {
		if op.Op.Kind != plan.CreateAccount {
			continue
		}
		name, _ := op.Op.To(plan.Field(identity.Username))
		a := v.byUsername[name]
		if a == nil || !owners[a.ID].IsZero() {
			continue
		}
		ok, err := e.intended(ctx, op, a)
		if err != nil {
			return nil, err
		}
		if ok {
			out[op.Key] = a
		}
	}
	return out, nil
}

// satisfied tells whether an account shows what an op asked for. Auth data that
// the server hides cannot speak against it.
func satisfied(op plan.Op, a identity.Account) bool {
	for _, c := range op.Changes {
		var ok bool
		switch c.Field {
		case plan.FieldRoles:
			ok = a.Roles.Equal(identity.ParseRoles(c.To))
		case plan.FieldActive:
			ok = op.Kind == plan.RevokeSessions || a.Active() == (c.To == "true")
		case plan.FieldAuthService:
			ok = a.Auth.Service == c.To
		case plan.FieldAuthData:
			// Where it is hidden, only a new service shows that anything was done.
			ok = a.Auth.Data == c.To || (a.Auth.Data == "" && movesService(op))
		case plan.Field(identity.Email):
			ok = strings.EqualFold(a.Email, c.To)
		default:
			ok = a.Value(identity.Attribute(c.Field)) == c.To
		}
		if !ok {
			return false
		}
	}
	return true
}

func movesService(op plan.Op) bool {
	return slices.ContainsFunc(op.Changes, func(c plan.Change) bool { return c.Field == plan.FieldAuthService && c.From != c.To })
}

// linkAfter gives the link as it stands once an op has had its effect. The link
// learns from the op and the account alone, so that a later run can close an
// op whose plan is gone.
func linkAfter(old *identity.Link, k identity.Key, ref string, op plan.Op, a identity.Account, now time.Time) *identity.Link {
	if op.SpaceID != "" { // the account is as it was
		if old == nil {
			return nil
		}
		next := *old
		next.Applied.Memberships, next.UpdatedAt = op.After(old.Applied.Memberships), now
		return &next
	}
	next := identity.Link{Key: k, Part: identity.Owner, Origin: identity.OriginCreated, CreatedAt: now}
	if old != nil {
		next = *old
	}
	next.AccountID, next.Observed, next.UpdatedAt, next.Written = a.ID, &a, now, time.UnixMilli(a.UpdateAt)
	if takes(op) {
		next.Recheck = now
	}
	if ref != "" {
		next.Ref = ref
	}
	switch op.Kind {
	case plan.LinkAccount:
		next.Applied.Active = a.Active()
	case plan.CreateAccount:
		next.Applied.Active = true
	case plan.SetActive:
		next.Applied.Active = a.Active()
		next.DeactivatedAt = a.DeleteAt
		if next.Undone = 0; old != nil && !a.Active() {
			next.Undone = old.Undone
		}
	case plan.RevokeSessions:
		to, _ := op.To(plan.FieldActive) // of a leaver; else sessions from before a new login
		next.Applied.Active = next.Applied.Active && to != "false"
	default:
	}
	for _, c := range op.Changes {
		if name, ok := c.Field.Custom(); ok {
			next.Applied.Custom = with(next.Applied.Custom, name, c.To)
			continue
		}
		switch c.Field {
		case plan.FieldRoles:
			next.Applied.Roles = identity.ParseRoles(c.To)
		case plan.FieldAuthService:
			next.Applied.Auth.Service = c.To
		case plan.FieldAuthData:
			next.Applied.Auth.Data = c.To
		case plan.FieldPicture:
			next.Applied.Picture, next.Applied.PictureAt, next.Applied.PictureRefused = c.To, a.PictureAt, ""
		case plan.FieldPart:
			next.Part = identity.Part(c.To)
		case plan.FieldActive, plan.FieldToken, plan.FieldBot:
		default:
			if !op.Parks {
				next.Applied.Profile = next.Applied.Profile.With(identity.Attribute(c.Field), c.To)
			}
		}
	}
	if next.Part == identity.Contributor { // how the account is is its owner's matter
		next.Observed, next.Written = nil, time.Time{}
	}
	return &next
}

// with gives a copy of a map with one value set: links are values that others hold.
func with(m map[string]string, name, value string) map[string]string {
	out := maps.Clone(m)
	if out == nil {
		out = map[string]string{}
	}
	out[name] = value
	return out
}

// outcomeUnknown is what an error of Target.Apply implements when the call may
// have had its effect without an answer.
type outcomeUnknown interface{ OutcomeUnknown() bool }

func isUnknown(err error) bool {
	var u outcomeUnknown
	return errors.As(err, &u) && u.OutcomeUnknown()
}
