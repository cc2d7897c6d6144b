package state

import (
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// HeldItem is what a guard holds of one person until somebody decides about it,
// or the person is wanted otherwise.
type HeldItem struct {
	Key identity.Key
	Run string // in which it was first held
	Ops []plan.Op
}

// Tally counts accounts by class, each once.
type Tally map[plan.Class]map[string]bool

// Add counts an account in blank-separated classes.
func (t Tally) Add(classes, account string) {
	for c := range strings.FieldsSeq(classes) {
		if t[plan.Class(c)] == nil {
			t[plan.Class(c)] = map[string]bool{}
		}
		t[plan.Class(c)][account] = true
	}
}

// Counts gives how many there are of each class.
func (t Tally) Counts() map[plan.Class]int {
	out := make(map[plan.Class]int, len(t))
	for c, accounts := range t {
		out[c] = len(accounts)
	}
	return out
}
