package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Selection is a part of a plan: a pilot. Set fields all have to match; the zero
// Selection is all of it.
type Selection struct {
	Sources []string
	// People are usernames, account ids, places in the source, anchors or
	// source/anchor.
	People []string
	// Groups are told to the sources when they are made, which mark their people.
	Groups  []string
	Actions []plan.Action
	// Limit is the most decisions that are carried out, in plan order; 0 = all.
	Limit int
}

// IsZero tells whether everything is selected.
func (s Selection) IsZero() bool {
	return len(s.Sources)+len(s.People)+len(s.Groups)+len(s.Actions) == 0 && s.Limit == 0
}

// Select narrows a run to a part of its plan. Everything is read and decided all the
// same, so that nobody is missing because he was not selected; the guards count the
// part, and the plan says so; what a whole group or many people would lose is held in
// the part as well.
func (o RunOptions) Select(s Selection) RunOptions {
	if !s.IsZero() {
		o.pick, o.people, o.among, o.selected = s.of, s.People, s.Sources, s
	}
	return o
}

func (s Selection) of(p plan.Plan, of map[identity.Key]*plan.Observation, people map[identity.Key]bool) (plan.Plan, error) {
	pilot := map[identity.Key]bool{}
	for k, o := range of {
		if o.Desired != nil && o.Desired.Pilot {
			pilot[k] = true
		}
	}
	left := map[int]bool{} // chains of which somebody does not go
	kept, others := p.Decisions[:0:0], 0
	work := 0
	for _, d := range p.Decisions {
		named := len(s.People) == 0 || people[d.Key]
		action := d.Action
		if action == plan.Hold {
			action = d.Held
		}
		in := named && (len(s.Groups) == 0 || pilot[d.Key]) && (len(s.Sources) == 0 || slices.Contains(s.Sources, d.Key.Source)) && (len(s.Actions) == 0 || slices.Contains(s.Actions, action))
		if in && len(d.Ops) > 0 {
			work++
			in = s.Limit == 0 || work <= s.Limit
		}
		switch {
		case in:
			kept = append(kept, d)
		case len(d.Ops) > 0:
			others++
			left[d.Chain] = true
		case d.Action == plan.Hold:
			others++
		}
	}
	if len(s.Groups) > 0 && len(pilot) == 0 {
		p.Warnings = append(p.Warnings, "nobody about whom something is to be done is in "+strings.Join(s.Groups, ", ")+"; a group is named by its DN or stable id")
	}
	before := len(kept)
	p.Decisions = slices.DeleteFunc(kept, func(d plan.Decision) bool { return d.Chain != 0 && left[d.Chain] })
	others += before - len(p.Decisions)
	if len(s.Actions) == 1 && s.Actions[0] == plan.Adopt {
		said := p.Warnings
		p = plan.OnlyLink(p)
		p.Warnings = said
		for i := range p.Decisions {
			p.Decisions[i] = plan.Pass(p.Decisions[i], of[p.Decisions[i].Key])
		}
	}
	p.Warnings = append(p.Warnings, fmt.Sprintf("this is a part of the plan: %d other decisions were left out, and the guards have counted the part alone", others))
	return p, nil
}

// linkOnly leaves of an adoption the link.
func linkOnly(d plan.Decision, o *plan.Observation) plan.Decision {
	return plan.Pass(plan.OnlyLink(plan.Plan{Decisions: []plan.Decision{d}}).Decisions[0], o)
}
