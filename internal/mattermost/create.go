package mattermost

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func (t *Target) create(ctx context.Context, op plan.Op, o ApplyOptions) (identity.Account, error) {
	n, err := newUser(op, o)
	if err != nil {
		return identity.Account{}, err
	}
	started := t.c.clock.now()
	a, err := t.c.Create(ctx, n)
	if err != nil {
		if a, err = t.lookAfter(ctx, n, started, err); err != nil {
			return identity.Account{}, err
		}
	}
	if m := t.compareNew(n, a); m != nil {
		return a, m
	}
	if n.Auth.IsZero() && o.Welcome == WelcomeResetLink {
		if err := t.c.SendPasswordReset(ctx, a.Email); err != nil {
			return a, &StepError{AccountID: a.ID, Step: "mail the reset link", Err: err}
		}
	}
	return a, nil
}

// newUser reads a creation from its op. Roles and active may be named for
// people to read, but only with the values every new account has.
func newUser(op plan.Op, o ApplyOptions) (NewUser, error) {
	n := NewUser{EmailVerified: o.EmailVerified}
	for _, c := range op.Changes {
		switch {
		case isAttribute(c.Field):
			n.Profile = n.With(identity.Attribute(c.Field), c.To)
		case c.Field == plan.FieldAuthService:
			n.Auth.Service = c.To
		case c.Field == plan.FieldAuthData:
			n.Auth.Data = c.To
		case c.Field == plan.FieldRoles && c.To == identity.RoleUser:
		case c.Field == plan.FieldActive && c.To == "true":
		default:
			return n, &RequestError{string(op.Kind), fmt.Sprintf("an account cannot be created with %s %q", c.Field, cut(c.To, 40))}
		}
	}
	if n.Auth.IsZero() {
		n.Password = randomPassword()
	}
	return n, n.check()
}

func isAttribute(f plan.Field) bool {
	return identity.AttributesOf(identity.Attribute(f)) != 0
}

// lookAfter follows up a creation that went wrong in a way that may be right:
// no answer, 5xx, or the 500 that stands for taken auth data among other things.
// If the account is there and can only be ours, it was created.
func (t *Target) lookAfter(ctx context.Context, n NewUser, started time.Time, cause error) (identity.Account, error) {
	e, answered := asAPI(cause)
	if answered && e.Taken() == "username" {
		return identity.Account{}, t.nameTaken(ctx, n.Username, e)
	}
	doubtful := answered && e.saveFailed()
	if !doubtful && !errors.Is(cause, ErrOutcomeUnknown) {
		return identity.Account{}, cause
	}
	ctx, cancel := t.afterwards(ctx)
	defer cancel()
	list, err := t.c.UsersByUsernames(ctx, []string{n.Username})
	if err != nil {
		return identity.Account{}, fmt.Errorf("%w; looking whether the account is there: %w", cause, err)
	}
	for _, a := range list {
		if ours(n, a, started) {
			return a, nil
		}
	}
	if doubtful { // the server has answered and is not still at it
		known := *e
		known.unknown = false
		return identity.Account{}, &known
	}
	return identity.Account{}, cause
}

// nameTaken says of a username that the server calls taken what holds it if no account
// does: the names of groups are refused as those of accounts are, and no look-up of
// accounts finds them (read in the source of 11.6: app/user.go, isUniqueToGroupNames).
func (t *Target) nameTaken(ctx context.Context, username string, cause *APIError) error {
	list, err := t.c.UsersByUsernames(ctx, []string{username})
	if err != nil || len(list) > 0 {
		return cause // which says as much as is known
	}
	known := *cause
	known.note = "no account has this username, so it is the name of a group in Mattermost, whose names accounts cannot take; " +
		"rename the group there, or change the username in the source"
	return &known
}

// ours tells whether an account is the one that was just asked for: everything
// equal, untouched since, and not older than the request by the server's clock
// (whose header counts whole seconds). One whose login data are the person's, and which
// has all that was asked for, cannot be somebody else's, so that it may seem older by
// plan.ClockLag; an account without them anybody may have signed up with.
func ours(n NewUser, a identity.Account, started time.Time) bool {
	slack := 2 * time.Second
	if !n.Auth.IsZero() && a.Auth == n.Auth && sameProfile(n, a) {
		slack = plan.ClockLag
	}
	return !started.IsZero() && a.CreateAt >= started.Add(-slack).UnixMilli() &&
		a.Username == n.Username && a.Email == n.Email && a.Active() && !a.Bot && !a.Remote &&
		a.Auth.Service == n.Auth.Service && (a.Auth.Data == n.Auth.Data || a.Auth.Data == "")
}

// sameProfile leaves the locale out, as compareNew does.
func sameProfile(n NewUser, a identity.Account) bool {
	for _, f := range identity.AllAttributes() {
		if f != identity.Locale && a.Value(f) != n.Value(f) {
			return false
		}
	}
	return true
}

// compareNew compares all but the locale: one that this server does not have
// becomes its default on creation and can be patched afterwards.
func (t *Target) compareNew(n NewUser, a identity.Account) *MismatchError {
	for _, f := range identity.AllAttributes() {
		if f != identity.Locale && a.Value(f) != n.Value(f) {
			return &MismatchError{AccountID: a.ID, Field: string(f), Want: n.Value(f), Got: a.Value(f)}
		}
	}
	if !a.Roles.Equal(identity.NewRoles(identity.RoleUser)) { // the first person on a server becomes its administrator
		return &MismatchError{AccountID: a.ID, Field: string(plan.FieldRoles), Want: identity.RoleUser, Got: a.Roles.String()}
	}
	return t.compareAuth(n.Auth, a)
}
