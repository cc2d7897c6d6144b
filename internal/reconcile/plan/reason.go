package plan

import "slices"

// Reason is why a Decision is as it is. The list is closed; each has its
// sentence and names who can end it.
type Reason string

// Reasons for doing something.
const (
	Wanted         Reason = "wanted"           // in the source, no account yet
	Differs        Reason = "differs"          // the account is not as the source wants it
	Drifted        Reason = "drifted"          // somebody changed it in Mattermost
	Returned       Reason = "returned"         // back in the source, and we had switched it off
	Recreated      Reason = "recreated"        // the account was removed from the server
	SameIntent     Reason = "same_intent"      // our own creation whose answer was lost
	SameAuthData   Reason = "same_auth_data"   // same login service and exact value
	Approved       Reason = "approved"         // an operator said whose account it is
	Rekeyed        Reason = "rekeyed"          // an operator said that the person has a new id
	HandedOver     Reason = "handed_over"      // the account goes to another source that has the person
	Contributes    Reason = "contributes"      // another source owns the account
	Released       Reason = "released"         // an operator gave the account up
	NameFreed      Reason = "name_freed"       // an operator parked what a leaver's account held
	SourceDisabled Reason = "source_disabled"  // the source says the person has left
	SourceMissing  Reason = "source_missing"   // no longer in the source
	OutOfScope     Reason = "out_of_scope"     // still in the directory, no longer selected
	SourceDeleted  Reason = "source_deleted"   // the source said delete
	OperatorOff    Reason = "operator_off"     // an operator said that the person is off now
	LeftBehind     Reason = "left_behind"      // an operator has what a leaver left behind switched off
	DeletedForGood Reason = "deleted_for_good" // an operator has the account of somebody who left deleted
	Reverted       Reason = "reverted"         // an operator takes back what a run did
	AccountGone    Reason = "account_gone"     // left the source, and the account is gone as well
	Settled        Reason = "settled"          // nothing differs
	NotActiveYet   Reason = "not_active"       // disabled in the source and never had an account
	AlreadyOff     Reason = "already_off"      // has left and is switched off
	Kept           Reason = "kept"             // the policy keeps it as it is
)

// Reasons for holding something back.
const (
	InGrace          Reason = "in_grace"
	ReadIncomplete   Reason = "read_incomplete"
	Unconfirmed      Reason = "unconfirmed"
	StillPresent     Reason = "still_present"
	HandOver         Reason = "hand_over"
	EntryFault       Reason = "entry_fault"
	NameReserved     Reason = "name_reserved"
	UsernameTaken    Reason = "username_taken"
	EmailTaken       Reason = "email_taken"
	AuthDataTaken    Reason = "auth_data_taken"
	Contested        Reason = "contested"
	WaitsForOther    Reason = "waits_for_other"
	MatchNeedsWord   Reason = "match_needs_approval"
	MatchPrivileged  Reason = "match_privileged"
	Protected        Reason = "protected"
	LastAdmin        Reason = "last_admin"
	NeedsApproval    Reason = "needs_approval"
	Rejected         Reason = "rejected"
	DeactivatedOther Reason = "deactivated_by_other"
	LockedByLogin    Reason = "locked_by_login_service"
	LockedByLDAP     Reason = "locked_by_ldap"
	LockedByVerify   Reason = "locked_by_email_verification"
	AuthNotChanged   Reason = "auth_not_changed"
	AccountMissing   Reason = "account_missing"
	AccountUnseen    Reason = "account_unseen"
	NoSeats          Reason = "no_seats"
	CallInFlight     Reason = "call_in_flight"
	ServerSetBack    Reason = "server_set_back"
	GuardTripped     Reason = "guard_tripped"
	EmailOutside     Reason = "email_outside"
	ServerDomain     Reason = "server_domain"
	DriftReported    Reason = "drift_reported"
	OnHold           Reason = "on_hold"
	KeptOff          Reason = "kept_off"
	NotNow           Reason = "not_now"
	LeftByThemselves Reason = "left_by_themselves"
	GuestLeftAlone   Reason = "guest_left_alone"
	SpaceMissing     Reason = "space_missing"
	SpaceUnmade      Reason = "space_unmade"
	SpaceWanted      Reason = "space_wanted"
	SpaceArchived    Reason = "space_archived"
	SpaceByGroups    Reason = "space_group_constrained"
	SpaceForAll      Reason = "space_for_all"
	TeamFull         Reason = "team_full"
	TeamDomain       Reason = "team_domain"
	TeamEmail        Reason = "team_email"
	GuestsOff        Reason = "guests_off"
	GuestUnknown     Reason = "guest_unknown"
	GuestsUnlicensed Reason = "guests_unlicensed"
	GuestMixed       Reason = "guest_mixed"
	GuestHasNoRoles  Reason = "guest_has_no_roles"
	RoleUnlicensed   Reason = "role_unlicensed"
	LoginOff         Reason = "login_service_off"
	FieldFirst       Reason = "field_first"
	TokensHidden     Reason = "tokens_hidden"
	PictureUnusable  Reason = "picture_unusable"
	PictureRefused   Reason = "picture_refused"
	NotDeleted       Reason = "not_deleted"
)

