package ldap

import (
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/sources"
)

// explained shows a plain cause for an error that is kept beneath.
type explained struct {
	cause string
	err   error
}

func (e *explained) Error() string { return e.cause }
func (e *explained) Unwrap() error { return e.err }

// oddAnswerError is an answer that arrived whole and makes no sense.
type oddAnswerError struct{ cause, hint string }

func (e *oddAnswerError) Error() string { return e.cause }

// adSubCode finds Active Directory's own reason in the text of a refused bind.
var adSubCode = regexp.MustCompile(`\bdata ([0-9a-fA-F]{3,4})\b`)

func asLDAP(err error) (*ldap.Error, bool) { return errors.AsType[*ldap.Error](err) }

// explain gives a plain cause, a next step, and whether another server or a
// later try may do better.
func (s *Source) explain(err error) (cause, hint string, again bool) {
	if odd, ok := errors.AsType[*oddAnswerError](err); ok {
		return oneLine(err), odd.hint, false
	}
	if quiet, ok := errors.AsType[*silentError](err); ok {
		return sources.Printable(quiet.Error()), "see whether the server is at work; raise query_timeout if it needs longer for one page", true
	}
	var e *ldap.Error
	if !errors.As(err, &e) {
		return "the connection was lost: " + oneLine(err), "check the network and the server", true
	}
	if hint, ok := s.externalHint(e); ok {
		return fmt.Sprintf("the server does not take the certificate as a login (code %d%s)", e.ResultCode, diagnostic(e)), hint, false
	}
	code := func(words string) string { return fmt.Sprintf("%s (code %d%s)", words, e.ResultCode, diagnostic(e)) }
	switch e.ResultCode {
	case ldap.LDAPResultInvalidCredentials:
		if m := adSubCode.FindStringSubmatch(e.Error()); m != nil {
			if words, hint := adReason(strings.ToLower(m[1])); words != "" {
				return fmt.Sprintf("%s (code 49, data %s)", words, m[1]), hint, false
			}
		}
		return "name or password are wrong (code 49)", "check bind_username and its password; it is not tried again, since that may lock the account", false
	case ldap.LDAPResultConfidentialityRequired:
		return code("the server wants an encrypted connection"), "use ldaps:// or connection_security: starttls", false
	case ldap.LDAPResultStrongAuthRequired:
		return code("the server wants an encrypted connection, as Active Directory does as delivered from Windows Server 2025 on"), "use ldaps:// or connection_security: starttls, with ca_file", false
	case ldap.LDAPResultInappropriateAuthentication:
		return code("the entry has no password to bind with"), "check bind_username", false
	case ldap.LDAPResultNoSuchObject:
		return code("it does not exist, or this account may not see it"), "check the spelling and the rights of " + s.o.BindDN, false
	case ldap.LDAPResultInvalidDNSyntax:
		return code("the server does not take the DN"), "check its spelling", false
	case ldap.LDAPResultInsufficientAccessRights:
		return code("not allowed"), "give " + s.o.BindDN + " the right to read it", false
	case ldap.LDAPResultSizeLimitExceeded:
		return code("size limit"), "raise the size limit of " + s.o.BindDN + " at the server, the total over all pages included", false
	case ldap.LDAPResultTimeLimitExceeded:
		return code("time limit"), "raise the time limit of " + s.o.BindDN + " or index the attributes of the filter", true
	case ldap.LDAPResultAdminLimitExceeded:
		return code("administrative limit"), "allow " + s.o.BindDN + " to page, lower max_page_size, or raise its look-through and page limits", false
	case ldap.LDAPResultUnavailableCriticalExtension:
		return code("the server does not know the control"), "declare server_without_paging if it cannot page", false
	case ldap.LDAPResultBusy, ldap.LDAPResultUnavailable:
		return code("the server is busy or shutting down"), "it is tried again with the next run", true
	case ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultProtocolError:
		return code("the server refuses the request"), "read its log; a lost paging cookie looks like this", false
	case ldap.LDAPResultReferral:
		return code("the server refers to another one"), "name the server that holds the base; referrals are not followed", false
	case ldap.ErrorNetwork:
		return "the connection was lost: " + oneLine(e.Err), "check the network and the server", true
	case ldap.ErrorEmptyPassword:
		return "the password is empty", "give one; an anonymous bind sees too little", false
	}
	return oneLine(err), "read the server's log", false
}

// adReason translates the sub-codes of a refused bind.
func adReason(code string) (words, hint string) {
	switch code {
	case "525":
		return "no such account", "check bind_username; Active Directory takes a DN or name@domain"
	case "52e":
		return "the password is wrong", "check the password; it is not tried again, since that may lock the account"
	case "530":
		return "the account may not log in at this hour", "lift its logon hours"
	case "531":
		return "the account may not log in from here", "lift its workstation list"
	case "532":
		return "the password has expired", "set a new one that does not expire"
	case "533":
		return "the account is disabled", "enable it"
	case "701":
		return "the account has expired", "extend it"
	case "773":
		return "the password must be changed first", "set one without that flag"
	case "775":
		return "the account is locked", "unlock it and find out who used a wrong password"
	}
	return "", ""
}

// diagnostic gives the server's own words, bounded.
func diagnostic(e *ldap.Error) string {
	if e.Err == nil || e.Err.Error() == "" {
		return ""
	}
	return ": " + oneLine(e.Err)
}

func oneLine(err error) string {
	if err == nil {
		return "unknown"
	}
	var lib *ldap.Error
	if errors.As(err, &lib) && lib.ResultCode == ldap.ErrorNetwork && lib.Err != nil {
		err = lib.Err // the code is the library's own and tells a reader nothing
	}
	text := strings.Join(strings.Fields(strings.Trim(err.Error(), "\x00")), " ")
	if r := []rune(text); len(r) > 300 {
		text = string(r[:300]) + "…"
	}
	return sources.Printable(text)
}

// validity says of a certificate that is not valid now why, and what to do.
func validity(c *x509.Certificate, now time.Time) string {
	if now.Before(c.NotBefore) {
		return "the certificate is valid from " + c.NotBefore.UTC().Format(time.DateTime) + " UTC on; set this machine's clock, or the server's certificate"
	}
	return "the certificate expired on " + c.NotAfter.UTC().Format(time.DateTime) + " UTC; renew the server's certificate"
}

func tlsHint(err error) string {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		return "set ca_file to the authority that signed the server's certificate"
	case errors.As(err, &host):
		return "use the name in the certificate, or set server_name to it"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return validity(invalid.Cert, time.Now())
	case errors.As(err, &invalid):
		return "renew the server's certificate"
	case silent(err):
		return "the server does not answer with TLS; is this the right port?"
	}
	return "is this the right port for TLS?"
}
