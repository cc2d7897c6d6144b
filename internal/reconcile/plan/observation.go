package plan

import (
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
)

// ClockLag is how far the server's clock may be behind the Date header of its answers: a
// proxy in front of it may write that header by a clock of its own.
const ClockLag = 30 * time.Second

// Observation is all that may be known about one Key when deciding. A full run
// makes observations from listings, a push makes one from a few lookups; Decide
// cannot tell the difference. Pointers are read-only.
type Observation struct {
	Key identity.Key
	// Desired is what the source wants; nil means the source's last read did not
	// hold the Key.
	Desired *identity.Identity
	// Absence tells what is known about a Key whose Desired is nil.
	Absence Absence
	// Link is what mmsync owns for the Key; nil means nothing.
	Link *identity.Link
	// People are the ids of the accounts that are to be the values of custom profile
	// attributes, by the attributes' names; "" where there is to be none. One that Desired
	// names and that is missing here has no account that is known, and stays as it is.
	People map[string]string
	// Memberships are the linked account's in the spaces of Facts.
	Memberships identity.Memberships
	// Linked is the Link's account as the server shows it now. nil with a Link
	// means that the server denied having it; Unseen says that this is doubtful.
	Linked *identity.Account
	// Unseen is set while the linked account is missing from an answer but not
	// proven gone: 404 by id and by name, with a healthy server.
	Unseen bool
	// Busy is until when a call of a run that was cut off may still reach the
	// account; zero if there is none. Two writes at once lose one of the two, so
	// that nothing is sent before, not even for a leaver.
	Busy time.Time
	// Stopped is set while an operator holds everybody, the source or the person:
	// nothing is done about the Key then.
	Stopped *Word
	// Off is set while an operator said that the person is off, whatever the source
	// says. It ends when the source agrees.
	Off *Word
	// Barred is what is not to be done to anybody now, in order of importance.
	Barred []Bar
	// ByIntent is an account that an interrupted run meant to create for this
	// Key: same username, e-mail and auth, made within that call's time.
	ByIntent *identity.Account
	// ByAuth, ByEmail and ByUsername hold the values this Key wants. The Key's
	// own linked account is never among them.
	ByAuth, ByEmail, ByUsername *Holder
	// Said is what an operator said about changes of this Key that were held; nil if
	// nothing.
	Said *Said
	// ToPassword says that the login is to be a password again, which the person sets
	// by a mailed link. No source asks for it, only an operator who rolls back.
	ToPassword bool
	// Owns is what the linked account owns, for somebody who leaves or comes back; nil
	// means that nobody looked.
	Owns *Belongings
	// Refused are the ids of accounts that an operator said are not this person's.
	Refused []string
	// Voices are the contributors of the linked account, if this Key owns it, and Awards
	// say what of Desired came from them.
	Voices []Voice
	Awards []Award
	// Match is the account of another Key that a new person of a contributing source
	// has a value in common with; nil if there is none, or more than one.
	Match *Holder
	Facts *Facts
	Now   time.Time
}

// wants gives the value that a profile field is to have: for a username that
// was chosen at creation, because the wanted one was taken, the chosen one.
func (o *Observation) wants(a identity.Attribute) string {
	if a == identity.Username && o.Link != nil && o.Linked != nil && o.Link.Applied.Username != "" {
		return o.Link.Applied.Username
	}
	return o.Desired.Profile.Value(a)
}

// holder gives the other account that has the value wanted for a field; nil if
// there is none.
func (o *Observation) holder(f Field) *Holder {
	if o.Desired == nil {
		return nil
	}
	var h *Holder
	same := false
	switch f {
	case FieldAuthData:
		h = o.ByAuth
		same = h != nil && h.Account != nil && o.Desired.Auth.Data != "" && h.Account.Auth.Data == o.Desired.Auth.Data
	case Field(identity.Username):
		h = o.ByUsername
		same = h != nil && h.Account != nil && strings.EqualFold(h.Account.Username, o.wants(identity.Username))
	case Field(identity.Email):
		h = o.ByEmail
		same = h != nil && h.Account != nil && strings.EqualFold(h.Account.Email, o.Desired.Profile.Email)
	}
	if !same || (o.Linked != nil && h.Account.ID == o.Linked.ID) {
		return nil
	}
	return h
}

