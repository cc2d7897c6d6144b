package ldap

import (
	"net/url"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/sources"
)

// The values of Options.References.
const (
	ReferencesDoubt  = "doubt" // the same as ""
	ReferencesIgnore = "ignore"
)

// elsewhere gives the first of the references of a search (RFC 4511 4.5.3) that leads to a
// part of its base, "" if none does. Who is there is not read, since none is followed.
// Of itself Active Directory refers to other naming contexts, which are no part of the one
// that is read although their names are below it (MS-ADTS 3.1.1.3.1.3.2); told not to by
// the control of scope, it does not.
func (s *session) elsewhere(base string, references []string) string {
	if s.references == ReferencesIgnore || s.info != nil && s.info.kind == kindAD && !s.info.domainScope {
		return ""
	}
	for _, r := range references {
		if covers(r, base) {
			return r
		}
	}
	return ""
}

// covers tells whether a reference leads to, below or above a base. One whose DN cannot be
// told may.
func covers(reference, base string) bool {
	u, err := url.Parse(reference)
	if err != nil {
		return true
	}
	dn := strings.TrimPrefix(u.Path, "/")
	if parsed, err := ldap.ParseDN(dn); err != nil || len(parsed.RDNs) == 0 {
		return true
	}
	a, b := sources.DNKey(dn), sources.DNKey(base)
	return a == b || strings.HasSuffix(a, ","+b) || strings.HasSuffix(b, ","+a)
}

// referredError is an answer without somebody who may be where a reference leads.
type referredError struct{ to string }

func (e *referredError) Error() string { return referred(e.to) }

// referred words what a reference means, and what to do.
func referred(reference string) string {
	return "the server refers to " + sources.Printable(reference) + " for a part of the base, which is not read; name a server that holds all of it, narrow base_dn, or set references: ignore if nobody of this source is there"
}
