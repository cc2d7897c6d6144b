package guard

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// next is the step that every sentence ends with.
const next = "Read it with: mmsync history " + Run + ". If this is right, let exactly these through with: mmsync approve " + Run + ` --reason "…"`

// noun names a class in a sentence.
func noun(c plan.Class) string {
	if f, ok := c.Lost(); ok {
		return "losses of " + name(f)
	}
	switch c {
	case plan.EmailChanges:
		return "e-mail changes"
	case plan.AuthChanges:
		return "changes of logins"
	case plan.AdminGrants:
		return "grants of rights"
	case plan.SpaceCreations:
		return "new teams and channels"
	default:
		return strings.ReplaceAll(string(c), "_", " ")
	}
}

// name writes a field as people do.
func name(f plan.Field) string {
	if f == plan.Field(identity.Email) {
		return "e-mail"
	}
	return strings.ReplaceAll(string(f), "_", " ")
}

// its says what a group gives that is counted in a class.
func its(c plan.Class) string {
	if c == plan.MembershipRemovals {
		return "its place in a team or channel"
	}
	return "its role"
}

// what names the accounts that Base counts.
func (t Trip) what() string {
	if f, ok := t.Class.Lost(); ok {
		return "people of the source who had a " + name(f)
	}
	return "linked active accounts"
}

func (t Trip) sentence(l Limits, run string) string {
	total, none := t.Planned+t.Before, "None of them was written."
	var parts []string
	if t.Before > 0 {
		parts = append(parts, fmt.Sprintf("%d of them were made in the last %s", t.Before, span(l.Window)))
		none = fmt.Sprintf("None of the %d new ones was written.", t.Planned)
	}
	head := fmt.Sprintf("too many %s from %s: %d", noun(t.Class), t.Source, total)
	switch {
	case t.Held == t.Planned && t.Held > 0:
		head = fmt.Sprintf("%s from %s stay held, for a guard held them in run %s and nobody has decided about them yet: %d", noun(t.Class), t.Source, run, total)
	case t.group:
		head = fmt.Sprintf("a whole group of %s would lose %s: %d", t.Source, its(t.Class), total)
	}
	if t.Held > 0 && t.Held < t.Planned {
		parts = append(parts, fmt.Sprintf("%d were held before, the first in run %s", t.Held, run))
	}
	if len(parts) > 0 {
		head += " (" + strings.Join(parts, ", ") + ")"
	}
	rule := fmt.Sprintf(" (more than %d, and %d %%)", lossCount, lossPercent)
	if _, ok := t.Class.Lost(); !ok {
		rule = l.of(t.Class).rule(t.Base)
	}
	why := ""
	if t.Cause != "" {
		why = " Largest cause: " + t.Cause + "."
	}
	if t.Class == plan.SpaceCreations { // which has nothing to do with how many people there are
		return fmt.Sprintf("%s, limit %d.%s %s %s", head, t.Limit, why, none, next)
	}
	return fmt.Sprintf("%s of %d %s (%.2f %%), limit %d%s.%s %s %s", head, t.Base, t.what(), t.share(), t.Limit, rule, why, none, next)
}

// steps begin what a sentence tells to do.
var steps = []string{" Read it with: ", " Check the source with: "} //nolint:gochecknoglobals // read-only

// Notice parts the trip's sentence into what happened, without the places where it
// did, and what to do about it.
func (t Trip) Notice() (text, next string) {
	text = strings.Replace(t.Message, " Largest cause: "+t.Cause+".", "", 1)
	text = strings.Replace(text, t.where, "", 1)
	for _, s := range steps {
		if at := strings.Index(text, s); at >= 0 {
			return text[:at], strings.TrimSpace(text[at:])
		}
	}
	return text, ""
}

// tooMany says at one person why he is held.
func tooMany(t *Trip) string {
	switch t.Class {
	case ScopeChange:
		return "the configuration has changed, and nobody has agreed yet to whom it removes"
	case FirstRun:
		return "this is the first run on a server that has people, and nobody has agreed to it yet"
	default:
	}
	if t.Held == t.Planned && t.Held > 0 {
		if t.Class == plan.SpaceCreations {
			return "a guard held it in an earlier run, and nobody has decided yet"
		}
		return fmt.Sprintf("a guard held it in an earlier run, with the %s of %d accounts of %s, and nobody has decided yet", noun(t.Class), t.Planned, t.Source)
	}
	if t.group {
		return "everybody of " + t.Source + " who has it by the group would lose " + its(t.Class)
	}
	return fmt.Sprintf("%d %s from %s are too many at once, limit %d", t.Planned+t.Before, noun(t.Class), t.Source, t.Limit)
}

