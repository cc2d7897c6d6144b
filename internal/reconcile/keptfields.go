package reconcile

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// keptFields are the fields that the server kept to the account's login service, because
// of an error of Target.Apply; all else that the op asked for was done.
func keptFields(err error) []plan.Field {
	var k interface{ KeptByLogin() []plan.Field }
	if errors.As(err, &k) {
		return k.KeptByLogin()
	}
	return nil
}

// without is an op less the changes of some fields.
func without(op plan.Op, fields []plan.Field) plan.Op {
	op.Changes = slices.DeleteFunc(slices.Clone(op.Changes), func(c plan.Change) bool { return slices.Contains(fields, c.Field) })
	return op
}

// keepsFields notes what of somebody stays as it is, and says so. What follows for the
// same person goes on: whether somebody is let in, loses rights, sessions or memberships,
// or logs in by another service does not depend on what he is called.
func (a *applier) keepsFields(k identity.Key, fields []plan.Field) (said string) {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = string(f)
	}
	if slices.ContainsFunc(fields, func(f plan.Field) bool { return f == plan.Field(identity.Username) || f == plan.Field(identity.Email) }) {
		a.mu.Lock()
		a.keptName[k] = true
		a.mu.Unlock()
	}
	return strings.Join(names, ", ") + ": the server keeps this to the account's login service, so it stays as it is (" + string(plan.LockedByLogin) + ")"
}

// keepsName tells whether an account kept a username or an e-mail that it was to give up.
func (a *applier) keepsName(k identity.Key) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.keptName[k]
}

// allKept records a patch of which nothing was done. now is the account.
func (a *applier) allKept(ctx context.Context, ref state.OpRef, d *plan.Decision, who *person, now identity.Account, said string) error {
	if now.ID != "" {
		who.account, who.fresh = &now, time.Now()
	}
	return a.skip(ctx, ref, d, ref.Op, said)
}
