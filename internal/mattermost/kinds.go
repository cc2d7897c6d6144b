package mattermost

import (
	"errors"
	"net/http"
	"strings"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func asAPI(err error) (*APIError, bool) {
	var e *APIError
	ok := errors.As(err, &e)
	return e, ok
}

func asMismatch(err error) (*MismatchError, bool) {
	var e *MismatchError
	ok := errors.As(err, &e)
	return e, ok
}

// IsNotFound tells that there is no such account: a 404 about one, see
// [APIError.NotFound], or a [StaleError].
func IsNotFound(err error) bool {
	var n interface{ NotFound() bool }
	return errors.As(err, &n) && n.NotFound()
}

// IsTransient tells that asking again later may help: no answer, 429, 5xx, or a
// 401 or 403 while the server's database was away.
func IsTransient(err error) bool {
	var t interface{ Transient() bool }
	return errors.As(err, &t) && t.Transient()
}

// IsRefused tells a final refusal, see [APIError.Refused].
func IsRefused(err error) bool {
	var r interface{ Refused() bool }
	return errors.As(err, &r) && r.Refused()
}

// IsUnauthorized tells that the token is dead, see [APIError.Unauthorized].
func IsUnauthorized(err error) bool { e, ok := asAPI(err); return ok && e.Unauthorized() }

// IsForbidden tells that the token's account lacks the permission: 403
// api.context.permissions.app_error, twice, with a healthy database.
func IsForbidden(err error) bool {
	e, ok := asAPI(err)
	return ok && e.Status == http.StatusForbidden && !e.away && !e.aboutRequest()
}

// IsSeatLimit tells that no more accounts may be active: 400
// api.user.create_user.user_limits.exceeded, app.user.update_active.user_limit.exceeded,
// and their license_ forms. It is about the server, not about this account.
func IsSeatLimit(err error) bool {
	e, ok := asAPI(err)
	if !ok || e.Status != http.StatusBadRequest {
		return false
	}
	switch e.ID {
	case "api.user.create_user.user_limits.exceeded", "api.user.create_user.license_user_limits.exceeded",
		"app.user.update_active.user_limit.exceeded", "app.user.update_active.license_user_limit.exceeded":
		return true
	}
	return false
}

// IsLastAdmin tells 400 app.user.update.lastAdmin.app_error: the role cannot be
// taken from the last human administrator (11.x; 5.38 does not protect it).
func IsLastAdmin(err error) bool {
	e, ok := asAPI(err)
	return ok && e.Status == http.StatusBadRequest && e.ID == "app.user.update.lastAdmin.app_error"
}

// IsLDAPManaged tells 403 api.user.update_active.cannot_modify_status_when_user_is_managed_by_ldap.app_error:
// since 10.2 accounts with login service "ldap" cannot be (de)activated.
func IsLDAPManaged(err error) bool {
	e, ok := asAPI(err)
	return ok && e.Status == http.StatusForbidden && e.ID == idLDAPManaged
}

// IsAttributeLocked tells that the account's login service owns the field: 409
// api.user.patch_user.login_provider_attribute_set.app_error (username of any
// single-sign-on account, names of gitlab, google and openid ones, and what an Enterprise
// build's settings map of ldap and saml ones), or 400 app.user.update.find.app_error (e-mail
// of an ldap account).
func IsAttributeLocked(err error) bool {
	e, ok := asAPI(err)
	return ok && (e.Status == http.StatusConflict && e.ID == "api.user.patch_user.login_provider_attribute_set.app_error" ||
		e.Status == http.StatusBadRequest && e.ID == "app.user.update.find.app_error")
}

// IsInvalidValue tells that the server's own rules refuse a value: 400
// model.user.is_valid.<field>.app_error and the rules about e-mail domains. The
// first field is named; others may be wrong as well.
func IsInvalidValue(err error) (field string, ok bool) {
	e, is := asAPI(err)
	if !is || e.Status != http.StatusBadRequest {
		return "", false
	}
	if rest, cut := strings.CutPrefix(e.ID, "model.user.is_valid."); cut {
		field, _, _ = strings.Cut(rest, ".")
		return field, true
	}
	if e.outsideDomains() {
		return "email", true
	}
	return "", false
}

// outsideDomains tells the refusal of an e-mail whose domain the server's own lists do
// not have: RestrictCreationToDomains of TeamSettings, and of GuestAccountsSettings for
// guests (read in its source: server/channels/app/user.go, UpdateUser).
func (e *APIError) outsideDomains() bool {
	switch e.ID {
	case "api.user.create_user.accepted_domain.app_error", "api.user.update_user.accepted_domain.app_error",
		"api.user.update_user.accepted_guest_domain.app_error":
		return e.Status == http.StatusBadRequest
	}
	return false
}

// Refusal tells a definite no, 4xx, that is about one account or what was to be stored
// of it, and gives its id. known says that its cause is, and is that account's alone;
// else the server may refuse everybody alike. It gives "" for what is said of the token
// (401, missing permissions), of the rate (429), of the call itself, or of the whole
// server (no seats, no guests, a role without licence), and for every other failure.
func (e *APIError) Refusal() (id string, known bool) {
	switch {
	case e.Status < 400 || e.Status >= 500, e.ID == "", e.away, e.wrongBase, e.Status == http.StatusTooManyRequests, e.Unauthorized(),
		e.Status == http.StatusForbidden && !e.aboutRequest(), IsSeatLimit(e), IsRoleUnlicensed(e), IsGuestsOff(e), IsGuestsUnlicensed(e):
		return "", false
	}
	return e.ID, e.Reason() != ""
}

// Reason gives the plan's word for a refusal that a plan could have foreseen, ""
// for every other answer. It lets the engine hold what was refused.
func (e *APIError) Reason() plan.Reason {
	switch e.Taken() {
	case "username":
		return plan.UsernameTaken
	case "email":
		return plan.EmailTaken
	case "auth_data":
		return plan.AuthDataTaken
	}
	_, invalid := IsInvalidValue(e)
	switch {
	case IsSeatLimit(e):
		return plan.NoSeats
	case IsLastAdmin(e):
		return plan.LastAdmin
	case IsLDAPManaged(e):
		return plan.LockedByLDAP
	case IsAttributeLocked(e):
		return plan.LockedByLogin
	case IsGuestsOff(e):
		return plan.GuestsOff
	case IsGuestsUnlicensed(e):
		return plan.GuestsUnlicensed
	case IsRoleUnlicensed(e):
		return plan.RoleUnlicensed
	case e.outsideDomains():
		return plan.ServerDomain
	case invalid:
		return plan.EntryFault
	}
	return ""
}

// unknownRoute tells the 404 of a call that the server's version does not have.
func unknownRoute(err error) bool {
	e, ok := asAPI(err)
	return ok && e.Status == http.StatusNotFound && e.ID == idUnknownRoute
}
