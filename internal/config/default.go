package config

import "time"

// defaultConfig is what the decoder writes over.
func defaultConfig() *Config {
	return &Config{
		Mattermost: Mattermost{
			RequestTimeout: 45 * time.Second,
			RateLimit:      RateLimit{PerSecond: 50},
			MaxInFlight:    4,
			SinceOverlap:   45 * time.Minute,
		},
		Mapping:  Mapping{OnDrift: OnDrift{Default: DriftRestore}},
		Auth:     Auth{MigrateExisting: MigrateExisting{RevokeSessions: true}},
		Matching: []Match{{By: ByAuthData, Adopt: AdoptTrue}},
		Lifecycle: Lifecycle{
			Create: Create{Enabled: true, EmailVerified: true, Welcome: "none"},
			Update: Switch{Enabled: true},
			Deactivate: Deactivate{
				On:        []string{OnDisabled, OnMissing, OnOutOfScope},
				Grace:     Grace{Missing: 72 * time.Hour, OutOfScope: 24 * time.Hour},
				LookAgain: 40 * time.Second,
			},
			Reactivate: Switch{Enabled: true},
			OnGone:     OnGoneAsk,
		},
		Guards: Guards{
			Window:           24 * time.Hour,
			MaxDeactivations: Limit{MinimumPopulation: 20},
			MaxRoleRemovals:  Limit{MinimumPopulation: 20},
			MaxRecreations:   Limit{MinimumPopulation: 20},
			MinSourceEntries: Shrink{PercentOfLast: 80},
			Protect:          Protect{NeverBelow: 1},
		},
		Log: Log{Level: "info", Format: "auto"},
	}
}

func defaultLDAP() *LDAP {
	return &LDAP{MaxPageSize: 1000, QueryTimeout: 60 * time.Second}
}

// defaultSelfEditable are attributes that common directories let people write in
// their own entries as they are delivered: Active Directory by its property sets
// Personal-Information and Web-Information, 389 Directory Server and FreeIPA by
// their self-service rules; OpenLDAP usually the password alone. Attributes that
// most directories keep to themselves, and that rules are commonly built on (mail,
// title, department, employeeType), are not among them.
func defaultSelfEditable() []Expr {
	names := []string{
		"carLicense", "description", "displayName", "facsimileTelephoneNumber", "homePhone", "homePostalAddress", "info", "initials", "ipPhone",
		"jpegPhoto", "l", "labeledURI", "mobile", "pager", "photo", "physicalDeliveryOfficeName", "postalAddress", "postalCode", "postOfficeBox",
		"preferredLanguage", "roomNumber", "secretary", "seeAlso", "st", "street", "streetAddress", "telephoneNumber", "thumbnailPhoto", "url",
		"userCertificate", "userPassword", "userSMIMECertificate", "wWWHomePage",
	}
	out := make([]Expr, len(names))
	for i, n := range names {
		out[i].Text = n
	}
	return out
}

func defaultGroups() *Groups {
	return &Groups{MembershipAttribute: "memberOf"}
}

// defaultLimits fills the limits of which the file gives neither number.
func defaultLimits(g *Guards) {
	if l := &g.MaxDeactivations; l.Count == nil && l.Percent == nil {
		l.Count, l.Percent = new(50), new(1.0)
	}
	if l := &g.MaxRoleRemovals; l.Count == nil && l.Percent == nil {
		l.Count = new(5) // rights are few, whatever the size of the source
	}
	if l := &g.MaxRecreations; l.Count == nil && l.Percent == nil {
		l.Count = new(5) // accounts vanish one by one, or because the server was set back
	}
}

// defaultAdopt is what a rule that does not say adopts.
func defaultAdopt(by string) Adopt {
	if by == ByAuthData {
		return AdoptTrue
	}
	return AdoptAsk
}
