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
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Limits are the operator's numbers.
type Limits struct {
	Deactivations Limit
	// RoleRemovals bounds how many accounts that stay active may lose a role.
	RoleRemovals Limit
	// Recreations bounds how many accounts that are gone from the server may be
	// created anew in one run.
	Recreations Limit
	// MinEntriesPercent: a complete read with fewer than this share of the
	// largest complete read of the last seven days, or of what else is known of
	// the source's size, counts as incomplete. 0 to 100.
	MinEntriesPercent float64
	// Window is how far back earlier deactivations count. Role removals and
	// recreations are judged run by run: what was done earlier does not count.
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

// Usage is what was already done in the window, per source.
type Usage struct {
	Deactivations map[string]int
}

// Class names a kind of change that is guarded.
type Class string

// The guarded classes.
const (
	Deactivations Class = "deactivations"
	RoleRemovals  Class = "role_removals"
	Recreations   Class = "recreations"
	SourceShrink  Class = "source_shrink"
)

func (c Class) words() string { return strings.ReplaceAll(string(c), "_", " ") }

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

// Check judges a plan. Trips come ordered by source and class. A source that
// the plan decides about without having a summary of it has a base of 0.
func Check(p plan.Plan, u Usage, l Limits) Verdict {
	causes := map[group]map[cause]int{}
	for i := range p.Decisions {
		d := &p.Decisions[i]
		class, roles := classify(*d)
		if class == "" || d.Approval != "" {
			continue
		}
		g, c := group{d.Key.Source, class}, cause{reason: d.Reason, place: parent(d.Ref)}
		if class == RoleRemovals {
			c = cause{roles: words(roles), place: c.place} // whatever else the update is about
		}
		if causes[g] == nil {
			causes[g] = map[cause]int{}
		}
		causes[g][c]++
	}
	var v Verdict
	for g, list := range causes {
		s := summary(p, g.source)
		t := measure(g.class, s, sum(list), u, l)
		if t.Planned+t.Before <= t.Limit {
			continue
		}
		t.Cause = largest(list, t.Planned, s)
		t.Message = t.sentence(l)
		v.Trips = append(v.Trips, t)
	}
	slices.SortFunc(v.Trips, func(a, b Trip) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Class, b.Class))
	})
	return v
}

// group is what has a limit of its own.
type group struct {
	source string
	class  Class
}

// classify gives the class that a decision counts in, "" for none, and the roles
// that it takes if it is about those.
func classify(d plan.Decision) (Class, identity.Roles) {
	if Counts(d) {
		return Deactivations, nil
	}
	if recreates(d) {
		return Recreations, nil
	}
	if roles := lost(d); len(roles) > 0 {
		return RoleRemovals, roles
	}
	return "", nil
}

// recreates tells whether a decision creates an account anew that is gone from
// the server: the old link goes first.
func recreates(d plan.Decision) bool {
	return d.Action == plan.Create && len(d.Ops) > 0 && d.Ops[0].Kind == plan.UnlinkAccount
}

// Counts tells whether a decision counts as a deactivation: it switches the
// account off or, where the server forbids that, does what is left to do to a
// leaver.
func Counts(d plan.Decision) bool {
	return d.Action == plan.Deactivate || (d.Action == plan.Hold && d.Held == plan.Deactivate && len(d.Ops) > 0)
}

// Summary is the line under a plan that says how near to the limits it is. It
// reads the same before and after Withhold.
func Summary(p plan.Plan, u Usage, l Limits) string {
	planned, demoted, recreated := map[string]int{}, map[string]int{}, map[string]int{}
	for _, s := range p.Sources {
		planned[s.Name] = 0
	}
	for i := range p.Decisions {
		d := &p.Decisions[i]
		switch {
		case Counts(*d) || (d.Reason == plan.GuardTripped && d.Held == plan.Deactivate):
			planned[d.Key.Source]++
		case recreates(*d) || (d.Reason == plan.GuardTripped && d.Held == plan.Create):
			recreated[d.Key.Source]++
		case len(lost(*d)) > 0 || keeps(*d):
			demoted[d.Key.Source]++
		}
	}
	var parts []string
	say := func(what string, class Class, counts map[string]int) {
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			t := measure(class, summary(p, name), counts[name], u, l)
			state := "ok"
			if t.Planned > 0 && t.Planned+t.Before > t.Limit {
				state = "tripped"
			}
			of := ""
			if len(planned) > 1 {
				of = " from " + name
			}
			parts = append(parts, fmt.Sprintf("%s%s %d of %d (%.1f %%) %s", what, of, t.Planned+t.Before, t.Limit, t.share(), state))
		}
	}
	say("deactivate", Deactivations, planned)
	say("recreate", Recreations, recreated)
	say("remove roles", RoleRemovals, demoted)
	if len(parts) == 0 {
		return "Guards: nothing to judge"
	}
	return "Guards: " + strings.Join(parts, "   ")
}