// left tells that the person has left as far as the source says or shows.
func (o *Observation) left() bool { return o.Desired == nil || !o.Desired.Active }

// off tells that the linked account is there and switched off.
func (o *Observation) off() bool { return o.Linked != nil && !o.Linked.Active() }

// Holder is an account that already has a value somebody wants, and who owns it.
type Holder struct {
	Account *identity.Account
	// Owner is the Key that the account is linked to; zero if to none.
	Owner identity.Key
	// Formerly is set when the account was ever linked to another Key.
	Formerly bool
	// OwnsBotOrToken is set when the account owns a bot or a personal access
	// token, which adoption would hand over.
	OwnsBotOrToken bool
}

// Absence is what is known about a Key that its source did not list.
type Absence struct {
	// Explicit means that the source said "delete" (SCIM DELETE): no grace.
	Explicit bool
	// Complete means that the read which lacked the Key was complete.
	Complete bool
	// Doubt says why the read proves nothing, if Complete is false.
	Doubt string
	// Since is when a complete read first lacked the Key; zero means just now.
	Since time.Time
	// Reads counts the complete reads that lacked the Key, at least ten minutes
	// apart, this one included.
	Reads int
	// Presence is the source's answer to a direct question about the anchor; ""
	// means that it was not asked.
	Presence identity.Presence
	// Jumped means that a clock was set, so that by itself it ends no grace now.
	Jumped bool
}

// Facts are what the target server can do and show, as far as decisions depend
// on it.
type Facts struct {
	Version string // "11.6.0"
	// ServerID is the server's own identifier (TelemetryId or DiagnosticId).
	ServerID string
	SiteURL  string
	// AuthDataVisible is false before 11.0, where auth data reads as "" even for
	// an administrator; drift there is unknown and Link.Applied decides.
	AuthDataVisible bool
	// LDAPLocked: the API refuses to (de)activate accounts with login service
	// "ldap" (10.2 and later).
	LDAPLocked bool
	// EmailVerification: with RequireEmailVerification on, a patched e-mail is
	// kept pending and mailed about, so none is sent.
	EmailVerification bool
	// GuestsOff: the server's guest feature is off. It switches off every guest then,
	// and none on.
	GuestsOff bool
	Licence   Licence
	// LoginsOff are the login services that the server has switched off, has no licence
	// for, or does not know, sorted.
	LoginsOff []string
	// SeatsLeft is how many more accounts may be active; negative means no limit.
	SeatsLeft int
	// Domains are those that an e-mail must be in, in lower case, none means any: of a new
	// account, and a new one of an account, unless it logs in by ldap or saml, and of
	// whoever joins a team however he logs in. GuestDomains stand in their place for
	// accounts that are guests already.
	Domains, GuestDomains []string
	// HumanAdmins are the ids of active human system administrators, sorted.
	HumanAdmins []string
	// Locks are what the server keeps to login services by its own settings.
	Locks Locks
	// PictureOfLDAP: the server takes the pictures of accounts of its own LDAP sync from
	// its directory, and refuses others (LdapSettings.PictureAttribute).
	PictureOfLDAP bool
	// PictureOfSAML: and those of its saml accounts (SamlSettings.EnableSyncWithLdap).
	PictureOfSAML bool
	// NoPictures: the server has nowhere to keep files, so that no picture can be set.
	NoPictures bool
	// CustomOff says in words that complete "user attributes are not set, because " why
	// none can be; "" if they can.
	CustomOff string
	// CustomFields are the custom profile attributes of the server by their names, each
	// with why it cannot be set, "" if it can.
	CustomFields map[string]string
	// CustomPeople are the same attributes, each with why no person can be set in it, ""
	// if one can.
	CustomPeople map[string]string
	// PeopleUnknown tells by the names of custom profile attributes of how many people the
	// source names somebody there whose account is not known, or off.
	PeopleUnknown map[string]int
	// SetBack: the server shows less than mmsync wrote to it, so that it was set
	// back to an earlier state or is another one. Nothing is taken from anybody.
	SetBack bool
	// Spaces are the teams and channels that rules name, by those names. About one that
	// is missing here nothing is known, and nothing is done.
	Spaces map[string]Space
	// Protected maps account ids that must never be changed to the reason, in
	// words that complete "is protected: ".
	Protected map[string]string
}

