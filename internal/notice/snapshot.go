package notice

import (
	"time"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Limits say from when something is worth telling. A zero time or number switches
// its kind off.
type Limits struct {
	LeaverHeldAfter time.Duration // a leaver's account is still on
	RunsFailed      int           // runs in a row
	SourceStale     time.Duration // since the last complete read
	IDPSilent       time.Duration // since the last request
	SeatsLeft       int           // so many or fewer
	ExpiringWithin  time.Duration
	LeftBehind      bool // leavers left something behind that works on
	Leavers         bool // somebody has left
}

// Snapshot is what is known at one moment.
type Snapshot struct {
	Now time.Time
	// Runs are the syncs that ended, newest first, without second looks and such as
	// worked on a part of the people.
	Runs []state.Run
	// Held is what guards hold of people until somebody decides.
	Held []state.HeldItem
	// Asked counts, by reason, the people whose changes wait for somebody's word, and
	// Run is the newest one that held them; "" if pushes alone did.
	Asked map[plan.Reason]int
	Run   string
	// Leavers are those who should be off and are still on, and have been for
	// Limits.LeaverHeldAfter.
	Leavers []Leaver
	Sources []Source
	Ends    []End
	// Server is what Mattermost says; nil if it was not asked or did not answer.
	Server *Server
	// Undone are people from whom mmsync took something that came back each time.
	Undone []Leaver
	// Left is what leavers left behind that works on, and LeftKnown says that somebody
	// could look.
	Left      []LeftBehind
	LeftKnown bool
	// LeftLooked is when that was.
	LeftLooked time.Time
	// Departed are people who have left of late.
	Departed []Departed
	History  History
}

// History is whether the store is the one whose history was sealed.
type History struct {
	// Restored tells that it is an older copy, or another store.
	Restored bool
	// Refused tells that its history cannot be gone on with for another reason: the key
	// that sealed it is not there.
	Refused bool
	// Unsealed is when the run ended that could not seal what it did, and that no other
	// has made up for; zero if there is none.
	Unsealed time.Time
}

// Leaver is somebody of a source.
type Leaver struct {
	Source   string
	Username string // "" if not known
}

// Source is how a source was read, or asked, last.
type Source struct {
	Name string
	// Pushed tells that identity providers push to it: it is not read.
	Pushed bool
	// Read is when it was read last, or that was tried, Complete when it was read
	// completely last; zero for never. Of a source that is pushed neither counts.
	Read, Complete time.Time
	// Since is the first try after Complete; if there was none, when somebody began to
	// look for one.
	Since time.Time
	// Request is when a client of a source that is pushed asked last, or could ask
	// first; zero if that is not known.
	Request time.Time
}

// End is something that ends by itself.
type End struct {
	Key  string // unique among ends
	What string // "the SCIM token x of source y"
	At   time.Time
	// Next and Command say what to do; Command may be "".
	Next, Command string
}

// Server is what Mattermost says about itself.
type Server struct {
	// TokenDead is true if it does not take mmsync's token; nothing else is known then.
	TokenDead bool
	SeatsLeft int // negative: no limit
}
