package mattermost

import (
	"context"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// compareAuth takes absent auth data for unknown where the server hides it.
func (t *Target) compareAuth(want identity.Auth, a identity.Account) *MismatchError {
	if a.Auth.Service != want.Service {
		return &MismatchError{AccountID: a.ID, Field: string(plan.FieldAuthService), Want: want.Service, Got: a.Auth.Service}
	}
	hidden := a.Auth.Data == "" && !t.c.showsAuthData()
	if a.Auth.Data != want.Data && !hidden {
		return &MismatchError{AccountID: a.ID, Field: string(plan.FieldAuthData), Want: want.Data, Got: a.Auth.Data}
	}
	return nil
}

// settleSlack is what looking at a write may take besides settling and one
// request's time-out.
const settleSlack = 15 * time.Second

// afterwards gives the time to look at what a write did, whoever has lost
// interest in it meanwhile.
func (t *Target) afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), t.c.timeout+t.o.SettleFor+settleSlack)
}

// readBack reads the account until check is content or SettleFor is over.
func (t *Target) readBack(ctx context.Context, id string, check func(identity.Account) *MismatchError) (identity.Account, error) {
	ctx, cancel := t.afterwards(ctx)
	defer cancel()
	deadline := time.Now().Add(t.o.SettleFor)
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		a, err := t.read(ctx, id, true)
		gone := IsNotFound(err) // some calls answer success for an id that does not exist; a node may lag
		if err != nil && !gone {
			return identity.Account{}, &UnverifiedError{AccountID: id, Err: err}
		}
		if !gone {
			m := check(a)
			if m == nil {
				return a, nil
			}
			err = m
		}
		left := time.Until(deadline)
		if left <= 0 || sleep(ctx, min(wait, left)) != nil {
			return a, err
		}
	}
}

// read reads one account as the server has stored it. From 11.0 the copy that
// reads by id come from is refreshed by writes; older servers keep a stale one
// after a change of the login service, so there the account is read from the
// database: by the name it has in that copy, or, if it was renamed behind the
// server's back, by its e-mail.
func (t *Target) read(ctx context.Context, id string, urgent bool) (identity.Account, error) {
	a, err := t.c.userByID(ctx, id, urgent)
	if err != nil || t.c.Version().AtLeast(11, 0) {
		return a, err
	}
	list, err := t.c.usersByUsernames(ctx, []string{a.Username}, urgent)
	if err != nil {
		return identity.Account{}, err
	}
	for _, fresh := range list {
		if fresh.ID == id {
			return fresh, nil
		}
	}
	fresh, err := t.c.userByEmail(ctx, a.Email, urgent)
	switch {
	case err == nil && fresh.ID == id:
		return fresh, nil
	case err == nil || IsNotFound(err):
		return identity.Account{}, &StaleError{AccountID: id}
	}
	return identity.Account{}, err
}

// StaleError tells that a server before 11.0 goes on finding an account by id,
// in its memory, that its database has neither by name nor by e-mail: it was
// deleted for good.
type StaleError struct{ AccountID string }

func (e *StaleError) Error() string {
	return fmt.Sprintf("account %s: the server's memory still shows it, its database has it neither by username nor by e-mail", e.AccountID)
}

// NotFound is always true.
func (e *StaleError) NotFound() bool { return true }
