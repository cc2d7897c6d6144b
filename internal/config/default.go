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
			OutageWait:     5 * time.Minute,
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
				Tokens:    ThingsKeep,
				Bots:      ThingsKeep,
			},
			Reactivate: Reactivate{Enabled: true, Tokens: ThingsDisable, Memberships: MembershipsLeave},
			OnGone:     OnGoneAsk,

			PermanentDelete: PermanentDelete{After: 365 * day, Max: 20},
		},
		Guards: Guards{
			Window:                 24 * time.Hour,
			OnTrip:                 OnTripHold,
			MaxDeactivations:       Limit{MinimumPopulation: 20},
			MaxRoleRemovals:        Limit{MinimumPopulation: 20},
			MaxReactivations:       Limit{MinimumPopulation: 20},
			MaxRecreations:         Limit{MinimumPopulation: 20},
			MaxAdminGrants:         Limit{MinimumPopulation: 20},
			MaxRenames:             Limit{MinimumPopulation: 20},
			MaxEmailChanges:        Limit{MinimumPopulation: 20},
			MaxAuthChanges:         Limit{MinimumPopulation: 20},
			MaxCreates:             Limit{MinimumPopulation: 20},
			MaxUpdates:             Limit{MinimumPopulation: 20},
			MaxMembershipAdditions: Limit{MinimumPopulation: 20},
			MaxMembershipRemovals:  Limit{MinimumPopulation: 20},
			MaxSpaceCreations:      Limit{MinimumPopulation: 20},
			MinSourceEntries:       Shrink{PercentOfLast: 80},
			Protect:                Protect{NeverBelow: 1},
		},
		Memberships:     Memberships{MissingTargets: MissingReport},
		SCIM:            defaultSCIM(),
		Admin:           Admin{Login: defaultLogin()},
		Schedule:        Schedule{Timezone: "UTC"},
		Notices:         defaultNotices(),
		ShutdownTimeout: 30 * time.Second,
		Log:             Log{Level: "info", Format: "auto"},
	}
}

func defaultLDAP() *LDAP {
	return &LDAP{BindMethod: BindSimple, MaxPageSize: 1000, QueryTimeout: 60 * time.Second, Delta: DeltaAuto, References: ReferencesDoubt, FullSyncPeriod: time.Hour}
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
	return unwritten(names)
}

// unwritten makes Exprs that stand nowhere in a file.
func unwritten(texts []string) []Expr {
	out := make([]Expr, len(texts))
	for i, t := range texts {
		out[i].Text = t
	}
	return out
}

func defaultGroups() *Groups {
	return &Groups{MembershipAttribute: "memberOf"}
}

// defaultLimits fills the limits of which the file gives neither number.
func defaultLimits(g *Guards) {
	for _, x := range []struct {
		limit   *Limit
		count   int
		percent float64 // 0 = none
	}{
		{&g.MaxDeactivations, 50, 1},
		{&g.MaxReactivations, 50, 1}, // what a day may switch off may come back in a day
		{&g.MaxRoleRemovals, 5, 0},   // rights are few, whatever the size of the source
		{&g.MaxAdminGrants, 5, 0},
		{&g.MaxRecreations, 5, 0}, // accounts vanish one by one, or because the server was set back
		{&g.MaxRenames, 50, 5},    // marriages and corrections, not another scheme of names
		{&g.MaxEmailChanges, 50, 5},
		{&g.MaxAuthChanges, 50, 5},
		{&g.MaxCreates, 500, 10},             // a year's new students come in a day
		{&g.MaxUpdates, 500, 30},             // and a reorganisation gives many another position
		{&g.MaxMembershipAdditions, 500, 30}, // or another team
		{&g.MaxSpaceCreations, 5, 0},         // a slip in a rule must not make hundreds of teams
		{&g.MaxMembershipRemovals, 50, 2},    // what was in the channels of a team does not come back with it
	} {
		if x.limit.Count != nil || x.limit.Percent != nil {
			continue
		}
		if x.limit.Count = &x.count; x.percent > 0 {
			x.limit.Percent = &x.percent
		}
	}
}

// defaultAdopt is what a rule that does not say adopts.
func defaultAdopt(by string) Adopt {
	if by == ByAuthData {
		return AdoptTrue
	}
	return AdoptAsk
}
