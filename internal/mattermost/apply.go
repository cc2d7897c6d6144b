package mattermost

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// WelcomeResetLink has a new account that logs in by password begin with a mail that
// has a link to set one.
const WelcomeResetLink = "reset_link"

// ApplyOptions shape how an op is carried out.
type ApplyOptions struct {
	// EmailVerified marks the e-mail of a new account as confirmed: the source
	// vouches for it. A changed one stays unconfirmed, which means nothing to a
	// server without RequireEmailVerification, and with it none is changed.
	EmailVerified bool
	// Welcome is WelcomeResetLink, or anything else for no mail: the person uses
	// "forgot password". Accounts with a login service get none in either case.
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
// (the mail with a reset link) is a write of its own.
//
// An op about a team or channel gives back an account with nothing but its id: the
// account is as it was. [SpaceError] tells that the server does not let it in or out.
//
// Errors, by what the caller does next: OutcomeUnknown (read the account),
// *MismatchError (success answered, not so; the account is given back as it
// is), *LockedError (fields stay as they are, the rest is done; the account is given
// back), *StepError (done, a courtesy is missing; the account is given back),
// *StoppedError (not sent: this kind did not work on this release), *GuestsError (not
// sent: the server makes no guests), and those of the Client. [IsNotFound] tells that there is no such account, whatever the call
// itself was answered. An op that says that nothing changes is refused; whether
// the account is so already is not looked at, and deactivating twice moves
// delete_at, so look first.
func (t *Target) Apply(ctx context.Context, accountID string, op plan.Op, o ApplyOptions) (identity.Account, error) {
	if err := checkOp(accountID, op); err != nil {
		return identity.Account{}, err
	}
	if _, makes := op.Makes(); makes {
		return t.makeSpace(ctx, op)
	}
	proved, err := t.trial.begin(ctx, t, op)
	if err != nil {
		return identity.Account{}, err
	}
	a, err := t.carryOut(ctx, accountID, op, o)
	return proved(a, t.missing(ctx, accountID, err))
}

// checkOp refuses what no call can be made of.
func checkOp(accountID string, op plan.Op) error {
	kind := string(op.Kind)
	switch op.Kind {
	case plan.LinkAccount, plan.UnlinkAccount, plan.NotePicture, plan.SetPicture: // the last is [Target.SetPicture]
		return &RequestError{kind, "this is not a call to Mattermost"}
	case plan.CreateAccount:
	case plan.MakeTeam, plan.MakeChannel:
		name, ok := op.Makes()
		team, channel, isChannel := strings.Cut(name, "/")
		if !ok || !validSlug(team) || isChannel != (op.Kind == plan.MakeChannel) || isChannel && !validSlug(channel) {
			return &RequestError{kind, "what is to be made is not clear"}
		}
	default:
		if err := checkID(kind, accountID); err != nil {
			return err
		}
	}
	if _, _, _, about := op.Space(); about != (op.SpaceID != "") {
		return &RequestError{kind, "which team or channel it is about is not clear"}
	}
	if to, _ := op.To(plan.FieldOffSince); (op.Kind == plan.DeleteAccount) != (to == plan.Deleted) {
		return &RequestError{kind, "whether it deletes an account is not clear"}
	}
	if to, _ := op.To(plan.FieldActive); op.ByDelete && (op.Kind != plan.SetActive || to != "false") {
		return &RequestError{kind, "only switching an account off can go by DELETE"}
	}
	return nil
}

func (t *Target) carryOut(ctx context.Context, id string, op plan.Op, o ApplyOptions) (identity.Account, error) {
	switch op.Kind {
	case plan.CreateAccount:
		return t.create(ctx, op, o)
	case plan.PatchProfile:
		return t.patch(ctx, id, op)
	case plan.SetActive:
		return t.setActive(ctx, id, op)
	case plan.SetRoles:
		return t.setRoles(ctx, id, op)
	case plan.SetAuth:
		return t.setAuth(ctx, id, op)
	case plan.Promote, plan.Demote:
		return t.setGuest(ctx, id, op)
	case plan.SetPassword:
		return t.setPassword(ctx, id)
	case plan.MailReset:
		return t.mailReset(ctx, id)
	case plan.RevokeSessions:
		if err := t.c.RevokeSessions(ctx, id); err != nil {
			return identity.Account{}, err
		}
		return t.readBack(ctx, id, func(identity.Account) *MismatchError { return nil })
	case plan.SetCustom:
		return t.setCustom(ctx, id, op)
	case plan.DisableToken, plan.DisableBot:
		return t.disable(ctx, id, op)
	case plan.DeleteAccount:
		return t.deleteForGood(ctx, id)
	case plan.JoinTeam, plan.LeaveTeam, plan.SetTeamRoles, plan.JoinChannel, plan.LeaveChannel, plan.SetChannelRoles:
		return t.changeMembership(ctx, id, op)
	case plan.LinkAccount, plan.UnlinkAccount, plan.NotePicture, plan.SetPicture, plan.MakeTeam, plan.MakeChannel:
	}
	return identity.Account{}, &RequestError{string(op.Kind), "unknown kind of op"}
}

// missing finds out whether a refusal means that there is no such account: a
// patch and a change of roles then answer 400, a patch even one that speaks of
// the body.
func (t *Target) missing(ctx context.Context, id string, err error) error {
	e, ok := asAPI(err)
	if !ok || id == "" || e.Status != http.StatusBadRequest || (e.ID != idInvalidBody && e.ID != idMissingAccount) {
		return err
	}
	ctx, cancel := t.afterwards(ctx)
	defer cancel()
	if _, rerr := t.read(ctx, id, true); IsNotFound(rerr) {
		return fmt.Errorf("%s %s was answered %d %s, and the account is not there: %w", e.Method, e.Path, e.Status, e.ID, rerr)
	}
	return err
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
	a, err := t.patchFields(ctx, id, p, set)
	if IsAttributeLocked(err) {
		return t.patchRest(ctx, id, p, set, err)
	}
	return a, err
}

// patchFields makes one patch and compares its answer.
func (t *Target) patchFields(ctx context.Context, id string, p identity.Profile, set identity.Attributes) (identity.Account, error) {
	a, err := t.c.Patch(ctx, id, p, set)
	if e, is := asAPI(err); is && e.Taken() == "username" {
		return identity.Account{}, t.nameTaken(ctx, p.Username, e)
	}
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
	for _, c := range op.Changes {
		if c.Field == plan.FieldActive && c.From == to {
			return identity.Account{}, &RequestError{string(op.Kind), "nothing to change; repeating it would move the moment of deactivation"}
		}
	}
	call := func() error { return t.c.SetActive(ctx, id, active) }
	if op.ByDelete {
		call = func() error { return t.c.DeactivateByDelete(ctx, id) }
	}
	if err := call(); err != nil {
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
	return t.readRoles(ctx, id, roles)
}

// readRoles reads the account back and compares its roles.
func (t *Target) readRoles(ctx context.Context, id string, want identity.Roles) (identity.Account, error) {
	return t.readBack(ctx, id, func(a identity.Account) *MismatchError {
		if a.Roles.Equal(want) {
			return nil
		}
		return &MismatchError{AccountID: id, Field: string(plan.FieldRoles), Want: want.String(), Got: a.Roles.String()}
	})
}

func (t *Target) setAuth(ctx context.Context, id string, op plan.Op) (identity.Account, error) {
	service, _ := op.To(plan.FieldAuthService)
	data, _ := op.To(plan.FieldAuthData)
	if service == "" || data == "" { // the op names only what differs
		a, err := t.read(ctx, id, true)
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

// setPassword takes an account away from its login service: it gets a password that
// nobody knows, made here and not kept.
func (t *Target) setPassword(ctx context.Context, id string) (identity.Account, error) {
	if err := t.c.SetPassword(ctx, id, randomPassword()); err != nil {
		return identity.Account{}, err
	}
	return t.readBack(ctx, id, func(a identity.Account) *MismatchError { return t.compareAuth(identity.Auth{}, a) })
}

// mailReset goes to the address that the account has now. The server mails nothing
// to whoever logs in by a service, or is off, and says so of the first alone.
func (t *Target) mailReset(ctx context.Context, id string) (identity.Account, error) {
	a, err := t.read(ctx, id, true)
	switch {
	case err != nil:
		return identity.Account{}, err
	case !a.Active():
		return a, &RequestError{string(plan.MailReset), "the account is off, and the server mails it nothing"}
	case a.Auth.Service != "":
		return a, &RequestError{string(plan.MailReset), "the account logs in by " + a.Auth.Service + ", and has no password to set"}
	}
	if err := t.c.SendPasswordReset(ctx, a.Email); err != nil {
		return identity.Account{}, err
	}
	return a, nil
}
