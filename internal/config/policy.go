package config

import (
	"slices"
	"time"
)

// Mapping says which Mattermost field comes from which expression.
type Mapping struct {
	// Defaults are for the sources that are read, ldap and file. What SCIM calls an
	// attribute is the same everywhere, so that a source of type scim has defaults of
	// its own, and its mapping stays the same whatever stands beside it.
	Defaults Attributes `yaml:"defaults"`
	// Sources overrides the defaults key by key: as written for ldap and file, with
	// its defaults filled in for scim. What is in force for a source is its
	// Source.Mapping.
	Sources map[string]Attributes `yaml:"sources"`
	// UserOwned fields are set at creation and never overwritten afterwards:
	// first_name, last_name, nickname, position, locale, timezone.
	UserOwned []string `yaml:"user_owned"`
	// OnDrift says what happens to a field that somebody edited in Mattermost.
	OnDrift OnDrift `yaml:"on_drift"`
}

// The values of OnDrift.
const (
	DriftRestore = "restore"
	DriftReport  = "report"
)

// OnDrift is restore or report, by field: the source's value is put back, or the
// edit stays, is shown, and lasts until the source's own value changes. "" takes
// Default. Username and e-mail are always restored: accounts are found by them,
// and whoever sets an e-mail gets the links that reset a password.
type OnDrift struct {
	Default   string `yaml:"default"`
	FirstName string `yaml:"first_name"`
	LastName  string `yaml:"last_name"`
	Nickname  string `yaml:"nickname"`
	Position  string `yaml:"position"`
	Locale    string `yaml:"locale"`
	Timezone  string `yaml:"timezone"`
}

// Reported lists the fields whose edits are reported and stay.
func (o OnDrift) Reported() []string {
	var out []string
	for _, f := range o.fields() {
		if f.value == DriftReport || f.value == "" && o.Default == DriftReport {
			out = append(out, f.name)
		}
	}
	return out
}

type driftField struct{ name, value string }

func (o OnDrift) fields() []driftField {
	return []driftField{
		{"first_name", o.FirstName},
		{"last_name", o.LastName},
		{"nickname", o.Nickname},
		{"position", o.Position},
		{"locale", o.Locale},
		{"timezone", o.Timezone},
	}
}

// Attributes are the expressions of one source. An Expr with Line 0 was not
// written; one that was written as "" says that the source does not own the
// field. Neither has anything to compile.
type Attributes struct {
	ID        Expr `yaml:"id_attribute"`
	LoginID   Expr `yaml:"login_id_attribute"`
	Username  Expr `yaml:"username_attribute"`
	Email     Expr `yaml:"email_attribute"`
	FirstName Expr `yaml:"first_name_attribute"`
	LastName  Expr `yaml:"last_name_attribute"`
	Nickname  Expr `yaml:"nickname_attribute"`
	Position  Expr `yaml:"position_attribute"`
	Locale    Expr `yaml:"locale"`
	Timezone  Expr `yaml:"timezone"`
}

// Authority names, for each attribute, the sources whose value counts before that of the
// account's owner, the first that has one; without any it is the owner's.
type Authority struct {
	Username  []string `yaml:"username"`
	Email     []string `yaml:"email"`
	FirstName []string `yaml:"first_name"`
	LastName  []string `yaml:"last_name"`
	Nickname  []string `yaml:"nickname"`
	Position  []string `yaml:"position"`
	Locale    []string `yaml:"locale"`
	Timezone  []string `yaml:"timezone"`
	// Roles names the sources whose role rules count for people of other sources as
	// well; what they give is always asked about.
	Roles []string `yaml:"roles"`
}

// AttributeSources is one key of Authority but for roles, by the name of its attribute.
type AttributeSources struct {
	Attribute string
	Sources   []string
}

// Attributes lists what Authority says about attributes, in a fixed order.
func (a Authority) Attributes() []AttributeSources {
	all := []AttributeSources{
		{"username", a.Username},
		{"email", a.Email},
		{"first_name", a.FirstName},
		{"last_name", a.LastName},
		{"nickname", a.Nickname},
		{"position", a.Position},
		{"locale", a.Locale},
		{"timezone", a.Timezone},
	}
	return slices.DeleteFunc(all, func(s AttributeSources) bool { return len(s.Sources) == 0 })
}

// Auth says which login people have.
type Auth struct {
	// Policy is in order: the first rule of a person's source whose When is true
	// for him counts. Without one he keeps the login he has, which for a new
	// account is a password.
	Policy []AuthRule `yaml:"policy"`
	// MigrateExisting is about accounts that log in otherwise than Policy says.
	MigrateExisting MigrateExisting `yaml:"migrate_existing"`
}

