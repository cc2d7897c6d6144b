package identity

import (
	"fmt"
	"time"
)

// Snapshot is one source's identities at one time.
type Snapshot struct {
	Source string
	// Identities are ordered by Key; an entry that could not be mapped is here
	// with its Fault set, so that its Key counts as present. People whom the reader
	// knew to be as they were are left out.
	Identities []Identity
	// Unreadable are entries without a usable anchor. They are joined to links
	// by Ref; while one cannot be joined, absence proves nothing.
	Unreadable []Problem
	// Complete means that the listing ended without error, truncation or doubt.
	// Only then may a missing Key be believed missing.
	Complete bool
	// Incomplete says in one sentence why Complete is false: cause and next step.
	Incomplete string
	// RolesUnknown says in one sentence of how many active people the roles, teams and
	// channels are not known, and why: cause and next step; "" if of none.
	RolesUnknown string
	// Entries counts what the source answered, unreadable ones included.
	Entries int
	// Directory identifies what was read (naming context, file path), so that a
	// store is not fed from another directory by accident.
	Directory string
	// Mark is from where changes after this read can be asked for, taken before it
	// began; empty if they cannot be.
	Mark   string
	ReadAt time.Time
	Took   time.Duration
}

// RolesUnknown says that the roles of n people are not known, and why that is of the first
// of them; "" if of none.
func RolesUnknown(n int, why string) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "the roles, teams and channels of 1 person are not known and stay: " + why
	}
	return fmt.Sprintf("the roles, teams and channels of %d people are not known and stay: %s", n, why)
}

// Problem is one entry that could not be used, and where it stands.
type Problem struct {
	Ref     string // DN, file:line
	Message string // one sentence: cause and next step; no attribute values beyond what names the place
}

// Presence is a source's answer about one anchor that was missing from a read.
type Presence string

// Only PresenceGone and PresenceOutOfScope let an absence count.
const (
	PresenceUnknown    Presence = "unknown"
	PresencePresent    Presence = "present"
	PresenceOutOfScope Presence = "out_of_scope"
	PresenceGone       Presence = "gone"
)

// Finding is one line of a self-check: a part, whether it is well, and how to
// mend it.
type Finding struct {
	Part  string // "bind", "base", "canary", "token", …
	Level Level
	Text  string
	Mend  string // next step; empty if OK
}

// Level grades a Finding.
type Level string

// The grades of a Finding.
const (
	LevelOK   Level = "ok"
	LevelWarn Level = "warn"
	LevelFail Level = "fail"
)
