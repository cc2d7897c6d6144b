package mattermost

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// ErrOutcomeUnknown marks a write that may or may not have been done: it left,
// and no usable answer came. Read the account before anything else is done to
// it. Such errors also have OutcomeUnknown() true.
var ErrOutcomeUnknown = errors.New("outcome unknown")

// APIError is an answer of the server that is not a success. Callers in other
// packages can ask the methods below through small interfaces.
type APIError struct {
	Status int
	// ID is the server's stable name of the error; empty if the answer was not
	// the server's JSON, or its hardened mode took it away.
	ID string
	// Message is the server's own sentence in English, cut at 200 bytes. It can
	// name the field that is locked, and sometimes a value; it is not in Error().
	Message   string
	RequestID string
	// RetryAfter is how long a 429 or 503 asks to wait; 0 if it does not say.
	RetryAfter time.Duration
	Method     string
	// Path is the route, with ids filled in and other values not.
	Path string

	note      string // what is known besides
	away      bool   // 401 or 403 while the server's database did not answer, or not in time
	unknown   bool   // a write whose answer does not tell whether it was done
	wrongBase bool   // a 404 that is not about an account
}

// Error gives route, status, id and request id, never a value.
func (e *APIError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %d", e.Method, e.Path, e.Status)
	switch {
	case e.ID != "":
		b.WriteString(" " + e.ID)
	case http.StatusText(e.Status) != "":
		b.WriteString(" " + strings.ToLower(http.StatusText(e.Status)))
	}
	if e.RequestID != "" {
		b.WriteString(" (request " + e.RequestID + ")")
	}
	switch {
	case e.away:
		b.WriteString(": the server's database seems to be away, so this answer proves nothing; it is asked again later")
	case e.unknown:
		b.WriteString(": outcome unknown")
	case e.wrongBase:
		b.WriteString(": the server does not know this call; check mattermost.url and the server's version")
	case e.note != "":
		b.WriteString(": " + e.note)
	}
	return b.String()
}

// Is makes errors.Is(err, ErrOutcomeUnknown) work.
func (e *APIError) Is(target error) bool { return target == ErrOutcomeUnknown && e.unknown }

// Transient tells that the same request may succeed later: 429, any 5xx but
// 501, and a 401 or 403 that came while the server's database was away.
func (e *APIError) Transient() bool {
	if e.saveFailed() {
		return false
	}
	return e.away || e.Status == http.StatusTooManyRequests ||
		(e.Status >= 500 && e.Status != http.StatusNotImplemented)
}

// OutcomeUnknown tells a write of which the answer does not say whether it was
// done: any 5xx but 501.
func (e *APIError) OutcomeUnknown() bool { return e.unknown }

// NotFound tells that the server denied having the account: status 404 with
// the server's own error body. The id app.user.missing_account.const alone does
// not prove it: it also comes with status 500 while the database is away.
func (e *APIError) NotFound() bool { return e.Status == http.StatusNotFound && !e.wrongBase }

// Conflict tells that somebody else holds a value that was asked for.
func (e *APIError) Conflict() bool { return e.Taken() != "" }

// Taken names the value that somebody else holds: "username", "email",
// "auth_data", or "".
//
//   - username: 400 app.user.save.username_exists.app_error (also group names)
//   - email: 400 app.user.save.email_exists.app_error
//   - auth_data: PUT auth answers 400 app.user.update_auth_data.email_exists.app_error;
//     POST /users answers 500 app.user.save.app_error, which every other failure
//     to store does as well: look the account up first
func (e *APIError) Taken() string {
	switch {
	case e.Status == http.StatusBadRequest && e.ID == "app.user.save.username_exists.app_error":
		return "username"
	case e.Status == http.StatusBadRequest && e.ID == "app.user.save.email_exists.app_error":
		return "email"
	case e.Status == http.StatusBadRequest && e.ID == "app.user.update_auth_data.email_exists.app_error",
		e.saveFailed():
		return "auth_data"
	}
	return ""
}

func (e *APIError) saveFailed() bool {
	return e.Status == http.StatusInternalServerError && e.ID == "app.user.save.app_error" && e.Path == apiPrefix+"/users"
}

// Refused tells that the server understood and will not do it, now or later,
// without somebody changing something: 4xx other than 404, 429 and conflicts (a
// dead token's 401 among them), a 404 that is about the call and not about an account,
// and 501, which stands for "not licensed".
func (e *APIError) Refused() bool {
	if e.Taken() != "" {
		return false
	}
	switch e.Status {
	case http.StatusNotFound:
		return e.wrongBase
	case http.StatusTooManyRequests:
		return false
	case http.StatusNotImplemented:
		return true
	}
	return !e.away && e.Status >= 400 && e.Status < 500
}

// Unauthorized tells that the token is not, or no longer, good: 401
// api.context.session_expired.app_error, twice, with a healthy database. The
// server does not say why (revoked, disabled, owner deactivated, expired).
func (e *APIError) Unauthorized() bool {
	return e.Status == http.StatusUnauthorized && !e.away && !e.aboutRequest()
}

// Wait is how long to wait before asking again, 0 if the server did not say.
func (e *APIError) Wait() time.Duration { return e.RetryAfter }

