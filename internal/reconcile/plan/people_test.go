package plan_test

import (
	"github.com/mmsync/mmsync/internal/identity"
)

// people does what the engine does with the people whom somebody's source names: it gives
// their accounts, and counts those of whom none is known that is on.
func (w *world) people(d *identity.Identity, unknown map[string]int) map[string]string {
	known := map[string]string{}
	for name, anchor := range d.People {
		l := w.links[identity.Key{Source: d.Key.Source, Anchor: anchor}]
		switch {
		case anchor == "":
			known[name] = ""
		case l != nil && w.accounts[l.AccountID] != nil && w.accounts[l.AccountID].Active():
			known[name] = l.AccountID
		case d.Active:
			unknown[name]++
		}
	}
	return known
}