// one writes a number with what it counts.
func one(n int, single, more string) string {
	if n == 1 {
		return "1 " + single
	}
	return fmt.Sprintf("%d %s", n, more)
}

// span writes a duration of whole hours as people do.
func span(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return d.String()
}

// verbs are what the line about the guards calls the classes. Those behind the
// first three are named once half of the limit is used.
var verbs = []struct { //nolint:gochecknoglobals // read-only
	class plan.Class
	verb  string
}{
	{plan.Deactivations, "deactivate"},
	{plan.Recreations, "recreate"},
	{plan.RoleRemovals, "remove roles"},
	{plan.Reactivations, "reactivate"},
	{plan.AdminGrants, "grant roles"},
	{plan.Creates, "create"},
	{plan.Updates, "update"},
	{plan.Renames, "rename"},
	{plan.EmailChanges, "change e-mails"},
	{plan.AuthChanges, "change logins"},
	{plan.MembershipRemovals, "take out of teams"},
	{plan.MembershipAdditions, "add to teams"},
	{plan.SpaceCreations, "make teams and channels"},
}

// Summary is the line under a plan that says how near to the limits it is. It
// reads the same before and after Withhold.
func Summary(p plan.Plan, u Usage, l Limits) string {
	whole := p
	whole.Decisions = make([]plan.Decision, len(p.Decisions))
	for i := range p.Decisions {
		whole.Decisions[i] = restored(p.Decisions[i])
	}
	counted := count(whole, u, map[string]map[string]bool{})
	sources := map[string]bool{}
	for _, s := range p.Sources {
		sources[s.Name] = true
	}
	for g := range counted {
		sources[g.source] = true
	}
	var parts []string
	for at, x := range verbs {
		for _, name := range slices.Sorted(maps.Keys(sources)) {
			n := counted[group{name, x.class}]
			if n == nil && (x.class != plan.Deactivations || !listed(p, name)) {
				continue
			}
			planned, held := 0, 0
			if n != nil {
				if planned = len(n.keys); !l.of(x.class).ByHand {
					held = len(n.held)
				}
			}
			t := measure(x.class, summary(p, name), planned, u, l)
			state := "ok"
			switch {
			case planned > held && planned-held+t.Before > t.Limit:
				state = "tripped"
			case held > 0:
				state = "held"
			case at > 2 && 2*(planned+t.Before) <= t.Limit:
				continue
			}
			of := ""
			if len(sources) > 1 {
				of = " from " + name
			}
			share := ""
			if s := t.share(); s <= 100 { // else most of the people came within the window
				share = fmt.Sprintf(" (%.1f %%)", s)
			}
			parts = append(parts, fmt.Sprintf("%s%s %d of %d%s %s", x.verb, of, t.Planned+t.Before, t.Limit, share, state))
		}
	}
	if len(parts) == 0 {
		return "Guards: nothing to judge"
	}
	return "Guards: " + strings.Join(parts, "   ")
}

func listed(p plan.Plan, source string) bool {
	return slices.ContainsFunc(p.Sources, func(s plan.SourceSummary) bool { return s.Name == source })
}

// restored gives a decision as it was before a guard held it.
func restored(d plan.Decision) plan.Decision {
	if !keptBack(&d) {
		return d
	}
	if d.Reason == plan.GuardTripped {
		d.Action = d.Held
	}
	d.Ops = slices.Concat(d.Withheld, d.Ops)
	return d
}

// keptBack tells whether Withhold was at work on a decision.
func keptBack(d *plan.Decision) bool {
	return len(d.Withheld) > 0 && (d.Reason == plan.GuardTripped ||
		slices.ContainsFunc(d.Notes, func(n plan.Note) bool { return n.Reason == plan.GuardTripped }))
}

// cause groups changes that have the same reason, or change the same, and the
// same place.
type cause struct {
	reason plan.Reason
	what   string // the roles, the fields, the login service
	place  string
}

func (c cause) compare(o cause) int {
	return cmp.Or(cmp.Compare(c.reason, o.reason), cmp.Compare(c.what, o.what), cmp.Compare(c.place, o.place))
}

// mostNamed is how many things a cause names.
const mostNamed = 8