// aboutRequest tells a 401 or 403 that names its cause, so that it is believed
// at once. All others are checked against the server's health first, "this server
// is not open" among them: to an administrator it means that the server did not
// know the token.
func (e *APIError) aboutRequest() bool {
	return e.DeletionOff() || slices.Contains([]string{
		idLDAPManaged,
		"api.user.update_active.not_enable.app_error",
		idGuestsOff,
		idGuestsLicence,
		"api.context.mfa_required.app_error",
	}, e.ID)
}

const (
	idLDAPManaged  = "api.user.update_active.cannot_modify_status_when_user_is_managed_by_ldap.app_error"
	idUnknownRoute = "api.context.404.app_error"

	idGuestsOff     = "api.user.update_active.cannot_enable_guest_when_guest_feature_is_disabled.app_error"
	idGuestsLicence = "api.team.invite_guests_to_channels.disabled.error"

	idInvalidBody    = "api.context.invalid_body_param.app_error"
	idInvalidParam   = "api.context.invalid_url_param.app_error"
	idMissingAccount = "app.user.missing_account.const"
)

// CallError is a request that got no answer, or one that cannot be used.
type CallError struct {
	Method string
	Path   string // as in APIError
	Err    error
	// Sent is false if the server cannot have done anything: no request left, or
	// it was refused before it was looked at.
	Sent bool

	write     bool
	stayed    bool // a write that was kept back because its caller's context was done
	local     bool // it did not get as far as the network, for a reason of this side's
	permanent bool // asking again cannot help: redirect, web page, request refused here
}

func (e *CallError) Error() string {
	s := e.Method + " " + e.Path + ": " + e.Err.Error()
	if e.OutcomeUnknown() {
		s += ": outcome unknown"
	}
	return s
}

// Unwrap gives the cause: a network error, a context error, a decoding error.
func (e *CallError) Unwrap() error { return e.Err }

// Is makes errors.Is(err, ErrOutcomeUnknown) work.
func (e *CallError) Is(target error) bool { return target == ErrOutcomeUnknown && e.OutcomeUnknown() }

// Transient tells that the same request may succeed later.
func (e *CallError) Transient() bool { return !e.permanent }

// Refused tells that asking again cannot help until the configuration of mmsync
// or of what stands before the server changes: a redirect, a web page, a
// certificate, a request that this client does not make.
func (e *CallError) Refused() bool { return e.permanent }

// OutcomeUnknown tells a write that left and was not answered.
func (e *CallError) OutcomeUnknown() bool { return e.write && e.Sent && !e.permanent }

// MismatchError tells that the server answered success and the account is not
// as it was asked to be: a write lost to another one at the same moment, a
// field the server keeps to itself, an e-mail that waits for verification.
type MismatchError struct {
	AccountID string
	Field     string // as plan.Field: "roles", "active", "email", …
	// Want and Got are values; they belong in audit records, not in log lines.
	Want, Got string
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("account %s: the server answered success, but %s is not as it was asked to be; "+
		"somebody else may have written to it at the same moment", e.AccountID, e.Field)
}

// Mismatch names the field; it lets other packages find this error.
func (e *MismatchError) Mismatch() string { return e.Field }

// UnverifiedError tells that the server answered success to a write and could
// not be asked whether it shows.
type UnverifiedError struct {
	AccountID string
	Err       error
}

func (e *UnverifiedError) Error() string {
	return fmt.Sprintf("account %s: the server answered success, but reading it back went wrong: %v: %v",
		e.AccountID, e.Err, ErrOutcomeUnknown)
}

// Unwrap gives why it could not be read.
func (e *UnverifiedError) Unwrap() error { return e.Err }

// Is makes errors.Is(err, ErrOutcomeUnknown) work.
func (e *UnverifiedError) Is(target error) bool { return target == ErrOutcomeUnknown }

// OutcomeUnknown is always true.
func (e *UnverifiedError) OutcomeUnknown() bool { return true }

// StepError tells that the op itself was done, and a courtesy that goes with it
// was not. It hides its cause from errors.As, which is not about the op.
type StepError struct {
	AccountID string
	Step      string // "mail the reset link", "mark the e-mail verified"
	Err       error
}

func (e *StepError) Error() string {
	return fmt.Sprintf("account %s is done, but mmsync could not %s: %v", e.AccountID, e.Step, e.Err)
}

// OpDone is always true; it lets other packages find this error.
func (e *StepError) OpDone() bool { return true }

// RequestError is a request that this package refuses to make.
type RequestError struct {
	Op     string
	Reason string
}

func (e *RequestError) Error() string { return e.Op + ": " + e.Reason }

// Refused is always true: asking again cannot help.
func (e *RequestError) Refused() bool { return true }

// NotAdminError tells that the token works and its account may not do what
// mmsync needs.
type NotAdminError struct{ Username, ID string }

func (e *NotAdminError) Error() string {
	return fmt.Sprintf("mmsync's token belongs to %q (%s), which is not a system administrator; "+
		"without that role Mattermost hides logins and refuses changes. Give it the role: mmctl roles system-admin %s",
		e.Username, e.ID, e.Username)
}

// Refused is always true.
func (e *NotAdminError) Refused() bool { return true }