func summary(p plan.Plan, source string) plan.SourceSummary {
	for _, s := range p.Sources {
		if s.Name == source {
			return s
		}
	}
	return plan.SourceSummary{Name: source}
}

// measure compares what is planned with what is allowed. The base is what was
// active at the window's start.
func measure(class Class, s plan.SourceSummary, planned int, u Usage, l Limits) Trip {
	t := Trip{Class: class, Source: s.Name, Planned: planned, Base: s.Linked}
	if class == Deactivations {
		t.Before = u.Deactivations[s.Name]
		t.Base += t.Before
	}
	t.Limit = l.of(class).Allowed(t.Base)
	return t
}

func (l Limits) of(class Class) Limit {
	switch class {
	case RoleRemovals:
		return l.RoleRemovals
	case Recreations:
		return l.Recreations
	default:
		return l.Deactivations
	}
}

func (t Trip) share() float64 {
	if t.Base == 0 {
		return 0
	}
	return 100 * float64(t.Planned+t.Before) / float64(t.Base)
}

func (t Trip) sentence(l Limits) string {
	earlier, none := "", "None of them was written."
	if t.Before > 0 {
		earlier = fmt.Sprintf(" (%d of them were made in the last %s)", t.Before, span(l.Window))
		none = fmt.Sprintf("None of the %d new ones was written.", t.Planned)
	}
	return fmt.Sprintf("too many %s from %s: %d%s of %d linked active accounts (%.2f %%), limit %d%s. Largest cause: %s. %s "+
		"If this is right, allow it once with: mmsync sync --max-%s %d",
		t.Class.words(), t.Source, t.Planned+t.Before, earlier, t.Base, t.share(), t.Limit, l.of(t.Class).rule(t.Base), t.Cause, none,
		strings.ReplaceAll(string(t.Class), "_", "-"), t.Planned+t.Before)
}

// span writes a duration of whole hours as people do.
func span(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return d.String()
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
		"Largest cause: %s (rights of the bind account, filter, base DN or a size limit). Nobody missing from it is deactivated. "+
		"Check the source with: mmsync doctor. If this is right, let it through with: mmsync sync --min-source-entries 0 "+
		"(for this run only; with a grace, again when the grace is over)",
		source, entries, m.Count, m.What, 100*float64(entries)/float64(m.Count), l.MinEntriesPercent, t.Cause)
	return t, true
}

// cause groups changes that have the same reason, or take the same roles, and
// the same place.
type cause struct {
	reason plan.Reason
	roles  string
	place  string
}

func (c cause) compare(o cause) int {
	return cmp.Or(cmp.Compare(c.reason, o.reason), cmp.Compare(c.roles, o.roles), cmp.Compare(c.place, o.place))
}

// words lists roles in a sentence.
func words(r identity.Roles) string { return strings.Join(r, ", ") }

func sum(list map[cause]int) int {
	n := 0
	for _, k := range list {
		n += k
	}
	return n
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

// largest says in words which cause has most of the planned changes.
func largest(list map[cause]int, planned int, s plan.SourceSummary) string {
	var c cause
	for k, n := range list {
		if n > list[c] || (n == list[c] && k.compare(c) < 0) {
			c = k
		}
	}
	where := ""
	if c.place != "" {
		where = fmt.Sprintf(", last under %q", c.place)
	}
	head := fmt.Sprintf("%d of %d", list[c], planned)
	if c.roles != "" {
		return fmt.Sprintf("%s would lose %s, which no role rule of source %s gives them any more%s (a group that is empty, was renamed or hides its members looks like this)",
			head, c.roles, s.Name, strings.Replace(where, "last under", "under", 1))
	}
	switch c.reason {
	case plan.SourceDisabled:
		return fmt.Sprintf("%s are disabled in source %s%s", head, s.Name, strings.Replace(where, "last under", "under", 1))
	case plan.SourceDeleted:
		return fmt.Sprintf("%s were deleted in source %s%s", head, s.Name, where)
	case plan.OutOfScope:
		return fmt.Sprintf("%s are no longer selected by the filter of source %s%s", head, s.Name, where)
	case plan.Recreated:
		return fmt.Sprintf("%s are people of source %s whose accounts are gone from the server%s (a server that was set back to an earlier state, or cleaned up by hand, looks like this)",
			head, s.Name, strings.Replace(where, "last under", "under", 1))
	case plan.LockedByLDAP:
		return fmt.Sprintf("%s have left source %s and would lose their sessions and rights%s", head, s.Name, where)
	default: // missing
	}
	last := ""
	if s.Last > 0 {
		last = fmt.Sprintf(" (last entries %d, now %d)", s.Last, s.Entries)
	}
	return fmt.Sprintf("%s are missing from source %s%s%s", head, s.Name, last, where)
}