// AuthRule gives the people of one source, or those of them for whom When is
// true, a login service and what that service knows them by.
type AuthRule struct {
	Source string `yaml:"source,required"`
	// When is a condition; unset means everybody of the source.
	When Expr `yaml:"when"`
	// Service is ldap, saml, gitlab, google, office365 or openid. The server
	// stores any word, and an account with a wrong one can never log in.
	Service string `yaml:"service,required"`
	// Data gives at most 128 bytes, and something for everybody who is meant.
	Data Expr `yaml:"data,required"`
}

// MigrateExisting says whether existing accounts are moved to the login that
// the rules want. The way back is a new password, account by account.
type MigrateExisting struct {
	Enabled bool `yaml:"enabled"`
	// RevokeSessions ends the sessions of a moved account, which the server
	// leaves alive.
	RevokeSessions bool `yaml:"revoke_sessions"`
}

// The values of Match.By and Match.Adopt.
const (
	ByAuthData = "auth_data"
	ByEmail    = "email"
	ByUsername = "username"

	AdoptTrue Adopt = "true"
	AdoptAsk  Adopt = "ask"
)

// Adopt says what a match does: take the account over, or ask a person first.
type Adopt string

// Match is one way an identity may meet an account that is there already;
// rules are tried in order.
type Match struct {
	By string `yaml:"by,required"`
	// Adopt is true only for auth_data. With ask a hit is held and named until a
	// person approves it.
	Adopt Adopt `yaml:"adopt"`
}

// Lifecycle says which changes are made to accounts.
type Lifecycle struct {
	Create     Create     `yaml:"create"`
	Update     Switch     `yaml:"update"`
	Deactivate Deactivate `yaml:"deactivate"`
	Reactivate Reactivate `yaml:"reactivate"`
	// OnGone is ask or recreate: what becomes of a person whose account somebody
	// deleted on the server.
	OnGone string `yaml:"on_gone"`
	// PermanentDelete is for a command of its own.
	PermanentDelete PermanentDelete `yaml:"permanent_delete"`
}

// The values of Lifecycle.OnGone.
const (
	OnGoneAsk      = "ask"
	OnGoneRecreate = "recreate"
)

// Switch turns one kind of change on or off.
type Switch struct {
	Enabled bool `yaml:"enabled"`
}

// Create says how accounts are made.
type Create struct {
	Enabled       bool `yaml:"enabled"`
	EmailVerified bool `yaml:"email_verified"`
	// Welcome is none or reset_link (the server mails a link to set a password).
	Welcome string `yaml:"welcome"`
}

// The reasons an account is deactivated for.
const (
	OnDisabled   = "disabled"
	OnMissing    = "missing"
	OnOutOfScope = "out_of_scope"
)

// Deactivate says which reasons deactivate an account, and after how long.
type Deactivate struct {
	// On holds any of disabled, missing and out_of_scope; empty means never.
	On    []string `yaml:"on"`
	Grace Grace    `yaml:"grace"`
	// DeleteEndpoint switches accounts with login service ldap off by the
	// server's DELETE, the one call that 10.2 and later do not refuse for them.
	DeleteEndpoint bool `yaml:"delete_endpoint"`
	// LookAgain is how long after somebody was switched off, or lost a role, a
	// run looks whether it is still so, 0 to 10 min; 0 leaves that to the next run.
	LookAgain time.Duration `yaml:"look_again"`
	// Tokens and Bots are keep or disable: what becomes of the access tokens and the
	// bots of somebody who was switched off.
	Tokens string `yaml:"tokens"`
	Bots   string `yaml:"bots"`
}

// The values of Reactivate.Tokens, Deactivate.Tokens and Deactivate.Bots.
const (
	ThingsKeep    = "keep"
	ThingsDisable = "disable"
)

// Reactivate says what is done for somebody who comes back, whom mmsync itself
// switched off.
type Reactivate struct {
	Enabled bool `yaml:"enabled"`
	// Tokens is disable or keep: what becomes, before the account is switched on, of
	// access tokens that would work again with it.
	Tokens string `yaml:"tokens"`
	// Memberships is leave or restore: what becomes of teams and channels that rules give
	// somebody who comes back, and that he had left, or was taken out of.
	Memberships string `yaml:"memberships"`
}

// The values of Reactivate.Memberships.
const (
	MembershipsLeave   = "leave"
	MembershipsRestore = "restore"
)

// Grace is how long a reason must hold before it counts; 0 means at once.
type Grace struct {
	Disabled   time.Duration `yaml:"disabled"`
	Missing    time.Duration `yaml:"missing"`
	OutOfScope time.Duration `yaml:"out_of_scope"`
	// Deleted is for people whom a SCIM client deleted; not written, it is Disabled.
	Deleted time.Duration `yaml:"deleted"`
}

// The values of RoleRule.Grant.
const (
	GrantAsk   = "ask"
	GrantAllow = "allow"
)

// DemoteWhenLost says whether somebody loses a role that no rule gives him any more.
// Who leaves loses it in any case.
type DemoteWhenLost string

// The values of DemoteWhenLost.
const (
	DemoteTrue  DemoteWhenLost = "true"
	DemoteFalse DemoteWhenLost = "false"
	DemoteAsk   DemoteWhenLost = "ask" // held until a person approves it
)