// Policy is what the operator wants, as far as decisions depend on it.
type Policy struct {
	Create, Update, Reactivate bool
	// Deactivate names the triggers that may switch an account off.
	Deactivate Triggers
	Grace      Grace
	// UserOwned attributes are set at creation and belong to the user from then on.
	UserOwned identity.Attributes
	// ReportDrift attributes, when somebody edited them in Mattermost, are reported
	// and left so until the source's own value changes. Accounts are found by
	// username and e-mail, so those are never among them.
	ReportDrift identity.Attributes
	// EmailDomains are the domains that an address may be in, in lower case;
	// *.example.com stands for every domain below it. None means any.
	EmailDomains []string
	// AdoptByAuth lets an unlinked account with the same login service and exact
	// auth data be taken over. Matches by e-mail and username are never taken
	// over by themselves, they are always held for the operator.
	AdoptByAuth bool
	// Roles says for each source which roles it decides about.
	Roles []RoleAuthority
	// Memberships says for each source which teams and channels it decides about.
	Memberships []MembershipAuthority
	// ReaddRemoved adds people again to what they left by themselves, or were taken out
	// of in Mattermost.
	ReaddRemoved bool
	// Authority says which attributes other sources than the owner's decide about, and
	// RoleSources whose role rules count for people whom they contribute to. What such a
	// rule gives is always asked about first.
	Authority   []Authority
	RoleSources []string
	// Contributing says which sources know people whose accounts are others', and
	// HandsOver which people go to another source when theirs lacks them.
	Contributing []Contributing
	HandsOver    []HandsOver
	// ReservedNames are username patterns (* matches anything) no identity may
	// take.
	ReservedNames []string
	// NeverBelow is how many active human administrators must remain.
	NeverBelow int
	// ChangeAuth lets an existing account's login be moved to another service.
	ChangeAuth bool
	// RevokeOnAuth ends the sessions of an account whose login was moved: the
	// server keeps them alive.
	RevokeOnAuth bool
	// Detour lets fields be changed, and accounts of the server's own LDAP sync be
	// switched on, that the server keeps locked under the login they have: the login
	// is another one for a moment. An operator asks for it, no configuration does.
	Detour bool
	// ForGood, if not nil, has accounts of people who left deleted for good, and nothing
	// else done.
	ForGood *ForGood
	// RecreateGone lets an account that somebody deleted on the server be created
	// anew for a person who is still active.
	RecreateGone bool
	// Custom are the names of the custom profile attributes that sources give values to,
	// sorted.
	Custom []string
	// People are the names of those that sources give people to, sorted.
	People []string
	// Pictures says for each source that gives pictures how they are treated.
	Pictures []PicturePolicy
	// DeleteEndpoint lets accounts that the server's own LDAP sync owns be
	// switched off by DELETE, the one call that is not refused for them.
	DeleteEndpoint bool
	// DisableTokens and DisableBots have what a leaver owns disabled as well, once the
	// account is off. Both, as all that follows a leaving, apply to mmsync's own
	// accounts alone.
	DisableTokens, DisableBots bool
	// DisableOnReturn has the access tokens of somebody who comes back disabled before
	// the account is switched on: the server lets them work again with it. While they
	// are not known, the account stays off.
	DisableOnReturn bool
	// RestoreOnReturn gives somebody who comes back all that rules give him, also what he
	// had left, or was taken out of, before he came back.
	RestoreOnReturn bool
}

// Disables tells whether the policy has anything disabled that a leaver owns.
func (p Policy) Disables() bool { return p.DisableTokens || p.DisableBots }

// Triggers are the ways a person leaves.
type Triggers struct{ Disabled, Missing, OutOfScope bool }

// Grace is how long each trigger waits before the account is switched off.
type Grace struct {
	Disabled, Missing, OutOfScope time.Duration
	// Deleted is for people whom the source was told to delete, in place of Disabled.
	Deleted time.Duration
}
