package guard

import (
	"fmt"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Usage is what is known besides the plan: what was already done in the window,
// what is held, and how much there is to lose.
type Usage struct {
	// Done counts, by source and class, the accounts that were changed in the
	// window without an approval.
	Done map[string]map[plan.Class]int
	// New are sources of which no run was ever completed: creations and updates
	// do not count there yet.
	New map[string]bool
	// Held is what the guards held in earlier runs, by Key.
	Held map[identity.Key]Held
	// Again are people whose account would be switched off once more after it was
	// switched off in the window and somebody undid that: they are among Done already.
	Again map[identity.Key]bool
	// Had is how many linked people of a source have something in a field, those
	// included who are to lose it. Needed only where more than LossCount lose it.
	Had map[string]map[plan.Field]int
	// Holders is how many linked people of a source have a role or, by the field of a
	// space, were given a place in a team or channel, those included who are to lose it.
	// Without it no loss of a group is seen.
	Holders map[string]map[string]int
	// Rules says that the configuration changed; nil if it did not.
	Rules *Rules
	// Strangers is how many active people of the server mmsync does not know, if
	// no run ever went over it; 0 if one did.
	Strangers int
}

// repeats tells whether what somebody's decision has of a class is no new change.
func (u *Usage) repeats(k identity.Key, class plan.Class) bool {
	return class == plan.Deactivations && u.Again[k]
}

// Held is what a guard holds of one person until somebody decides about it.
type Held struct {
	Run string // in which it was first held
	Ops []plan.Op
}

// Rules tells what the change of the configuration is to blame for.
type Rules struct {
	// Since is the last run that was completed before the change.
	Since string
	// Everybody says that this run is the first since: whoever goes, goes because
	// of it. Otherwise Keys are those who were first missed in the first run since.
	Everybody bool
	Keys      map[identity.Key]bool
}

func (r *Rules) blamed(d *plan.Decision) bool {
	return r != nil && (r.Everybody || r.Keys[d.Key])
}

// Measure is what the size of a read is compared with.
type Measure struct {
	Count int // 0 = nothing is known
	// What says in words what was counted, behind the number.
	What string
}

// Shrunk tells whether a complete read holds so few entries, compared with what
// is known of before, that it must count as incomplete; the sentence says so.
func Shrunk(source string, entries int, m Measure, l Limits) (Trip, bool) {
	if m.Count <= 0 || float64(entries) >= l.MinEntriesPercent/100*float64(m.Count) {
		return Trip{}, false
	}
	t := Trip{Class: SourceShrink, Source: source, Planned: entries, Base: m.Count, Limit: int(l.MinEntriesPercent / 100 * float64(m.Count))}
	t.Cause = fmt.Sprintf("%d of %d are missing from the read", m.Count-entries, m.Count)
	t.Message = fmt.Sprintf("source %s shrank: %d entries now, %d %s (%.1f %%), at least %g %% expected. "+
		"Largest cause: %s (rights of the bind account, filter, base DN or a size limit)."+spared+
		" Check the source with: mmsync doctor. If this is right, let it through with: mmsync sync --min-source-entries 0 "+
		"(for this run only; with a grace, again when the grace is over)",
		source, entries, m.Count, m.What, 100*float64(entries)/float64(m.Count), l.MinEntriesPercent, t.Cause)
	return t, true
}
