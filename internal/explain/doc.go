// Package explain puts into words what is known about one person: what happens, why,
// and who has to do what. The command line and the status page show the same Sheet. It
// asks nobody anything and decides nothing: the engine gives the Explanation, the
// source its entry.
package explain

import (
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/sources"
)

// UnmanagedMeaning is why nothing happens to an account that nobody owns.
const UnmanagedMeaning = "No source lists this person and mmsync does not own the account, so it never changes it."

// Person is an Explanation with what the source's entry says.
type Person struct {
	reconcile.Explanation
	// Everything shows the attributes as well that the mapping does not read.
	Everything bool
	// Entry is nil if there is none, or it was not looked at.
	Entry *Entry
	// Recalled, if not nil, is all that there is: what the store knows, for nobody could
	// be asked.
	Recalled *reconcile.Recollection
	// Unread says why there is no Entry, though the source has one.
	Unread string
}

// Attribute is one attribute of an entry, fit to be shown: secrets and pictures
// are left out, long values cut.
type Attribute struct {
	Name   string   `json:"name"`
	Values []string `json:"values,omitempty"`
	// Kept says why values are not shown, or how many more there are.
	Kept string `json:"kept,omitempty"`
	// Used tells whether the mapping reads it.
	Used bool `json:"used"`
}

// Entry is one person's entry and what the mapping makes of it.
type Entry struct {
	Ref        string
	Attributes []Attribute
	Groups     []string
	Steps      []sources.Step
}
