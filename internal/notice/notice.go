package notice

import (
	"slices"
	"time"
)

// Kind is what a Notice is about. The list is closed.
type Kind string

// The kinds of Notice.
const (
	GuardTripped   Kind = "guard_tripped"         // a guard holds something back
	ApprovalNeeded Kind = "approval_needed"       // changes or matches wait for somebody's word
	LeaverHeld     Kind = "leaver_held"           // somebody has left, and the account is still on
	RunsFailing    Kind = "runs_failing"          // the last runs failed, one after another
	SourceStale    Kind = "source_stale"          // the last complete read of a source is old
	SourceDegraded Kind = "source_degraded"       // the last read of a source was not complete
	Expiring       Kind = "expiring"              // a token, a certificate or a licence ends soon
	SeatsGone      Kind = "seats_nearly_gone"     // few seats are left on the server
	IDPSilent      Kind = "idp_silent"            // an identity provider has not asked for long
	TokenDead      Kind = "mattermost_token_dead" // Mattermost does not take mmsync's token
	TakenBack      Kind = "taken_back"            // what mmsync takes from accounts comes back each time
	LeftOver       Kind = "left_behind"           // what leavers left behind works on
	Left           Kind = "left"                  // somebody has left and was switched off
	StoreRestored  Kind = "store_restored"        // the store was put back, or is another one
	NotSealed      Kind = "history_not_sealed"    // what was done is not sealed, or cannot be
	Test           Kind = "test"                  // somebody tries whether a receiver hears
)

// Kinds lists every Kind once.
func Kinds() []Kind {
	return []Kind{
		GuardTripped, ApprovalNeeded, LeaverHeld, RunsFailing, SourceStale, SourceDegraded, Expiring, SeatsGone, IDPSilent, TokenDead,
		TakenBack, LeftOver, Left, StoreRestored, NotSealed, Test,
	}
}

// once tells a kind of what happens and does not last: it is told one time, and nobody is
// told of its end.
func (k Kind) once() bool { return k == Left }

// Severity is how soon somebody should look.
type Severity string

// The severities.
const (
	Warn  Severity = "warn"  // within a day
	Alarm Severity = "alarm" // now: somebody may be in who should be out, or nothing goes on
)

// reaches tells whether s is at least as severe as least; the zero least is Warn.
func (s Severity) reaches(least Severity) bool { return s == Alarm || least != Alarm }

// Notice is something that somebody should hear of. But for People and Departed nothing in it
// names a person, an address or a value of anybody.
type Notice struct {
	Kind Kind
	// Key is what it is about: of two notices with one Key the second is the same
	// one, later.
	Key      string
	Severity Severity
	// Text says what is the matter and Next what to do about it, one sentence each.
	// Parts of both come from outside: a receiver that renders anything neutralises
	// them.
	Text, Next string
	// Command is to be copied into a shell; "" if Next says it all.
	Command string
	// Link is where to see more, from the configuration; may be "".
	Link string
	// Count is how many people it is about; 0 if about none in particular.
	Count int
	// People are the usernames of some of them, for receivers that may know.
	People []string
	// Departed is who has left, for receivers that may know; nil of any other kind, and of
	// several. Things counts what they own and works on, "" if nothing is known to.
	Departed *Departed
	Things   string
	// At is when it was found.
	At time.Time
	// Over says that it has ended.
	Over bool

	// covers are the notices that it is told in the place of.
	covers []Notice
}

// mostPeople is how many people a Notice names.
const mostPeople = 10

// clone is a copy that shares nothing.
func (n Notice) clone() Notice {
	n.People = slices.Clone(n.People)
	return n
}