func causeOf(d *plan.Decision, class plan.Class) cause {
	c := cause{place: parent(d.Ref)}
	switch class {
	case plan.Deactivations, plan.Reactivations, plan.Recreations:
		c.reason = d.Reason
		return c
	case plan.Creates:
		return c
	default:
	}
	var what []string
	for op := range d.Ops {
		switch class {
		case plan.RoleRemovals:
			if d.Ops[op].Kind == plan.Demote {
				what = append(what, membership)
			} else {
				what = append(what, d.Removed(op)...)
			}
		case plan.AdminGrants:
			if d.Ops[op].Kind == plan.Promote {
				what = append(what, membership)
			}
			what = append(what, d.Granted(op)...)
		case plan.MembershipAdditions, plan.MembershipRemovals:
			if space, _, _, ok := d.Ops[op].Space(); ok && slices.Contains(plan.Classes(d, op), class) {
				what = append(what, strconv.Quote(space))
			}
		case plan.AuthChanges:
			if to, ok := d.Ops[op].To(plan.FieldAuthService); ok && d.Ops[op].Kind == plan.SetAuth {
				what = append(what, to)
			}
		default:
			o := &d.Ops[op]
			for i := range o.Changes {
				if o.Kind == plan.PatchProfile && counts(o, i, class) {
					what = append(what, name(o.Changes[i].Field))
				}
			}
		}
	}
	slices.Sort(what)
	if what = slices.Compact(what); len(what) > mostNamed {
		what = append(what[:mostNamed:mostNamed], "and more")
	}
	c.what = strings.Join(what, ", ")
	return c
}

// membership stands for the roles in a cause that is about guests.
const membership = "full membership"

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

// most gives the cause that has most of the changes, and how many.
func most(list map[cause]int) (c cause, n int) {
	for k, m := range list {
		if m > n || (m == n && k.compare(c) < 0) {
			c, n = k, m
		}
	}
	return c, n
}

// largest says in words which cause has most of the planned changes.
func largest(list map[cause]int, class plan.Class, planned int, s plan.SourceSummary) string {
	c, n := most(list)
	last, now := "", ""
	if c.place != "" {
		last, now = fmt.Sprintf(", last under %q", c.place), fmt.Sprintf(", under %q", c.place)
	}
	head := fmt.Sprintf("%d of %d", n, planned)
	if f, ok := class.Lost(); ok {
		return fmt.Sprintf("%s have no %s in source %s any more%s (an attribute that was renamed, or that the bind account may not read, looks like this)", head, name(f), s.Name, now)
	}
	if c.what == membership {
		if class == plan.AdminGrants {
			return fmt.Sprintf("%s would become full members, for no rule of source %s makes guests of them any more%s (a group that is empty, was renamed or hides its members looks like this)", head, s.Name, now)
		}
		return fmt.Sprintf("%s would become guests, by a rule of source %s%s", head, s.Name, now)
	}
	switch class {
	case plan.Creates:
		return fmt.Sprintf("%s are in source %s and have no account%s", head, s.Name, now)
	case plan.Reactivations:
		return fmt.Sprintf("%s are back in source %s%s", head, s.Name, now)
	case plan.SpaceCreations:
		return ""
	case plan.AdminGrants:
		return fmt.Sprintf("%s would be given %s, by a role rule of source %s%s", head, c.what, s.Name, now)
	case plan.AuthChanges:
		return fmt.Sprintf("%s would log in by %s%s", head, c.what, now)
	case plan.MembershipAdditions:
		return fmt.Sprintf("%s would be added to %s, or made its administrator, by rules of source %s%s", head, c.what, s.Name, now)
	case plan.MembershipRemovals:
		return fmt.Sprintf("%s would lose %s, which no rule of source %s about teams and channels gives them any more%s (a group that is empty, was renamed or hides its members looks like this)",
			head, c.what, s.Name, now)
	case plan.Updates, plan.Renames, plan.EmailChanges:
		return fmt.Sprintf("%s have another %s in source %s%s", head, c.what, s.Name, now)
	default:
	}
	if c.what != "" {
		return fmt.Sprintf("%s would lose %s, which no role rule of source %s gives them any more%s (a group that is empty, was renamed or hides its members looks like this)",
			head, c.what, s.Name, now)
	}
	switch c.reason {
	case plan.SourceDisabled:
		return fmt.Sprintf("%s are disabled in source %s%s", head, s.Name, now)
	case plan.SourceDeleted:
		return fmt.Sprintf("%s were deleted in source %s%s", head, s.Name, last)
	case plan.OutOfScope:
		return fmt.Sprintf("%s are no longer selected by the filter of source %s%s", head, s.Name, last)
	case plan.Recreated:
		return fmt.Sprintf("%s are people of source %s whose accounts are gone from the server%s (a server that was set back to an earlier state, or cleaned up by hand, looks like this)",
			head, s.Name, now)
	case plan.LockedByLDAP:
		return fmt.Sprintf("%s have left source %s and would lose their sessions and rights%s", head, s.Name, last)
	default: // missing
	}
	size := ""
	if s.Last > 0 {
		size = fmt.Sprintf(" (last entries %d, now %d)", s.Last, s.Entries)
	}
	return fmt.Sprintf("%s are missing from source %s%s%s", head, s.Name, size, last)
}
