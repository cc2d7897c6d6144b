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
	"strconv"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// The classes that are no ops'.
const (
	SourceShrink plan.Class = "source_shrink"
	ScopeChange  plan.Class = "scope_change" // people would go because the configuration changed
	FirstRun     plan.Class = "first_run"    // nobody has agreed yet to what mmsync would do to this server
)

// Trip is a guard that fired: what, how much, of how much, and why.
type Trip struct {
	Class   plan.Class `json:"class"`
	Source  string     `json:"source"` // "" for FirstRun
	Planned int        `json:"planned"`
	// Held is how many of Planned were held in an earlier run.
	Held   int `json:"held,omitempty"`
	Before int `json:"before"` // in the window, before this plan
	Base   int `json:"base"`
	Limit  int `json:"limit"`
	// Cause is the largest group among the planned changes, in words.
	Cause string `json:"cause"`
	// Place is where most of those were last who have gone from their source, as a DN.
	Place   string `json:"place,omitempty"`
	Message string `json:"message"`

	// only are the people whom the trip keeps back; nil = all of the class.
	only map[identity.Key]bool
	// where is the part of Message that names Place, unless Cause does.
	where string
	// again are people whom no trip keeps back, for it is no new change.
	again map[identity.Key]bool
	// group says that a whole group loses its role, however few that are.
	group bool
}

// holds tells whether a trip keeps back what a decision has of its class.
func (t *Trip) holds(d *plan.Decision) bool {
	return (t.Source == d.Key.Source || t.Class == FirstRun) && (t.only == nil || t.only[d.Key]) && !t.again[d.Key]
}

// Verdict is what Check found. Without trips the plan may go on as it is.
type Verdict struct {
	Trips []Trip `json:"trips,omitempty"`
	// Stop says that with a trip nothing goes on at all.
	Stop bool `json:"stop,omitempty"`
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

// Run stands in the sentences for the id of the run, until Of puts it in.
const Run = "RUN"

// Of puts the id of the run into the sentences.
func (v Verdict) Of(run string) Verdict {
	v.Trips = slices.Clone(v.Trips)
	for i := range v.Trips {
		for _, command := range []string{"mmsync history ", "mmsync approve "} {
			v.Trips[i].Message = strings.ReplaceAll(v.Trips[i].Message, command+Run, command+run)
		}
	}
	return v
}

// group is what has a limit of its own.
type group struct {
	source string
	class  plan.Class
}

// tally is what a plan has of one group.
type tally struct {
	keys   map[identity.Key]bool
	held   map[identity.Key]bool // those of them that were held before
	run    string                // in which the first of those was held
	causes map[cause]int
	// gone counts who loses what groups give: a role, or the field of a space.
	gone map[string]int
}

// Check judges a plan. Trips come ordered by source and class. A source that
// the plan decides about without having a summary of it has a base of 0.
func Check(p plan.Plan, u Usage, l Limits) Verdict { return CheckPart(p, p, u, l) }

// CheckPart judges a part of a plan. What it does is counted in the part alone; but
// a field or a group that vanished shows in the whole only, and taken one by one its
// people would all pass.
func CheckPart(p, whole plan.Plan, u Usage, l Limits) Verdict {
	v := Verdict{Stop: l.Stop}
	if t, ok := first(p, u); ok {
		v.Trips = append(v.Trips, t)
	}
	given := map[string]map[string]bool{}
	all := count(whole, u, given)
	counted := count(p, u, map[string]map[string]bool{})
	for g, n := range counted {
		s := summary(p, g.source)
		judged := n
		if _, loss := g.class.Lost(); all[g] != nil && (loss || all[g].emptied(g, u, given[g.source]) != "") {
			judged = all[g]
		}
		if t, ok := judged.judge(g, s, u, l, given[g.source]); ok && n.has(t.only) {
			v.Trips = append(v.Trips, t)
		}
	}
	v.Trips = append(v.Trips, scope(p, u, counted)...)
	slices.SortFunc(v.Trips, func(a, b Trip) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Class, b.Class))
	})
	return v
}

