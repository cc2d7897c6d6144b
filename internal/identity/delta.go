package identity

import "time"

// Delta is what a source says has changed since an earlier read of it. It adds
// and changes people; it never proves an absence: whoever it lacks is as he was.
type Delta struct {
	Source string
	// Identities are people who were added or changed, ordered by Key, at least; a
	// source may repeat some who did not.
	Identities []Identity
	// Gone are anchors that the source says are deleted, or not in scope any more,
	// sorted. They are hints: each has to be confirmed by asking about it.
	Gone []string
	// Unreadable are changed entries without a usable anchor.
	Unreadable []Problem
	// Full says in one sentence why only a full read can tell what changed, as when
	// the mark is another server's; everything else is empty then.
	Full string
	// Mark is where to go on from, once all of this was carried out.
	Mark string
	// Entries counts what the source answered, unreadable ones included.
	Entries int
	// Directory is as in Snapshot.
	Directory string
	ReadAt    time.Time
	Took      time.Duration
}
