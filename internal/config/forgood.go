package config

import (
	"fmt"
	"time"
)

// PermanentDelete says whether mmsync delete-accounts may delete the accounts of people
// who left for good. No run does.
type PermanentDelete struct {
	Enabled bool `yaml:"enabled"`
	// After is how long an account must have been off, 30 days at least.
	After time.Duration `yaml:"after"`
	// Max is how many accounts may be deleted within guards.window, 1 to 1000.
	Max int `yaml:"max"`
}

// shortestBeforeDeletion is a month: whoever comes back within that finds his account.
const shortestBeforeDeletion = 30 * day

// mostDeleted keeps a slip from emptying a server.
const mostDeleted = 1000

func (v *validator) permanentDelete(p *PermanentDelete) {
	const at = "lifecycle.permanent_delete"
	if p.After < shortestBeforeDeletion {
		v.fault(at+".after", "want at least 30d, found "+formatDuration(p.After), "whoever comes back finds no account, and nothing of what he wrote")
	}
	if p.Max < 1 || p.Max > mostDeleted {
		v.fault(at+".max", fmt.Sprintf("want 1 to %d, found %d", mostDeleted, p.Max), "to delete no account at all, write enabled: false")
	}
}