// count sorts what a plan does by what has a limit. given gets the roles that
// somebody of a source is given.
func count(p plan.Plan, u Usage, given map[string]map[string]bool) map[group]*tally {
	out := map[group]*tally{}
	for i := range p.Decisions {
		d := &p.Decisions[i]
		for op := range d.Ops {
			for _, role := range slices.Concat(d.Granted(op), joined(d, op)) {
				if given[d.Key.Source] == nil {
					given[d.Key.Source] = map[string]bool{}
				}
				given[d.Key.Source][role] = true
			}
		}
		if d.Approval != "" {
			continue
		}
		for _, class := range classes(d) {
			if u.New[d.Key.Source] && (class == plan.Creates || class == plan.Updates || class == plan.MembershipAdditions) || u.repeats(d.Key, class) {
				continue
			}
			g := group{d.Key.Source, class}
			n := out[g]
			if n == nil {
				n = &tally{keys: map[identity.Key]bool{}, held: map[identity.Key]bool{}, causes: map[cause]int{}, gone: map[string]int{}}
				out[g] = n
			}
			n.keys[d.Key] = true
			n.causes[causeOf(d, class)]++
			if h, ok := u.Held[d.Key]; ok && same(d, class, h.Ops) {
				n.held[d.Key] = true
				if n.run == "" || h.Run < n.run {
					n.run = h.Run
				}
			}
			for op := range d.Ops {
				switch class {
				case plan.RoleRemovals:
					if d.Ops[op].Kind == plan.Demote {
						continue // no role rule gives what a guest loses
					}
					for _, role := range d.Removed(op) {
						n.gone[role]++
					}
				case plan.MembershipRemovals:
					if _, _, to, ok := d.Ops[op].Space(); ok && to == "" {
						n.gone[string(d.Ops[op].Changes[0].Field)]++
					}
				default:
				}
			}
		}
	}
	return out
}

// joined gives the field of the space that an op adds somebody to.
func joined(d *plan.Decision, op int) []string {
	if _, from, to, ok := d.Ops[op].Space(); ok && from == "" && to != "" {
		return []string{string(d.Ops[op].Changes[0].Field)}
	}
	return nil
}

// has tells whether any of the people is of the group; nil is everybody.
func (n *tally) has(people map[identity.Key]bool) bool {
	for k := range people {
		if n.keys[k] {
			return true
		}
	}
	return people == nil
}

