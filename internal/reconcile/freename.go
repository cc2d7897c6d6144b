package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// The server's limits of what a parked name may be long.
const (
	usernameLimit = 64
	emailLimit    = 128
)

// FreeName parks the username or the e-mail that the account of somebody who has
// left still holds, so that somebody new can have it. It is one call like any
// other, and only made for an account that is linked and off.
func (e *Engine) FreeName(ctx context.Context, o RunOptions, value string, dry bool) (Report, error) {
	return e.own(ctx, o, everything, dry, func(ctx context.Context, w *ownership) error {
		field := identity.Username
		if strings.Contains(value, "@") {
			field = identity.Email
		}
		a, err := w.holding(ctx, field, value)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(w.g.observations, func(o plan.Observation) bool {
			return o.Link != nil && o.Link.Part == identity.Owner && o.Link.AccountID == a.ID
		})
		if i < 0 {
			return w.unowned(ctx, a, field)
		}
		ob := &w.g.observations[i]
		if why := w.notFreed(ob, a, field); why != "" {
			return fmt.Errorf("%w: account %q (%s) of %s %s", ErrRefused, a.Username, a.ID, ob.Key, why)
		}
		if err := e.unheld(ctx, ob.Key); err != nil {
			return err
		}
		to, err := w.parked(ctx, a, field)
		if err != nil {
			return err
		}
		ob.Linked = a
		w.calls = true
		w.steps = append(w.steps, step{decision: plan.Decision{
			Key: ob.Key, Ref: ob.Link.Ref, Action: plan.Update, Reason: plan.NameFreed, AccountID: a.ID, Username: a.Username,
			Detail: "freed for somebody else",
			Ops:    []plan.Op{{Kind: plan.PatchProfile, Changes: []plan.Change{{Field: plan.Field(field), From: a.Value(field), To: to}}}},
		}})
		w.message = fmt.Sprintf("freed the %s of account %s", field, a.ID)
		return nil
	})
}

// unowned refuses an account that is nobody's, or of whose owner nothing is known
// in this run.
func (w *ownership) unowned(ctx context.Context, a *identity.Account, field identity.Attribute) error {
	links, err := w.e.o.Store.Links(ctx, state.LinkFilter{AccountIDs: []string{a.ID}})
	if err != nil {
		return fmt.Errorf("read whose account %s is: %w", a.ID, err)
	}
	for i := range links {
		if k := &links[i]; k.Part == identity.Owner {
			return fmt.Errorf("%w: account %q (%s) is that of %s, and source %s was not read, so that nobody knows whether that person has left", ErrRefused, a.Username, a.ID, k.Key, k.Key.Source)
		}
	}
	return fmt.Errorf("%w: account %q (%s) is not mmsync's; change its %s in Mattermost", ErrRefused, a.Username, a.ID, field)
}

// holding reads the account that has a username or an e-mail.
func (w *ownership) holding(ctx context.Context, field identity.Attribute, value string) (*identity.Account, error) {
	var names, mails []string
	if field == identity.Email {
		mails = []string{value}
	} else {
		names = []string{strings.ToLower(value)}
	}
	found, err := w.e.o.Target.Lookup(ctx, names, mails)
	if err != nil {
		return nil, fmt.Errorf("look for who has %q: %w", value, err)
	}
	for i := range found {
		if strings.EqualFold(found[i].Value(field), value) {
			return &found[i], nil
		}
	}
	return nil, fmt.Errorf("%w: no account of the server has the %s %q, so it is free", ErrRefused, field, value)
}

// notFreed says why nothing is taken from an account, in words that follow its
// name; "" if it may be.
func (w *ownership) notFreed(o *plan.Observation, a *identity.Account, field identity.Attribute) string {
	switch {
	case a.Active():
		return "is active: only somebody who has left gives his name up"
	case o.Desired != nil && o.Desired.Active:
		return "is that of somebody whom " + o.Key.Source + " lists as active"
	case o.Desired == nil && !o.Absence.Complete && !o.Absence.Explicit:
		return "may still be needed, for the last read proves nothing about who is missing: " + o.Absence.Doubt
	case w.facts.SetBack:
		return "may be another than it seems, for the server was set back to an earlier state; run mmsync sync once, which looks at everything anew"
	case w.busy.has(o.Key, a.ID):
		return "may still be reached by a call of a run that was cut off; try again in two minutes"
	case a.Roles.Privileged():
		return "holds " + a.Roles.String() + "; change it in Mattermost"
	case w.facts.Locks.Locked(a.Auth.Service, field):
		return "logs in by " + a.Auth.Service + ", which owns the " + string(field) + " on the server, so that no administrator can change it; give the new person another one"
	case field == identity.Email && w.facts.EmailVerification:
		return "would keep its e-mail until the new one was verified, for the server demands that; change it with the server's own tools"
	}
	if cause := w.protected(a); cause != "" {
		return "is protected: " + cause
	}
	return ""
}

// parked chooses a value that tells whose it was and since when he is gone, and
// that nobody has or wants.
func (w *ownership) parked(ctx context.Context, a *identity.Account, field identity.Attribute) (string, error) {
	mark := "left-" + time.UnixMilli(a.DeleteAt).UTC().Format("2006")
	var tries []string
	for n := 1; n <= 9; n++ {
		m := mark
		if n > 1 {
			m += fmt.Sprintf("-%d", n)
		}
		if field == identity.Username {
			tries = append(tries, cut(a.Username, usernameLimit-len(m)-1)+"-"+m)
			continue
		}
		local, domain, _ := strings.Cut(a.Email, "@")
		tries = append(tries, cut(local, emailLimit-len(domain)-len(m)-2)+"+"+m+"@"+domain)
	}
	names, mails := tries, []string(nil)
	if field == identity.Email {
		names, mails = nil, tries
	}
	taken, err := w.e.o.Target.Lookup(ctx, names, mails)
	if err != nil {
		return "", fmt.Errorf("look for a free %s: %w", field, err)
	}
	for _, v := range tries {
		held := slices.ContainsFunc(taken, func(x identity.Account) bool { return strings.EqualFold(x.Value(field), v) })
		wanted := slices.ContainsFunc(w.g.observations, func(o plan.Observation) bool {
			return o.Desired != nil && strings.EqualFold(o.Desired.Profile.Value(field), v)
		})
		if !held && !wanted {
			return v, nil
		}
	}
	return "", fmt.Errorf("%w: %s and all names like it are taken; rename one of them in Mattermost", ErrRefused, tries[0])
}

// cut shortens a name to a number of bytes.
func cut(s string, limit int) string {
	return strings.ToValidUTF8(s[:max(0, min(len(s), limit))], "")
}
