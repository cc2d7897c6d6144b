package ldap

import (
	"fmt"
	"slices"

	"github.com/go-ldap/ldap/v3"
)

// The values of Options.BindMethod.
const (
	BindSimple = "" // a name and a password
	// BindExternal is SASL EXTERNAL (RFC 4422, appendix A): the account is that of the
	// client's certificate, or on ldapi:// that of the process.
	BindExternal = "external"
)

// checkBind tells whether the server can know who we are.
func (s *Source) checkBind(fault faultFunc) {
	switch s.o.BindMethod {
	case BindSimple:
		if s.o.BindDN == "" || s.o.BindPassword == nil {
			fault("bind_username and a password are needed; an anonymous bind sees too little to be believed")
		}
		return
	case BindExternal:
	default:
		fault("bind_method %q is unknown; it is simple or external", s.o.BindMethod)
		return
	}
	if s.o.BindDN != "" || s.o.BindPassword != nil {
		fault("bind_method external takes the account from the certificate, so bind_username and bind_password have no place beside it")
	}
	if s.own == nil && slices.ContainsFunc(s.urls, func(e endpoint) bool { return e.network != "unix" }) {
		fault("bind_method external needs certificate_file and private_key_file, except on ldapi://")
	}
	for _, e := range s.urls {
		if e.network != "unix" && !e.tls && s.o.Security != SecurityStartTLS {
			fault("%s is not encrypted, so that no certificate is shown; use ldaps:// or connection_security: starttls", e.url)
		}
	}
	// From here on it stands only in sentences.
	if s.o.BindDN = "the account of the client certificate"; s.own == nil {
		s.o.BindDN = "the account of mmsync's process"
	}
}

// password gives the one to bind with now, as its file may have been replaced; "" for
// BindExternal, which has none.
func (s *Source) password() (string, error) {
	if s.o.BindMethod == BindExternal {
		return "", nil
	}
	password, err := s.o.BindPassword()
	if err != nil {
		return "", fmt.Errorf("source %s: read the bind password: %w", s.o.Name, err)
	}
	if password == "" {
		return "", fmt.Errorf("source %s: the bind password is empty; a bind without password is anonymous and sees too little", s.o.Name)
	}
	return password, nil
}

// bind makes the connection the account's.
func (s *Source) bind(l *ldap.Conn, password string) error {
	if s.o.BindMethod != BindExternal {
		return l.Bind(s.o.BindDN, password)
	}
	if err := l.ExternalBind(); err != nil {
		return err
	}
	// A server may take EXTERNAL from somebody it does not know, and go on anonymously.
	if who, err := l.WhoAmI(nil); err == nil && who.AuthzID == "" {
		return &oddAnswerError{"the server took the bind and knows nobody by it", "map the certificate's subject to an account at the server"}
	} else if err != nil && ldap.IsErrorWithCode(err, ldap.ErrorNetwork) {
		return err
	}
	return nil
}

// externalHint tells what to do about a refused SASL EXTERNAL.
func (s *Source) externalHint(e *ldap.Error) (hint string, ok bool) {
	if s.o.BindMethod != BindExternal || !ldap.IsErrorAnyOf(e, ldap.LDAPResultAuthMethodNotSupported, ldap.LDAPResultInappropriateAuthentication, ldap.LDAPResultInvalidCredentials) {
		return "", false
	}
	return "let the server ask for client certificates (OpenLDAP: TLSVerifyClient demand, and the authority in TLSCACertificateFile), and map the subject to an account", true
}
