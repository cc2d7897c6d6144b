package guard

import (
	"fmt"
	"math"
	"time"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Limits are the operator's numbers. Each class is counted per source, over the
// trailing window.
type Limits struct {
	Deactivations Limit
	// Reactivations bounds how many accounts may be switched on again: a directory that
	// hides who is disabled shows all of them as enabled.
	Reactivations Limit
	// Creates and Updates do not count until a source's first run is completed.
	Creates Limit
	Updates Limit
	// Renames are changes of usernames.
	Renames      Limit
	EmailChanges Limit
	AuthChanges  Limit
	// AdminGrants bounds how many accounts may get a role beyond user and guest.
	AdminGrants Limit
	// RoleRemovals bounds how many accounts that stay active may lose a role.
	RoleRemovals Limit
	// MembershipAdditions bounds how many people may be added to teams and channels, or
	// made their administrators; it does not count until a source's first run is
	// completed. MembershipRemovals bounds how many may lose either.
	MembershipAdditions Limit
	MembershipRemovals  Limit
	// SpaceCreations bounds how many teams and channels may be made, by Count alone.
	SpaceCreations Limit
	// Recreations bounds how many accounts that are gone from the server may be
	// created anew.
	Recreations Limit
	// MinEntriesPercent: a complete read with fewer entries than this share of the
	// largest complete read of the last seven days, or of what else is known of
	// the source's size, counts as incomplete. 0 to 100.
	MinEntriesPercent float64
	// Window is how far back earlier changes count.
	Window time.Duration
	// Stop keeps back everything when any guard trips, not only what is too much.
	Stop bool
}

// Limit allows max(Count, Percent of the base) changes.
type Limit struct {
	Count   int
	Percent float64 // of the source's linked active accounts
	// MinimumPopulation: below this base, Percent is ignored and Count alone
	// decides.
	MinimumPopulation int
	// ByHand marks a number that somebody gave for one run: what was held before
	// counts under it like everything else.
	ByHand bool
}

// Allowed gives the number of changes the limit lets through on a base.
func (l Limit) Allowed(base int) int {
	if base < l.MinimumPopulation {
		return l.Count
	}
	// A hair more, so that 29 % of 100 are 29 whatever binary fractions say.
	return max(l.Count, int(math.Floor(l.Percent*float64(base)/100+1e-9)))
}

// rule says in words where Allowed's number comes from.
func (l Limit) rule(base int) string {
	switch {
	case l.Percent == 0:
		return ""
	case base < l.MinimumPopulation:
		return fmt.Sprintf(" (percent counts only from %d accounts on)", l.MinimumPopulation)
	case l.Count == 0:
		return fmt.Sprintf(" (%g %%)", l.Percent)
	}
	return fmt.Sprintf(" (the larger of %d and %g %%)", l.Count, l.Percent)
}

func (l Limits) of(class plan.Class) Limit {
	switch class {
	case plan.Reactivations:
		return l.Reactivations
	case plan.Creates:
		return l.Creates
	case plan.Updates:
		return l.Updates
	case plan.Renames:
		return l.Renames
	case plan.EmailChanges:
		return l.EmailChanges
	case plan.AuthChanges:
		return l.AuthChanges
	case plan.AdminGrants:
		return l.AdminGrants
	case plan.RoleRemovals:
		return l.RoleRemovals
	case plan.Recreations:
		return l.Recreations
	case plan.MembershipAdditions:
		return l.MembershipAdditions
	case plan.MembershipRemovals:
		return l.MembershipRemovals
	case plan.SpaceCreations:
		return l.SpaceCreations
	default:
		return l.Deactivations
	}
}

// An attribute is lost if more than lossPercent of the people who had it, and
// more than lossCount, would have it no longer: one field that the bind account
// may not read any more, or that somebody renamed, looks like this.
const (
	lossPercent = 10
	lossCount   = 20
)

// LossCount is up to how many people may lose an attribute without its being
// looked into.
const LossCount = lossCount

// wholeGroup is from how many people on it counts as the loss of a group that
// nobody is given their role, or their place in a team or channel, any more.
const wholeGroup = 3
