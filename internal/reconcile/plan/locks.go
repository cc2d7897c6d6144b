package plan

import (
	"slices"

	"github.com/mmsync/mmsync/internal/identity"
)

// Locks are the profile fields that this server keeps to accounts of a login service, by
// its name, besides those that every server does. An Enterprise build keeps what its LDAP
// or SAML settings map to an attribute (app/user.go, CheckProviderAttributes, 5.33 and
// later): first and last name, nickname, position and e-mail.
type Locks map[string]identity.Attributes

// Locked tells whether the server refuses, or silently ignores, an administrator's change
// of a profile field because the account's login service owns it. Of every server (seen on
// 5.38 and 11.6): any service owns the username; ldap and the OAuth services own the
// e-mail; the OAuth services own the names.
func (l Locks) Locked(service string, a identity.Attribute) bool {
	if service == "" {
		return false
	}
	if l[service].Has(a) {
		return true
	}
	oauth := service == "gitlab" || service == "google" || service == "office365" || service == "openid"
	switch a {
	case identity.Username:
		return true
	case identity.Email:
		return oauth || service == "ldap"
	case identity.FirstName, identity.LastName:
		return oauth
	}
	return false
}

// Locked is [Locks.Locked] of the server that was observed.
func (o *Observation) Locked(service string, a identity.Attribute) bool {
	if o.Facts == nil {
		return Locks(nil).Locked(service, a)
	}
	return o.Facts.Locks.Locked(service, a)
}

// keeps tells whether a login service owns any of the fields of a patch.
func (o *Observation) keeps(service string, patch Op) bool {
	return slices.ContainsFunc(patch.Changes, func(c Change) bool { return o.Locked(service, identity.Attribute(c.Field)) })
}

// parted parts a patch around the move of a login: what the new service locks goes before,
// what the old one locks after. What neither locks goes along, so that it is one patch
// wherever one does.
func (o *Observation) parted(patch Op, was, next string) (early, late Op) {
	early, late = patch, patch
	if !o.keeps(was, patch) {
		late.Changes = nil
		return early, late
	}
	early.Changes, late.Changes = nil, nil
	for _, c := range patch.Changes {
		if o.Locked(next, identity.Attribute(c.Field)) {
			early.Changes = append(early.Changes, c)
		} else {
			late.Changes = append(late.Changes, c)
		}
	}
	return early, late
}
