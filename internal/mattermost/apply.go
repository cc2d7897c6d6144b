package mattermost

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// What a new account that logs in by password gets to begin with.
const (
	WelcomeNone      = "none"       // nothing; the person uses "forgot password"
	WelcomeResetLink = "reset_link" // a mail with a link to set a password
)

// ApplyOptions shape how an op is carried out.
type ApplyOptions struct {
	// EmailVerified marks the e-mail of a new account as confirmed: the source
	// vouches for it. A changed one stays unconfirmed, which means nothing to a
	// server without RequireEmailVerification, and with it none is changed.
	EmailVerified bool
	// Welcome is WelcomeNone ("" as well) or WelcomeResetLink. Accounts with a
	// login service get no mail in either case.
	Welcome string
}

// Apply carries out one op and gives back the account as the server then shows
// it. The answer is compared with what was asked, and whatever decides about
// access (active, roles, login service) is read back.
//
// ctx governs all that comes before the op's request leaves, the waits for the
// rate, for a 429 to pass and for a repeat among it: once ctx is done nothing
// is sent any more, and if nothing was, the error is a [CallError] with Sent
// false. What has left is ended whatever becomes of ctx, so that call and record
// can end together: its answer is waited for, for Options.Timeout, and then it
// is read back and settled, for Timeout + SettleFor + 15 s at most. A courtesy
// (the mail with a reset link, the mark on an e-mail) is a write of its own.
//
// Errors, by what the caller does next: OutcomeUnknown (read the account),
// *MismatchError (success answered, not so; the account is given back as it
// is), *StepError (done, a courtesy is missing; the account is given back), and
// those of the Client. Deactivating twice is not guarded against here: it moves
// delete_at, so look first.
func (t *Target) Apply(ctx context.Context, accountID string, op plan.Op, o ApplyOptions) (identity.Account, error) {
	if op.Kind != plan.CreateAccount {
		if err := checkID(string(op.Kind), accountID); err != nil {
			return identity.Account{}, err
		}
	}
	switch op.Kind {
	case plan.CreateAccount:
		return t.create(ctx, op, o)
	case plan.PatchProfile:
		return t.patch(ctx, accountID, op)
	case plan.SetActive:
		return t.setActive(ctx, accountID, op)
	case plan.SetRoles:
		return t.setRoles(ctx, accountID, op)
	case plan.SetAuth:
		return t.setAuth(ctx, accountID, op)
	case plan.RevokeSessions:
		if err := t.c.RevokeSessions(ctx, accountID); err != nil {
			return identity.Account{}, err
		}
		return t.readBack(ctx, accountID, func(identity.Account) *MismatchError { return nil })
	case plan.LinkAccount, plan.UnlinkAccount:
		return identity.Account{}, &RequestError{string(op.Kind), "this is not a call to Mattermost"}
	}
	return identity.Account{}, &RequestError{string(op.Kind), "unknown kind of op"}
}

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