// Explanation is what a Reason means to an administrator.
type Explanation struct {
	Reason Reason
	// Sentence says what the reason means.
	Sentence string
	// Next says what ends it; "" for reasons that need no step.
	Next string
	// Ender names who can take that step; "" where nobody has to.
	Ender Ender
}

// Explanations lists every Reason once, those for acting first.
func Explanations() []Explanation {
	return slices.Concat(accountExplanations(), spaceExplanations())
}

// accountExplanations are those about accounts.
func accountExplanations() []Explanation { //nolint:funlen // a table, one line for each reason
	return []Explanation{
		{Wanted, "The person is in the source and has no account yet.", "", ""},
		{Differs, "The account is not as the source wants it.", "", ""},
		{Drifted, "Somebody changed the account in Mattermost; the source's value is put back.", "", ""},
		{Returned, "The person is back in the source, and mmsync itself had switched the account off.", "", ""},
		{Recreated, "The person's account was removed from the server, and lifecycle.on_gone says to create it anew.", "", ""},
		{SameIntent, "An interrupted run of mmsync created this account and lost the answer.", "", ""},
		{SameAuthData, "The account has the same login service and exactly the same login data.", "", ""},
		{Approved, "An operator said that this account is the person's.", "", ""},
		{Rekeyed, "An operator said that the person came back under a new id; the account goes with him.", "", ""},
		{HandedOver, "The account goes from one source to another that has the person as well; it stays as it is.", "", ""},
		{Contributes, "Another source owns the person's account; this one only adds to it what authority gives it.", "", ""},
		{Released, "An operator said that mmsync gives the account up; it stays as it is.", "", ""},
		{NameFreed, "An operator had the name or e-mail of a leaver's account freed for somebody else.", "", ""},
		{SourceDisabled, "The source says that the person has left.", "", ""},
		{SourceMissing, "The person is no longer in the source.", "", ""},
		{OutOfScope, "The entry is still in the directory, but the source's filter no longer selects it.", "", ""},
		{SourceDeleted, "The source said that the person is deleted.", "", ""},
		{OperatorOff, "An operator said that the person is off now, whatever the source says.", "", ""},
		{LeftBehind, "An operator had tokens or bots of somebody who is off disabled.", "", ""},
		{DeletedForGood, "An operator had the account of somebody who left long ago deleted for good.", "", ""},
		{Reverted, "An operator takes back what an earlier run did.", "", ""},
		{AccountGone, "The person has left and the account no longer exists; the link is forgotten.", "", ""},
		{Settled, "Nothing differs.", "", ""},
		{NotActiveYet, "The person is not active in the source and never had an account.", "", ""},
		{AlreadyOff, "The person has left and the account is off.", "", ""},
		{Kept, "The configuration says to leave this as it is.", "", ""},
		{InGrace, "The person has left or is missing, but not for long enough yet.", "It ends by itself when the grace is over or the person is seen again.", EndWait},
		{ReadIncomplete, "The source's last read was not complete, so nobody's absence counts.", "Mend the read; the next complete one decides.", EndWait},
		{Unconfirmed, "The source could not confirm that the missing entry is gone.", "The next run asks again; see what mmsync doctor says about the source.", EndWait},
		{StillPresent, "The entry is there, although the read missed it.", "The next run reads again.", EndWait},
		{HandOver, "The source lacks the person, but another entry that is active, under a new id or in another source, wants the account.", "Find out whether it is the same person; until then the account stays as it is. If it is, mmsync link rekey gives the account to the new entry, and mmsync link hand-over to another source that knows the person as well; if it is somebody else, mmsync link ignore says so.", EndOperator},
		{EntryFault, "The source's entry cannot be used.", "Correct the entry in the source.", EndSource},
		{NameReserved, "The wanted username matches a pattern that guards.protect reserves.", "Change the username in the source, or the pattern.", EndSource},
		{EmailOutside, "The wanted e-mail is in a domain that guards.email_domains does not name.", "Correct the e-mail in the source, or add the domain.", EndSource},
		{ServerDomain, "The server takes only e-mails in the domains of its TeamSettings.RestrictCreationToDomains, or for guests of GuestAccountsSettings.RestrictCreationToDomains; accounts that log in by ldap or saml need that for teams alone.", "Correct the e-mail in the source, or add the domain to that setting in Mattermost.", EndOperator},
		{UsernameTaken, "Another account, perhaps a deactivated one, holds the wanted username.", "Change the username of one of the two: in the source or, if no source owns that account, in Mattermost.", EndOperator},
		{EmailTaken, "Another account, perhaps a deactivated one, holds the wanted e-mail.", "Change the e-mail of one of the two: in the source or, if no source owns that account or they form a ring, in Mattermost.", EndOperator},
		{AuthDataTaken, "Another account holds the wanted login data.", "Find out which of the two people it belongs to and correct the source.", EndOperator},
		{Contested, "Two people in the sources claim the same username, e-mail or login data.", "Correct one of them in the source.", EndSource},
		{WaitsForOther, "The wanted value is held by somebody who has to give it up first.", "It is taken as soon as it is free; the line says what keeps it.", EndWait},
		{MatchPrivileged, "An account with more rights than a user, which mmsync does not own, looks like this person's.", "If it is the same person, name that person to mmsync link approve; --all does not take such accounts.", EndOperator},
		{MatchNeedsWord, "An account that mmsync does not own looks like this person's.", "If it is the same person, say so with mmsync link approve; if not, with mmsync link ignore.", EndOperator},
		{Protected, "The account is protected and must not be changed.", "Take the person out of the source's scope; if guards.protect names the account, change that.", EndOperator},
		{LastAdmin, "Too few active human administrators would be left.", "Give another person system_admin first.", EndOperator},
		{NeedsApproval, "Changing who an administrator is, making one, or a full member of a guest, needs a person's word.", "If it is right, say so with mmsync approve and the run's id, or make the change in Mattermost by hand; for a role, grant: allow on its rule lets mmsync make it.", EndOperator},
		{Rejected, "An operator said no to exactly this change.", "", ""},
		{DeactivatedOther, "The account was switched off by somebody else, so mmsync does not switch it on.", "Activate it in Mattermost if the person should be in.", EndOperator},
		{LockedByLogin, "The server does not let this field of an account with this login service be changed.", "", ""},
		{DriftReported, "Somebody changed the field in Mattermost, and mapping.on_drift says to report that; the source's value is set again once it changes.", "", ""},
		{LockedByLDAP, "The server lets only its own LDAP sync switch this account on or off.", "Switch it in the directory that the server's LDAP sync reads; or let mmsync switch such accounts off with lifecycle.deactivate.delete_endpoint: true, and on again with mmsync change-locked.", EndOperator},
		{LockedByVerify, "The server demands that a new e-mail be verified, so mmsync changes none.", "", ""},
		{LoginOff, "The server has the wanted login service switched off, or has no licence for it, so nobody could log in by it.", "Switch the service on in Mattermost's system console and try it with one person; then the next run, or a new plan of mmsync migrate-auth, moves the others.", EndOperator},
		{FieldFirst, "The wanted login would lock a field that has still to be changed.", "Run mmsync sync, which changes the field, or end what keeps it; then make the plan again with mmsync migrate-auth.", EndOperator},
		{AuthNotChanged, "The account logs in otherwise than the source wants; existing logins are moved only by mmsync migrate-auth, or with auth.migrate_existing.", "", ""},
		{AccountMissing, "The linked account does not exist on the server any more.", "If it was removed on purpose, take the person out of the source; otherwise restore it. With lifecycle.on_gone: recreate a new one is created, once nothing that the line names is in the way.", EndOperator},
		{AccountUnseen, "The server's answer lacked the linked account, which proves nothing.", "The next run asks again.", EndWait},
		{NoSeats, "The server has no seat left for another active account.", "Free a seat or extend the licence.", EndOperator},
		{CallInFlight, "A run was cut off, and one of its calls may still reach the account; of two writes at once the server loses one.", "It ends by itself at the time that the line names; the next run after it decides.", EndWait},
		{ServerSetBack, "The server was set back to an earlier state, or is another one, so nothing is taken from anybody.", "The next run, which has seen everything anew, decides; mmsync approve with the run's id lets it through before.", EndWait},
		{GuardTripped, "Too many changes of this kind at once, or changes that somebody has to agree to first.", "Read what is held; if it is right, let exactly that through with mmsync approve, as the guard's message says.", EndOperator},
		{PictureUnusable, "The picture that the source has cannot be used; all else of the person goes on.", "Correct the picture in the source.", EndSource},
		{PictureRefused, "Mattermost did not take this picture; it is not sent again.", "Give the person another picture in the source.", EndSource},
		{OnHold, "An operator holds this person, the source or everything, so nothing is done.", "Run mmsync hold release with the id that the line names; if the line names a time, it ends by itself then.", EndOperator},
		{KeptOff, "An operator switched the person off, and the source does not say yet that the person has left.", "It ends by itself when the source says so; to let the person in again, run mmsync hold release with the id that the line names.", EndWait},
		{GuestUnknown, "The groups of the source could not be read, so that it is not known whether a rule makes a guest of the person; nobody is let in as a full member meanwhile.", "Mend what the run says of the source's groups.", EndSource},
		{GuestsOff, "The server's guest feature is off: it switches every guest off then, makes none and lets none in.", "If there are to be guests, switch GuestAccountsSettings.Enable on again, and the guests in Mattermost whom it switched off; if not, take the people out of the source or out of the section guests.", EndOperator},
		{GuestsUnlicensed, "The person should be a guest, and the server's licence has no guests.", "Take the person out of the section guests, or extend the licence; nobody gets an account with more rights than meant.", EndOperator},
		{GuestMixed, "The account is a guest's and holds other roles as well, which no call sorts out without losing one.", "Take either system_guest or the others away in Mattermost.", EndOperator},
		{GuestHasNoRoles, "A rule makes a guest of the person and another gives a role, and a guest has none.", "Take the person out of one of the two.", EndOperator},
		{RoleUnlicensed, "The server's licence does not have the role, so that it is not given.", "", ""},
		{NotNow, "Changes of this kind are not made now: a window of schedule.blackout is open, or the schedule of this run is not for them.", "It ends by itself at the time that the line names, or with the next run that is for such changes; for somebody who must not wait, mmsync deactivate does not.", EndWait},
		{NotDeleted, "Something speaks against deleting the account for good, as the line says, so it stays as it is.", "", ""},
		{TokensHidden, "The person is back, and the access tokens that would work again with the account are not known, so they cannot be disabled before.", "The next run asks again; if the server does not list them for mmsync's token, give its owner system_admin, or let them work again with lifecycle.reactivate.tokens: keep.", EndOperator},
	}
}

