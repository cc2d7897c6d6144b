package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// kindLocked is the kind of a run that changes what the server keeps locked under the
// logins that people have.
const kindLocked = "change_locked"

// ChangeMismatchError is returned when the locked fields of not as many people would be
// changed as somebody said.
type ChangeMismatchError struct{ Expected, People int }

func (e *ChangeMismatchError) Error() string {
	return fmt.Sprintf("%d people would be changed, not %d", e.People, e.Expected)
}

// Unwrap makes it a refusal.
func (e *ChangeMismatchError) Unwrap() error { return ErrRefused }

// PlanLocked shows what of the people of a selection the server keeps locked, and can
// be changed by a detour. It writes nothing but its own run row.
func (e *Engine) PlanLocked(ctx context.Context, o RunOptions, s Selection) (Report, error) {
	return e.readOnly(ctx, o.detour(s, -1), nil)
}

// ChangeLocked changes, by a detour over another login, what PlanLocked shows, and
// nothing else. expect is how many people there must be: it is the operator's word, by
// which they pass the guards.
func (e *Engine) ChangeLocked(ctx context.Context, o RunOptions, s Selection, expect int) (Report, error) {
	rep, _, err := e.underLease(ctx, kindLocked, o.detour(s, expect), nil)
	return rep, err
}

// detour narrows a run to what takes a detour. Nothing else of a person is changed,
// but for somebody who is back: he comes back as he would anyway.
func (o RunOptions) detour(s Selection, expect int) RunOptions {
	o.everybody = true
	o.policy = func(p plan.Policy) plan.Policy {
		p.Detour, p.Update, p.ChangeAuth = true, true, false
		return p
	}
	o.people, o.among, o.selected = s.People, s.Sources, s
	o.pick = func(p plan.Plan, of map[identity.Key]*plan.Observation, people map[identity.Key]bool) (plan.Plan, error) {
		kept := p.Decisions[:0:0]
		n := 0
		for _, d := range p.Decisions {
			ob := of[d.Key]
			if ob == nil || ob.Link == nil || ob.Linked == nil || len(s.People) > 0 && !people[d.Key] ||
				len(s.Sources) > 0 && !slices.Contains(s.Sources, d.Key.Source) || len(s.Groups) > 0 && (ob.Desired == nil || !ob.Desired.Pilot) {
				continue
			}
			d, ok := locked(d, ob)
			if !ok {
				continue
			}
			if len(d.Ops) > 0 {
				d.Approval = "change-locked"
				n++
			}
			kept = append(kept, d)
		}
		if expect >= 0 && expect != n {
			return p, &ChangeMismatchError{expect, n}
		}
		p.Decisions, p.Unchanged, p.Warnings = kept, 0, nil
		slices.SortStableFunc(p.Decisions, func(a, b plan.Decision) int {
			return slices.Index(plan.Actions(), a.Action) - slices.Index(plan.Actions(), b.Action)
		})
		return p, nil
	}
	return o
}

// locked leaves of a decision what takes a detour, or why there is none; ok is false
// for somebody of whom nothing is locked.
func locked(d plan.Decision, ob *plan.Observation) (_ plan.Decision, ok bool) {
	first := slices.IndexFunc(d.Ops, func(op plan.Op) bool { return op.Detour == plan.Out })
	last := slices.IndexFunc(d.Ops, func(op plan.Op) bool { return op.Detour == plan.Back })
	switch {
	case first < 0 || last < 0:
		return staysLocked(d, ob)
	case takesFrom(d.Ops[first:last], ob) != nil:
		other := takesFrom(d.Ops[first:last], ob)
		d.Action, d.Reason, d.Held, d.Ops, d.Notes, d.Withheld, d.Chain = plan.Hold, plan.WaitsForOther, plan.Update, nil, nil, nil, 0
		d.Detail = fmt.Sprintf("%q is still held by account %s of %s, which has to give it up first, by mmsync sync or with --user", other.Account.Username, other.Account.ID, other.Owner)
		return d, true
	case d.Action == plan.Reactivate:
		return d, true
	}
	d.Ops, d.Notes, d.Withheld, d.Chain = slices.Clone(d.Ops[first:last+1]), nil, nil, 0
	return d, true
}

// staysLocked keeps the holds of those of whom something is locked and stays so, or
// waits for a word before it can be changed.
func staysLocked(d plan.Decision, ob *plan.Observation) (plan.Decision, bool) {
	if d.Action == plan.Hold && d.Reason == plan.LockedByLDAP && d.Held == plan.Reactivate {
		return d, true
	}
	is := func(n plan.Note) bool {
		return n.Reason == plan.LockedByLogin || ob.Locked(ob.Linked.Auth.Service, identity.Attribute(n.Field))
	}
	at := slices.IndexFunc(d.Notes, is)
	if at < 0 {
		return d, false
	}
	notes := slices.DeleteFunc(slices.Clone(d.Notes), func(n plan.Note) bool { return !is(n) })
	d.Action, d.Reason, d.Detail, d.Held, d.Notes = plan.Hold, notes[0].Reason, notes[0].Detail, plan.Update, notes
	var asked []plan.Op
	for _, op := range d.Withheld {
		op.Changes = slices.DeleteFunc(slices.Clone(op.Changes), func(c plan.Change) bool {
			return op.Kind != plan.PatchProfile || !ob.Locked(ob.Linked.Auth.Service, identity.Attribute(c.Field))
		})
		if len(op.Changes) > 0 {
			asked = append(asked, op)
		}
	}
	d.Withheld = asked
	d.Ops, d.Chain, d.Until, d.Approval = nil, 0, nil, ""
	return d, true
}

// takesFrom gives who holds a username or an e-mail that an op sets; nil if nobody does.
// In a row of names each goes in a run of its own: nobody's login is another one for
// longer than his own change takes.
func takesFrom(ops []plan.Op, ob *plan.Observation) *plan.Holder {
	for _, op := range ops {
		for _, c := range op.Changes {
			name, mail := ob.ByUsername, ob.ByEmail
			switch {
			case c.Field == plan.Field(identity.Username) && name != nil && strings.EqualFold(name.Account.Username, c.To):
				return name
			case c.Field == plan.Field(identity.Email) && mail != nil && strings.EqualFold(mail.Account.Email, c.To):
				return mail
			}
		}
	}
	return nil
}
