package plan

// Reason is why a Decision is as it is. The list is closed; each has its
// sentence and names who can end it.
type Reason string

// Reasons for doing something.
const (
	Wanted         Reason = "wanted"          // in the source, no account yet
	Differs        Reason = "differs"         // the account is not as the source wants it
	Drifted        Reason = "drifted"         // somebody changed it in Mattermost
	Returned       Reason = "returned"        // back in the source, and we had switched it off
	SameIntent     Reason = "same_intent"     // our own creation whose answer was lost
	SameAuthData   Reason = "same_auth_data"  // same login service and exact value
	SourceDisabled Reason = "source_disabled" // the source says the person has left
	SourceMissing  Reason = "source_missing"  // no longer in the source
	OutOfScope     Reason = "out_of_scope"    // still in the directory, no longer selected
	SourceDeleted  Reason = "source_deleted"  // the source said delete
	AccountGone    Reason = "account_gone"    // left the source, and the account is gone as well
	Settled        Reason = "settled"         // nothing differs
	NotActiveYet   Reason = "not_active"      // disabled in the source and never had an account
	AlreadyOff     Reason = "already_off"     // has left and is switched off
	Kept           Reason = "kept"            // the policy keeps it as it is
)

// Reasons for holding something back.
const (
	InGrace          Reason = "in_grace"
	ReadIncomplete   Reason = "read_incomplete"
	Unconfirmed      Reason = "unconfirmed"
	StillPresent     Reason = "still_present"
	EntryFault       Reason = "entry_fault"
	NameRefused      Reason = "name_refused"
	NameReserved     Reason = "name_reserved"
	UsernameTaken    Reason = "username_taken"
	EmailTaken       Reason = "email_taken"
	AuthDataTaken    Reason = "auth_data_taken"
	Contested        Reason = "contested"
	WaitsForOther    Reason = "waits_for_other"
	MatchNeedsWord   Reason = "match_needs_approval"
	Protected        Reason = "protected"
	LastAdmin        Reason = "last_admin"
	NeedsApproval    Reason = "needs_approval"
	DeactivatedOther Reason = "deactivated_by_other"
	LockedByLogin    Reason = "locked_by_login_service"
	LockedByLDAP     Reason = "locked_by_ldap"
	LockedByVerify   Reason = "locked_by_email_verification"
	AccountMissing   Reason = "account_missing"
	AccountUnseen    Reason = "account_unseen"
	NoSeats          Reason = "no_seats"
	AuthNotChanged   Reason = "auth_not_changed"
	GuardTripped     Reason = "guard_tripped"
	LinkedElsewhere  Reason = "linked_elsewhere"
)