// ours tells whether an account is the one that was just asked for: everything
// equal, untouched since, and not older than the request by the server's clock
// (whose header counts whole seconds).
func ours(n NewUser, a identity.Account, started time.Time) bool {
	return !started.IsZero() && a.CreateAt >= started.Add(-2*time.Second).UnixMilli() &&
		a.Username == n.Username && a.Email == n.Email && a.Active() && !a.Bot && !a.Remote &&
		a.Auth.Service == n.Auth.Service && (a.Auth.Data == n.Auth.Data || a.Auth.Data == "")
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

// compareAuth takes absent auth data for unknown where the server hides it.
func (t *Target) compareAuth(want identity.Auth, a identity.Account) *MismatchError {
	if a.Auth.Service != want.Service {
		return &MismatchError{AccountID: a.ID, Field: string(plan.FieldAuthService), Want: want.Service, Got: a.Auth.Service}
	}
	hidden := a.Auth.Data == "" && !t.c.Version().AtLeast(11, 0) && !t.c.authData.Load()
	if a.Auth.Data != want.Data && !hidden {
		return &MismatchError{AccountID: a.ID, Field: string(plan.FieldAuthData), Want: want.Data, Got: a.Auth.Data}
	}
	return nil
}

func (t *Target) patch(ctx context.Context, id string, op plan.Op) (identity.Account, error) {
	differs := false
	for _, c := range op.Changes {
		if !isAttribute(c.Field) {
			return identity.Account{}, &RequestError{string(op.Kind), string(c.Field) + " is not a profile field"}
		}
		differs = differs || c.From != c.To
	}
	if !differs {
		return identity.Account{}, &RequestError{string(op.Kind), "nothing to change; the server would tell everybody about it all the same"}
	}
	p, set := op.Profile()
	a, err := t.c.Patch(ctx, id, p, set)
	if err != nil {
		return identity.Account{}, err
	}
	if a.ID != id {
		return identity.Account{}, &MismatchError{AccountID: id, Field: "id", Want: id, Got: a.ID}
	}
	for _, f := range set.List() {
		if a.Value(f) != p.Value(f) {
			return a, &MismatchError{AccountID: id, Field: string(f), Want: p.Value(f), Got: a.Value(f)}
		}
	}
	return a, nil
}

func (t *Target) setActive(ctx context.Context, id string, op plan.Op) (identity.Account, error) {
	to, _ := op.To(plan.FieldActive)
	active := to == "true"
	if !active && to != "false" {
		return identity.Account{}, &RequestError{string(op.Kind), `active must be "true" or "false"`}
	}
	if err := t.c.SetActive(ctx, id, active); err != nil {
		return identity.Account{}, err
	}
	return t.readBack(ctx, id, func(a identity.Account) *MismatchError {
		if a.Active() == active {
			return nil
		}
		return &MismatchError{AccountID: id, Field: string(plan.FieldActive), Want: to, Got: strconv.FormatBool(a.Active())}
	})
}

func (t *Target) setRoles(ctx context.Context, id string, op plan.Op) (identity.Account, error) {
	to, _ := op.To(plan.FieldRoles)
	roles := identity.ParseRoles(to)
	if err := t.c.SetRoles(ctx, id, roles); err != nil {
		return identity.Account{}, err
	}
	return t.readBack(ctx, id, func(a identity.Account) *MismatchError {
		if a.Roles.Equal(roles) {
			return nil
		}
		return &MismatchError{AccountID: id, Field: string(plan.FieldRoles), Want: roles.String(), Got: a.Roles.String()}
	})
}

func (t *Target) setAuth(ctx context.Context, id string, op plan.Op) (identity.Account, error) {
	service, _ := op.To(plan.FieldAuthService)
	data, _ := op.To(plan.FieldAuthData)
	if service == "" || data == "" { // the op names only what differs
		a, err := t.read(ctx, id)
		if err != nil {
			return identity.Account{}, err
		}
		service, data = cmp.Or(service, a.Auth.Service), cmp.Or(data, a.Auth.Data)
	}
	want := identity.Auth{Service: service, Data: data}
	if err := t.c.SetAuth(ctx, id, want); err != nil {
		return identity.Account{}, err
	}
	return t.readBack(ctx, id, func(a identity.Account) *MismatchError { return t.compareAuth(want, a) })
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
		a, err := t.read(ctx, id)
		if IsNotFound(err) { // some calls answer success for an id that does not exist
			return identity.Account{}, err
		}
		if err != nil {
			return identity.Account{}, &UnverifiedError{AccountID: id, Err: err}
		}
		m := check(a)
		if m == nil {
			return a, nil
		}
		left := time.Until(deadline)
		if left <= 0 || sleep(ctx, min(wait, left)) != nil {
			return a, m
		}
	}
}

// read reads one account as the server has stored it. From 11.0 the copy that
// reads by id come from is refreshed by writes; older servers keep a stale one,
// so there the account is read from the database, by its name.
func (t *Target) read(ctx context.Context, id string) (identity.Account, error) {
	a, err := t.c.userByID(ctx, id, true)
	if err != nil || t.c.Version().AtLeast(11, 0) {
		return a, err
	}
	list, err := t.c.UsersByUsernames(ctx, []string{a.Username})
	if err != nil {
		return identity.Account{}, err
	}
	for _, fresh := range list {
		if fresh.ID == id {
			return fresh, nil
		}
	}
	return identity.Account{}, fmt.Errorf("account %s: the server finds it by id but not by its name; it is being renamed elsewhere", id)
}