// RoleRule gives a role to the people of one source who are in one of Groups
// and for whom When is true; one of the two may be left out, not both. A role
// that any rule names is managed: it is also taken away from owned accounts that
// no rule gives it to, as DemoteWhenLost says.
type RoleRule struct {
	// Role matches [a-z0-9_]+ and is neither system_user nor system_guest.
	Role   string `yaml:"role,required"`
	Source string `yaml:"source,required"`
	// Groups are DNs or stable ids, never display names.
	Groups []string `yaml:"groups"`
	When   Expr     `yaml:"when"`
	Grant  string   `yaml:"grant"`
	// DemoteWhenLost is the same in all rules for one role and source.
	DemoteWhenLost DemoteWhenLost `yaml:"demote_when_lost"`
}

// The values of GuestRule.WhenLost.
const (
	WhenLostAsk     = "ask"
	WhenLostPromote = "promote"
	WhenLostKeep    = "keep"
)

// GuestRule makes guests of the people of one source who are in one of Groups and
// for whom When is true; one of the two may be left out, not both. A source without
// a rule decides nothing about guests.
type GuestRule struct {
	Source string `yaml:"source,required"`
	// Groups are DNs or stable ids, never display names.
	Groups []string `yaml:"groups"`
	When   Expr     `yaml:"when"`
	// WhenLost is ask, promote or keep: what becomes of a guest for whom no rule is
	// any more. It is the same in all rules of one source.
	WhenLost string `yaml:"when_lost"`
}

// Guards are the limits that withhold a plan.
type Guards struct {
	// Window is the trailing time that counts against the limits; at least 1 h.
	Window time.Duration `yaml:"window"`
	// OnTrip is hold or stop: what becomes of the rest when a guard trips.
	OnTrip           string `yaml:"on_trip"`
	MaxDeactivations Limit  `yaml:"max_deactivations"`
	// MaxRoleRemovals bounds how many accounts that stay active may lose a role.
	MaxRoleRemovals Limit `yaml:"max_role_removals"`
	// MaxReactivations bounds how many accounts that were switched off may be
	// switched on again.
	MaxReactivations Limit `yaml:"max_reactivations"`
	// MaxRecreations bounds how many accounts that are gone from the server may
	// be made anew.
	MaxRecreations Limit `yaml:"max_recreations"`
	// MaxAdminGrants bounds how many accounts may get a role beyond user and guest.
	MaxAdminGrants Limit `yaml:"max_admin_grants"`
	// MaxRenames, MaxEmailChanges and MaxAuthChanges bound how many accounts may
	// get another username, e-mail or login.
	MaxRenames      Limit `yaml:"max_renames"`
	MaxEmailChanges Limit `yaml:"max_email_changes"`
	MaxAuthChanges  Limit `yaml:"max_auth_changes"`
	// MaxCreates and MaxUpdates, of any other field, count from the end of a
	// source's first run on.
	MaxCreates Limit `yaml:"max_creates"`
	MaxUpdates Limit `yaml:"max_updates"`
	// MaxMembershipAdditions bounds how many people may be added to teams or channels or
	// made their administrators, from the end of a source's first run on;
	// MaxMembershipRemovals how many may lose either.
	MaxMembershipAdditions Limit `yaml:"max_membership_additions"`
	MaxMembershipRemovals  Limit `yaml:"max_membership_removals"`
	// MaxSpaceCreations bounds how many teams and channels may be made.
	MaxSpaceCreations Limit  `yaml:"max_space_creations"`
	MinSourceEntries  Shrink `yaml:"min_source_entries"`
	// EmailDomains are the domains that an address may be in; *.example.com stands
	// for every domain below it. Empty means any.
	EmailDomains []string `yaml:"email_domains"`
	Protect      Protect  `yaml:"protect"`
}

// The values of Guards.OnTrip.
const (
	OnTripHold = "hold"
	OnTripStop = "stop"
)

// Limit bounds one class of changes per source. It trips on more
// than the larger of Count and Percent of the linked active accounts; one that
// is nil does not take part, and at least one is not nil: if the file gives
// neither, the defaults are in force. Percent is ignored below
// MinimumPopulation accounts.
type Limit struct {
	Count             *int     `yaml:"count"`
	Percent           *float64 `yaml:"percent"`
	MinimumPopulation int      `yaml:"minimum_population"`
}

// Shrink bounds how much smaller than before a source may be.
type Shrink struct {
	// PercentOfLast is 1 to 100; a read with fewer entries counts as unreadable.
	PercentOfLast float64 `yaml:"percent_of_last"`
}

// Protect names what is never touched, whatever a source says.
type Protect struct {
	// Usernames are patterns in which * stands for any run of characters.
	Usernames []string `yaml:"usernames"`
	// NeverBelow is how many active human administrators must remain; at least 1.
	NeverBelow int `yaml:"never_below"`
}
