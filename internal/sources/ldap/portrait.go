package ldap

import (
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Where servers tell of themselves, and how they write a time.
const (
	timeFormat = "20060102150405Z0700" // RFC 4517 3.3.13
	adPolicy   = "CN=Default Query Policy,CN=Query-Policies,CN=Directory Service,CN=Windows NT,CN=Services,"
	dbConfig   = "cn=config,cn=ldbm database,cn=plugins,cn=config"
	monitorNow = "cn=Current,cn=Time,cn=Monitor"
)

// portrait is what a server tells of itself, for doctor.
type portrait struct {
	kind    kind
	words   string // product, version and name
	root    *ldap.Entry
	deleted string // DN of Active Directory's Deleted Objects
}

func (p portrait) value(name string) string {
	if p.root == nil {
		return ""
	}
	return p.root.GetEqualFoldAttributeValue(name)
}

// portray reads the root entry again, with what only doctor asks for. A server may hide
// all of it.
func (s *session) portray() (portrait, error) {
	e, err := s.entry("", "(objectClass=*)", "+", "*", "supportedControl", "supportedCapabilities", "vendorName", "vendorVersion", "structuralObjectClass", "configContext",
		"dnsHostName", "domainControllerFunctionality", "defaultNamingContext", "configurationNamingContext", "currentTime")
	if refusal(err) || err == nil && e == nil {
		return portrait{words: "a server that says nothing of itself"}, nil
	}
	if err != nil {
		return portrait{}, err
	}
	p := portrait{root: e}
	vendor, version := p.value("vendorName"), p.value("vendorVersion")
	switch {
	case slices.Contains(e.GetEqualFoldAttributeValues("supportedCapabilities"), capabilityAD):
		p.kind, p.words = kindAD, "Active Directory"
		if strings.Contains(vendor, "Samba") {
			p.words = "Samba, as Active Directory"
		} else if release := adRelease(p.value("domainControllerFunctionality")); release != "" {
			p.words += " on Windows Server " + release
		}
		if host := p.value("dnsHostName"); host != "" {
			p.words += ", " + host
		}
		p.deleted = "CN=Deleted Objects," + p.value("defaultNamingContext")
	case strings.HasPrefix(version, "389-Directory"), strings.HasPrefix(vendor, "389 "):
		p.kind, p.words = kind389, "389 Directory Server"
		if _, number, ok := strings.Cut(version, "/"); ok {
			p.words += " " + strings.Fields(number + " ")[0]
		}
	case strings.EqualFold(p.value("structuralObjectClass"), "OpenLDAProotDSE"), p.value("configContext") != "":
		p.kind, p.words = kindOpenLDAP, "OpenLDAP"
	case vendor != "":
		p.words = strings.TrimSpace(vendor + " " + version)
	default:
		p.words = "a server of no name"
	}
	return p, nil
}

// adRelease words domainControllerFunctionality (MS-ADTS 3.1.1.3.2.25).
func adRelease(level string) string {
	return map[string]string{"3": "2008", "4": "2008 R2", "5": "2012", "6": "2012 R2", "7": "2016 or later", "10": "2025"}[level]
}

// clock asks for the server's time; ok is false if it does not tell. Between the two
// times given back it was read.
func (s *session) clock(p portrait) (at, before, after time.Time, ok bool) {
	type place struct{ dn, attribute string }
	for _, x := range []place{{"", "currentTime"}, {monitorNow, "monitorTimestamp"}, {"cn=monitor", "currentTime"}} {
		if x.dn == "" && p.value(x.attribute) == "" {
			continue
		}
		before = time.Now()
		e, err := s.entry(x.dn, "(objectClass=*)", x.attribute)
		after = time.Now()
		if err != nil || e == nil {
			continue
		}
		if t, err := time.Parse(timeFormat, e.GetEqualFoldAttributeValue(x.attribute)); err == nil {
			return t, before, after, true
		}
		// Active Directory writes a fraction of a second.
		if t, err := time.Parse("20060102150405.0Z", e.GetEqualFoldAttributeValue(x.attribute)); err == nil {
			return t, before, after, true
		}
	}
	return time.Time{}, before, after, false
}