// spaceExplanations are those about teams and channels.
func spaceExplanations() []Explanation {
	return []Explanation{
		{LeftByThemselves, "The person left the team or channel, or was taken out of it in Mattermost, and is not added again; memberships.readd_removed_members: true adds people again.", "", ""},
		{GuestLeftAlone, "The person is a guest, and the teams and channels of guests are left as they are.", "", ""},
		{SpaceMissing, "The team or channel that a rule names is not on the server, or is an archived channel; once it is there, the rules apply.", "", ""},
		{SpaceWanted, "People are to be in a team or channel that is not on the server, and memberships.missing_targets says to make it.", "", ""},
		{SpaceUnmade, "The team or channel that a rule names is not on the server and has to be made first.", "It ends by itself: the run that makes the team or channel adds people to it right after. What keeps it from being made stands at its own line.", EndWait},
		{SpaceArchived, "The team or channel that a rule names is archived; once it is restored, the rules apply.", "", ""},
		{SpaceByGroups, "The team or channel is managed by groups of Mattermost's own, which alone decide who is in it.", "", ""},
		{SpaceForAll, "Everybody in the team is in this channel, and the server takes nobody out of it.", "", ""},
		{TeamFull, "The team has as many active members as the server allows.", "Raise TeamSettings.MaxUsersPerTeam on the server.", EndOperator},
		{TeamDomain, "The team takes only people with e-mails in its own domains.", "Correct the e-mail in the source, or the team's allowed domains in Mattermost.", EndOperator},
		{TeamEmail, "The person has the e-mail of the team itself, and the server would make an administrator of the team of whoever joins with it.", "Change the team's e-mail in Mattermost, or add the person there.", EndOperator},
	}
}

var explained = func() map[Reason]Explanation { //nolint:gochecknoglobals // read-only index of a constant table
	m := make(map[Reason]Explanation, 64)
	for _, e := range Explanations() {
		m[e.Reason] = e
	}
	return m
}()

// Explain gives what a reason means; the zero Explanation for an unknown one.
func (r Reason) Explain() Explanation { return explained[r] }
