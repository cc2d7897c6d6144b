// Package guard is the pure judge of plans: it says whether a plan, together
// with what was already done in the trailing window, changes more at once than
// the operator allows, and turns what is too much into visible Holds.
//
// It does not decide about single people (package plan does), it is not a
// switch: a limit can be raised, never silently turned off.
package guard

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Limits are the operator's numbers.
type Limits struct {
	Deactivations Limit
	// MinEntriesPercent: a complete read with fewer than this share of the
	// largest complete read of the last seven days counts as incomplete. 0 to 100.
	MinEntriesPercent float64
	// Window is how far back earlier changes count.
	Window time.Duration
}

// Limit allows max(Count, Percent of the base) changes.
type Limit struct {
	Count   int
	Percent float64 // of the source's linked active accounts
	// MinimumPopulation: below this base, Percent is ignored and Count alone
	// decides.
	MinimumPopulation int
}

// Allowed gives the number of changes the limit lets through on a base.
func (l Limit) Allowed(base int) int {
	if base < l.MinimumPopulation {
		return l.Count
	}
	return max(l.Count, int(l.Percent/100*float64(base)))
}

// Usage is what was already done in the window, per source.
type Usage struct {
	Deactivations map[string]int
}

// Class names a kind of change that is guarded.
type Class string

// The guarded classes.
const (
	Deactivations Class = "deactivations"
	SourceShrink  Class = "source_shrink"
)

// Trip is a guard that fired: what, how much, of how much, and why.
type Trip struct {
	Class   Class  `json:"class"`
	Source  string `json:"source"`
	Planned int    `json:"planned"`
	Before  int    `json:"before"` // in the window, before this plan
	Base    int    `json:"base"`
	Limit   int    `json:"limit"`
	// Cause is the largest group among the planned changes, in words.
	Cause   string `json:"cause"`
	Message string `json:"message"`
}

// Verdict is what Check found. Without trips the plan may go on as it is.
type Verdict struct {
	Trips []Trip `json:"trips,omitempty"`
}

// Tripped tells whether any guard fired.
func (v Verdict) Tripped() bool { return len(v.Trips) > 0 }

// Message joins the trips' sentences.
func (v Verdict) Message() string {
	var all []string
	for _, t := range v.Trips {
		all = append(all, t.Message)
	}
	return strings.Join(all, "\n")
}

// Check judges a plan. Trips come ordered by source.
func Check(p plan.Plan, u Usage, l Limits) Verdict {
	var v Verdict
	for _, s := range p.Sources {
		var causes []cause
		planned := 0
		for i := range p.Decisions {
			d := &p.Decisions[i]
			if d.Action == plan.Deactivate && d.Key.Source == s.Name {
				planned++
				causes = count(causes, d)
			}
		}
		before, limit := u.Deactivations[s.Name], l.Deactivations.Allowed(s.Linked+u.Deactivations[s.Name])
		if planned == 0 || planned+before <= limit {
			continue
		}
		t := Trip{Class: Deactivations, Source: s.Name, Planned: planned, Before: before, Base: s.Linked + before, Limit: limit}
		t.Cause = largest(causes, planned, s)
		t.Message = t.sentence(l)
		v.Trips = append(v.Trips, t)
	}
	slices.SortFunc(v.Trips, func(a, b Trip) int { return cmp.Compare(a.Source, b.Source) })
	return v
}

func (t Trip) sentence(l Limits) string {
	share := 0.0
	if t.Base > 0 {
		share = 100 * float64(t.Planned+t.Before) / float64(t.Base)
	}
	earlier := ""
	if t.Before > 0 {
		earlier = fmt.Sprintf(" (%d of them in the last %s)", t.Before, l.Window)
	}
	return fmt.Sprintf("too many deactivations from %s: %d%s of %d linked active accounts (%.2f %%), limit %d. Largest cause: %s. None of them was written. "+
		"If this is right, allow it once with: mmsync sync --max-deactivations %d",
		t.Source, t.Planned+t.Before, earlier, t.Base, share, t.Limit, t.Cause, t.Planned+t.Before)
}

// Shrunk tells whether a complete read holds so few entries, compared with the
// largest complete one of late, that it must count as incomplete; the sentence
// says so.
func Shrunk(source string, entries, largest int, l Limits) (Trip, bool) {
	if largest == 0 || float64(entries) >= l.MinEntriesPercent/100*float64(largest) {
		return Trip{}, false
	}
	t := Trip{Class: SourceShrink, Source: source, Planned: entries, Base: largest, Limit: int(l.MinEntriesPercent / 100 * float64(largest))}
	t.Cause = fmt.Sprintf("%d of %d entries are missing from the read", largest-entries, largest)
	t.Message = fmt.Sprintf("source %s shrank: %d entries now, %d in the largest complete read of the last 7 days (%.1f %%), at least %g %% expected. "+
		"Largest cause: %s (rights of the bind account, filter, base DN or a size limit). Nobody missing from it is deactivated. "+
		"Check the source with: mmsync doctor. If this is right, allow it once with: mmsync sync --min-source-entries 0",
		source, entries, largest, 100*float64(entries)/float64(largest), l.MinEntriesPercent, t.Cause)
	return t, true
}

// cause groups deactivations that have the same reason and place.
type cause struct {
	reason plan.Reason
	place  string
	n      int
}

func count(list []cause, d *plan.Decision) []cause {
	c := cause{reason: d.Reason, place: parent(d.Ref)}
	for i := range list {
		if list[i].reason == c.reason && list[i].place == c.place {
			list[i].n++
			return list
		}
	}
	c.n = 1
	return append(list, c)
}

// parent gives the container of a DN: what stands behind the first unescaped
// comma. A ref that is no DN groups under "".
func parent(ref string) string {
	for i := 0; i < len(ref); i++ {
		switch ref[i] {
		case '\\':
			i++
		case ',':
			return strings.TrimSpace(ref[i+1:])
		}
	}
	return ""
}

func largest(list []cause, planned int, s plan.SourceSummary) string {
	slices.SortFunc(list, func(a, b cause) int {
		if c := cmp.Compare(b.n, a.n); c != 0 {
			return c
		}
		return cmp.Compare(string(a.reason)+a.place, string(b.reason)+b.place)
	})
	c := list[0]
	where := ""
	if c.place != "" {
		where = fmt.Sprintf(", last under %q", c.place)
	}
	switch c.reason {
	case plan.SourceDisabled:
		return fmt.Sprintf("%d of %d are disabled in source %s%s", c.n, planned, s.Name, where)
	case plan.OutOfScope:
		return fmt.Sprintf("%d of %d are no longer selected by the filter of source %s%s", c.n, planned, s.Name, where)
	}
	last := ""
	if s.Last > 0 {
		last = fmt.Sprintf(" (last entries %d, now %d)", s.Last, s.Entries)
	}
	return fmt.Sprintf("%d of %d are missing from source %s%s%s", c.n, planned, s.Name, last, where)
}
