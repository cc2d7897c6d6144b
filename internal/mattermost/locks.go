package mattermost

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// An Enterprise build keeps the fields that its LDAP or SAML settings map to an attribute
// to the accounts of that service: a patch that names one of them is answered 409 as a
// whole (app/user.go, CheckProviderAttributes, since 5.33, mattermost/mattermost#16822).
// What is mapped stands in the server's configuration; where that cannot be read, a
// refusal tells it.

// mappedFields are what config/client says of it, to everybody who is signed in.
type mappedFields struct {
	LdapFirstName string `json:"LdapFirstNameAttributeSet"`
	LdapLastName  string `json:"LdapLastNameAttributeSet"`
	LdapNickname  string `json:"LdapNicknameAttributeSet"`
	LdapPosition  string `json:"LdapPositionAttributeSet"`
	SamlFirstName string `json:"SamlFirstNameAttributeSet"`
	SamlLastName  string `json:"SamlLastNameAttributeSet"`
	SamlNickname  string `json:"SamlNicknameAttributeSet"`
	SamlPosition  string `json:"SamlPositionAttributeSet"`
}

func (m mappedFields) ldap() identity.Attributes {
	return fieldsOf(m.LdapFirstName == "true", m.LdapLastName == "true", m.LdapNickname == "true", m.LdapPosition == "true", false)
}

func (m mappedFields) saml() identity.Attributes {
	return fieldsOf(m.SamlFirstName == "true", m.SamlLastName == "true", m.SamlNickname == "true", m.SamlPosition == "true", false)
}

// attributeNames are what LdapSettings and SamlSettings have in common.
type attributeNames struct {
	FirstNameAttribute, LastNameAttribute, NicknameAttribute, PositionAttribute string
	EmailAttribute                                                              *string
}

func (n attributeNames) mapped() identity.Attributes {
	return fieldsOf(n.FirstNameAttribute != "", n.LastNameAttribute != "", n.NicknameAttribute != "", n.PositionAttribute != "",
		n.EmailAttribute != nil && *n.EmailAttribute != "")
}

func fieldsOf(first, last, nick, position, email bool) identity.Attributes {
	var s identity.Attributes
	for a, on := range map[identity.Attribute]bool{
		identity.FirstName: first, identity.LastName: last, identity.Nickname: nick, identity.Position: position, identity.Email: email,
	} {
		if on {
			s = s.With(a)
		}
	}
	return s
}

// locks gives what the server keeps to login services. s is its configuration, if told.
func (t *Target) locks(conf ClientConfig, s Settings, told bool) plan.Locks {
	ldap, saml := conf.LDAPMapped, conf.SAMLMapped
	switch v := t.c.Version(); {
	case !conf.EnterpriseBuild || !v.IsZero() && !v.AtLeast(5, 33):
		ldap, saml = 0, 0
	case told && s.Mapped && s.SAMLAsLDAP:
		ldap, saml = s.LDAPMapped, s.LDAPMapped
	case told && s.Mapped:
		ldap, saml = s.LDAPMapped, s.SAMLMapped
	default:
		// Neither is switched on without an attribute for the e-mail (model/config.go,
		// isValid).
		if !slices.Contains(conf.LoginsOff, "ldap") {
			ldap = ldap.With(identity.Email)
		}
		if !slices.Contains(conf.LoginsOff, "saml") {
			saml = saml.With(identity.Email)
		}
	}
	out := t.met.locks()
	for service, fields := range map[string]identity.Attributes{"ldap": ldap, "saml": saml} {
		if fields |= out[service]; fields != 0 {
			out[service] = fields
		}
	}
	return out
}

// metLocks are the locks that only a refusal told of. They are forgotten after a day, for
// the server's settings may have been changed since.
type metLocks struct {
	mu   sync.Mutex
	list map[string]metLock // by login service
}

type metLock struct {
	fields identity.Attributes
	until  time.Time
}

const metLockLasts = 24 * time.Hour

func (m *metLocks) locks() plan.Locks {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := plan.Locks{}
	for service, l := range m.list {
		if time.Now().Before(l.until) {
			out[service] = l.fields
		}
	}
	return out
}

func (m *metLocks) add(service string, fields identity.Attributes) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.list == nil {
		m.list = map[string]metLock{}
	}
	if l := m.list[service]; time.Now().Before(l.until) {
		fields |= l.fields
	}
	m.list[service] = metLock{fields, time.Now().Add(metLockLasts)}
}

// LockedError tells that the server keeps fields to the account's login service, so that
// they stay as they are. All else that was asked for is done.
type LockedError struct {
	AccountID, Service string
	Fields             []plan.Field
	// Err is the server's refusal.
	Err error
}

func (e *LockedError) Error() string {
	names := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		names[i] = string(f)
	}
	return fmt.Sprintf("%s of account %s stays as it is, because the server keeps it to the login by %s: %v",
		strings.Join(names, ", "), e.AccountID, e.Service, e.Err)
}

// Unwrap gives the server's refusal.
func (e *LockedError) Unwrap() error { return e.Err }

// KeptByLogin are the fields that were not changed; it lets other packages find this error.
func (e *LockedError) KeptByLogin() []plan.Field { return e.Fields }

// patchRest makes of a patch that was refused because of a field of the login service what
// can be made of it: the server does not say for programs to read which field it is. What
// is known to be locked is left out first; if it is something else, each field goes alone,
// and who was refused is known from then on. Every one that is taken is a write of its own.
func (t *Target) patchRest(ctx context.Context, id string, p identity.Profile, set identity.Attributes, refused error) (identity.Account, error) {
	is, err := t.read(ctx, id, false)
	if err != nil || is.Auth.Service == "" {
		return identity.Account{}, refused
	}
	known := t.met.locks()
	var locked identity.Attributes
	for _, f := range set.List() {
		if known.Locked(is.Auth.Service, f) {
			locked = locked.With(f)
		}
	}
	kept := func() error {
		e := &LockedError{AccountID: id, Service: is.Auth.Service, Err: refused}
		for _, f := range locked.List() {
			e.Fields = append(e.Fields, plan.Field(f))
		}
		return e
	}
	rest := set.Without(locked)
	if locked != 0 && rest != 0 {
		a, err := t.patchFields(ctx, id, p, rest)
		if err == nil {
			return a, kept()
		}
		if !IsAttributeLocked(err) {
			return a, err
		}
	}
	for _, f := range rest.List() {
		one := identity.AttributesOf(f)
		err := refused
		if one != set { // which was refused alone already
			var a identity.Account
			if a, err = t.patchFields(ctx, id, p, one); err == nil {
				is = a
				continue
			}
		}
		if !IsAttributeLocked(err) {
			return is, err
		}
		locked = locked.With(f)
		t.met.add(is.Auth.Service, one)
	}
	if locked == 0 { // the login was another one by then
		return is, nil
	}
	return is, kept()
}