// classes gives all classes of a decision's ops, each once, sorted.
func classes(d *plan.Decision) []plan.Class {
	var out []plan.Class
	for op := range d.Ops {
		out = append(out, plan.Classes(d, op)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// same tells whether all that a decision changes of a class is among the ops that
// were held before.
func same(d *plan.Decision, class plan.Class, held []plan.Op) bool {
	type piece struct {
		kind   plan.OpKind
		change plan.Change
	}
	known := map[piece]bool{}
	for _, op := range held {
		if len(op.Changes) == 0 {
			known[piece{kind: op.Kind}] = true
		}
		for _, c := range op.Changes {
			known[piece{op.Kind, c}] = true
		}
	}
	for op := range d.Ops {
		if !slices.Contains(plan.Classes(d, op), class) {
			continue
		}
		o := &d.Ops[op]
		if len(o.Changes) == 0 && !known[piece{kind: o.Kind}] {
			return false
		}
		for i := range o.Changes {
			if counts(o, i, class) && !known[piece{o.Kind, o.Changes[i]}] {
				return false
			}
		}
	}
	return true
}

// counts tells whether one change of an op is what makes it one of a class.
func counts(o *plan.Op, at int, class plan.Class) bool {
	if o.Kind != plan.PatchProfile {
		return true
	}
	one := plan.Decision{Action: plan.Update, Ops: []plan.Op{{Kind: o.Kind, Changes: o.Changes[at : at+1]}}}
	return slices.Contains(plan.Classes(&one, 0), class)
}

// judge gives the trip of one group, if there is one. What was held before stays
// held whatever the window has room for; the rest is counted.
func (n *tally) judge(g group, s plan.SourceSummary, u Usage, l Limits, given map[string]bool) (Trip, bool) {
	held, run := n.held, n.run
	if l.of(g.class).ByHand {
		held, run = nil, ""
	}
	t := measure(g.class, s, len(n.keys), u, l)
	if g.class == plan.Deactivations {
		t.again = u.Again
	}
	fresh := len(n.keys) - len(held)
	too := fresh > 0 && fresh+t.Before > t.Limit
	t.Cause, t.Place = largest(n.causes, g.class, t.Planned, s), left(n.causes, g.class)
	if role := n.emptied(g, u, given); role != "" && !l.of(g.class).ByHand {
		t.group = fresh > 0 && !too
		too = too || fresh > 0
		t.Cause = wholeLoss(role, n.gone[role], s.Name)
	}
	switch {
	case too:
		t.Held = len(held)
	case len(held) > 0:
		t.only, t.Planned, t.Held = held, len(held), len(held)
		if fresh > 0 {
			t.Cause, t.Place = "", ""
		}
	default:
		return t, false
	}
	t.Message = t.sentence(l, run)
	return t, true
}

// wholeLoss says that all who have something lose it.
func wholeLoss(what string, n int, source string) string {
	rule := "role rule"
	if space, ok := plan.Field(what).Space(); ok {
		what, rule = strconv.Quote(space), "rule about teams and channels"
	}
	return fmt.Sprintf("all %d people of source %s who have %s would lose it, for no %s gives it to anybody any more (the group is empty, has vanished or was renamed, or hides its members)",
		n, source, what, rule)
}

// emptied gives what everybody of the source loses who has it by a group, a role or a
// place in a team or channel, while nobody is given it: the group has gone, rather than
// its members.
func (n *tally) emptied(g group, u Usage, given map[string]bool) string {
	if g.class != plan.RoleRemovals && g.class != plan.MembershipRemovals {
		return ""
	}
	found := ""
	for role, lost := range n.gone {
		all := u.Holders[g.source][role]
		if lost >= wholeGroup && all > 0 && lost >= all && !given[role] && (found == "" || role < found) {
			found = role
		}
	}
	return found
}

// first gives the trip of the first run over a server that has people.
func first(p plan.Plan, u Usage) (Trip, bool) {
	if u.Strangers == 0 {
		return Trip{}, false
	}
	t := Trip{Class: FirstRun, Base: u.Strangers}
	for i := range p.Decisions {
		if d := &p.Decisions[i]; len(d.Ops) > 0 && d.Approval == "" {
			t.Planned++
		}
	}
	if t.Planned == 0 {
		return Trip{}, false
	}
	t.Cause = fmt.Sprintf("active accounts of people whom mmsync does not know: %d", u.Strangers)
	t.Message = fmt.Sprintf("this is the first run on a server that has people: %s to nobody whom mmsync knows, and %s would be created, linked or changed; limit 0 until somebody has agreed. Nothing was written. %s",
		one(u.Strangers, "active account belongs", "active accounts belong"), one(t.Planned, "person", "people"), next)
	return t, true
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
// linked and active at the window's start; of a lost attribute, those who had it.
func measure(class plan.Class, s plan.SourceSummary, planned int, u Usage, l Limits) Trip {
	done := u.Done[s.Name]
	t := Trip{Class: class, Source: s.Name, Planned: planned, Before: done[class]}
	if field, ok := class.Lost(); ok {
		t.Base = max(u.Had[s.Name][field], planned) + t.Before
		t.Limit = max(lossCount, lossPercent*t.Base/100)
		return t
	}
	t.Base = max(s.Linked+done[plan.Deactivations]-done[plan.Reactivations]-done[plan.Creates]-done[plan.Recreations], 0)
	if class != ScopeChange {
		t.Limit = l.of(class).Allowed(t.Base)
	}
	return t
}

func (t Trip) share() float64 {
	if t.Base == 0 {
		return 0
	}
	return 100 * float64(t.Planned+t.Before) / float64(t.Base)
}
