package mattermost

import (
	"context"
	"net/http"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// setGuest makes a guest of an account, or a full member of a guest. Once the server
// has said that it makes no guests, none is asked for until the next Facts: a feature
// switched off, or a licence that ended, is not tried person by person.
func (t *Target) setGuest(ctx context.Context, id string, op plan.Op) (identity.Account, error) {
	to, _ := op.To(plan.FieldRoles)
	roles, call := identity.ParseRoles(to), t.c.Promote
	if guest := op.Kind == plan.Demote; guest != roles.Has(identity.RoleGuest) || len(roles) != 1 {
		return identity.Account{}, &RequestError{string(op.Kind), "the roles that are to come of it are not what the server makes of them"}
	}
	if op.Kind == plan.Demote {
		if e := t.guests.Load(); e != nil {
			return identity.Account{}, e
		}
		call = t.c.Demote
	}
	if err := call(ctx, id); err != nil {
		if IsGuestsOff(err) || IsGuestsUnlicensed(err) {
			t.guests.Store(&GuestsError{Err: err})
		}
		return identity.Account{}, err
	}
	return t.readRoles(ctx, id, roles)
}

// GuestsError tells that no guest is made because the server has said that it makes
// none: its guest feature was switched off, or its licence ended.
type GuestsError struct{ Err error }

func (e *GuestsError) Error() string {
	why := "its licence has no guests any more"
	if IsGuestsOff(e.Err) {
		why = "its guest feature was switched off"
	}
	return "the server makes no guests: " + why + " since this run began; the next run holds who is to be one"
}

// Refused is always true.
func (e *GuestsError) Refused() bool { return true }

// Stopped is the sentence that is worth saying once, not for each account.
func (e *GuestsError) Stopped() string { return e.Error() }

// IsGuestsOff tells that the server's guest feature is off: 401
// api.user.update_active.cannot_enable_guest_when_guest_feature_is_disabled.app_error
// when a guest is switched on, 501 api.team.demote_user_to_guest.disabled.error (read
// in its source) when one is made.
func IsGuestsOff(err error) bool {
	e, ok := asAPI(err)
	return ok && (e.Status == http.StatusUnauthorized && e.ID == idGuestsOff ||
		e.Status == http.StatusNotImplemented && e.ID == "api.team.demote_user_to_guest.disabled.error")
}

// IsGuestsUnlicensed tells that the server has no licence, or one without guests: 501
// api.team.demote_user_to_guest.license.error, and 403
// api.team.invite_guests_to_channels.disabled.error (read in its source).
func IsGuestsUnlicensed(err error) bool {
	e, ok := asAPI(err)
	return ok && (e.Status == http.StatusNotImplemented && e.ID == "api.team.demote_user_to_guest.license.error" ||
		e.Status == http.StatusForbidden && e.ID == idGuestsLicence)
}

// IsRoleUnlicensed tells 400 api.user.update_user_roles.license.app_error: a role that
// needs a licence.
func IsRoleUnlicensed(err error) bool {
	e, ok := asAPI(err)
	return ok && e.Status == http.StatusBadRequest && e.ID == "api.user.update_user_roles.license.app_error"
}
