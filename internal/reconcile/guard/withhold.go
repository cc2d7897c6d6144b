package guard

import (
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Withhold gives the plan with everything of a tripped class turned into a
// visible Hold, or of an update that goes on without it into a Note; the safe
// rest stays. It is the only thing that edits a plan.
// Accounts that should have taken the seats of withheld leavers are held as
// well, for the server would refuse them; so is who wants a name that its holder
// keeps.
func Withhold(p plan.Plan, v Verdict) plan.Plan {
	if !v.Tripped() {
		return p
	}
	before := p.Decisions
	p.Decisions = slices.Clone(before)
	for i := range p.Decisions {
		d := &p.Decisions[i]
		if d.Approval != "" || len(d.Ops) == 0 {
			continue
		}
		if s := strike(d, v); len(s) > 0 {
			keepBack(d, s, p.Target.Locks)
		}
	}
	leaveNames(p.Decisions, before, p.Target.Locks)
	if v.Stop {
		for i := range p.Decisions {
			if d := &p.Decisions[i]; len(d.Ops) > 0 && d.Approval == "" {
				stop(d, &before[i])
			}
		}
	}
	for i := range p.Decisions {
		if d := &p.Decisions[i]; d.Action == plan.Hold {
			d.Chain = 0
		}
	}
	if p.Target.Version != "" { // the server was asked for its seats
		plan.HoldBeyondSeats(p.Decisions, p.Target.SeatsLeft)
	}
	// Holds come behind everything that is carried out.
	slices.SortStableFunc(p.Decisions, func(a, b plan.Decision) int { return rank(a) - rank(b) })
	return p
}

func rank(d plan.Decision) int { return slices.Index(plan.Actions(), d.Action) }

// everything stands for all classes in what strike gives.
const everything plan.Class = "*"

// strike gives the classes of which a decision loses what it has, and the
// sentence for each.
func strike(d *plan.Decision, v Verdict) map[plan.Class]string {
	out := map[plan.Class]string{}
	for i := range v.Trips {
		t := &v.Trips[i]
		if !t.holds(d) {
			continue
		}
		switch t.Class {
		case SourceShrink: // yields no deactivations in the first place
		case FirstRun:
			out[everything] = tooMany(t)
		case ScopeChange:
			for _, c := range []plan.Class{plan.Deactivations, plan.RoleRemovals, plan.MembershipRemovals} {
				if _, known := out[c]; !known {
					out[c] = tooMany(t)
				}
			}
		default:
			out[t.Class] = tooMany(t)
		}
	}
	has := classes(d)
	for c := range out {
		if c != everything && !slices.Contains(has, c) {
			delete(out, c)
		}
	}
	return out
}

// keepBack takes out of a decision what is of the classes. Somebody's leaving, a
// new account and a return stay in one piece: nobody is let in with the name or
// the rights of before.
func keepBack(d *plan.Decision, why map[plan.Class]string, locks plan.Locks) {
	for _, c := range []plan.Class{everything, plan.Deactivations, plan.Reactivations, plan.Creates, plan.Recreations} {
		if text, ok := why[c]; ok {
			holdAll(d, text)
			return
		}
	}
	if d.Action == plan.Reactivate {
		for _, c := range classes(d) {
			if text, ok := why[c]; ok {
				holdAll(d, text)
				return
			}
		}
	}
	cut(d, locks, func(o *plan.Op, op, at int) string {
		for _, c := range plan.Classes(d, op) {
			if text, ok := why[c]; ok && counts(o, at, c) {
				return text
			}
		}
		return ""
	})
}

// holdAll keeps a whole decision back.
func holdAll(d *plan.Decision, why string) {
	if d.Detail != "" {
		why = d.Detail + "; " + why
	}
	back := d.Action
	if d.Leaves() {
		back = plan.Deactivate
	}
	if back == plan.Create || back == plan.Reactivate {
		d.Notes = nil
	}
	d.Withheld = slices.Concat(d.Withheld, d.Ops)
	d.Held, d.Action, d.Reason, d.Detail, d.Ops = back, plan.Hold, plan.GuardTripped, why, nil
}

// stop keeps back what is left of a decision. was is how it was planned.
func stop(d, was *plan.Decision) {
	d.Ops = nil
	d.Withheld = was.Withheld // what waits for a word in any case
	d.Held = ""
	rest := *d
	rest.Action, rest.Detail, rest.Reason, rest.Ops = was.Action, was.Detail, was.Reason, was.Ops
	holdAll(&rest, "a guard tripped, and guards.on_trip says that nothing goes on then")
	*d = rest
}

// cut takes changes out of an update, or of what is done to an adopted account,
// and says so in a note for each field. why gives the sentence for one change of
// an op, "" if it stays. An update of which nothing is left is held.
func cut(d *plan.Decision, locks plan.Locks, why func(o *plan.Op, op, at int) string) {
	reasons := make([][]string, len(d.Ops)) // by op and change
	for op := range d.Ops {
		o := &d.Ops[op]
		reasons[op] = make([]string, max(len(o.Changes), 1))
		for at := range o.Changes {
			reasons[op][at] = why(o, op, at)
		}
	}
	alongLogin(d, locks, reasons)
	alongGuest(d, reasons)
	var ops, back []plan.Op
	notes := map[plan.Field]int{}
	d.Notes = slices.Clone(d.Notes)
	for op := range d.Ops {
		stays, goes := split(&d.Ops[op], reasons[op])
		if stays != nil {
			ops = append(ops, *stays)
		}
		if goes == nil {
			continue
		}
		back = append(back, *goes)
		if goes.Kind == plan.RevokeSessions {
			continue // part of the login's change
		}
		for at, c := range d.Ops[op].Changes {
			text := reasons[op][at]
			if text == "" {
				continue
			}
			if i, known := notes[c.Field]; known { // parked first
				d.Notes[i].To = c.To
				continue
			}
			notes[c.Field] = len(d.Notes)
			if lost := d.Removed(op); len(lost) > 0 {
				text += "; it keeps " + strings.Join(lost, ", ")
			}
			d.Notes = append(d.Notes, plan.Note{Field: c.Field, Reason: plan.GuardTripped, Detail: text, From: c.From, To: c.To})
		}
	}
	if len(back) == 0 {
		return
	}
	unlinks := func(o plan.Op) bool { return o.Kind == plan.UnlinkAccount }
	if i := slices.IndexFunc(ops, unlinks); i >= 0 { // while something is still to be done to it, the account stays his
		back = append(back, ops[i])
		ops = slices.DeleteFunc(ops, unlinks)
	}
	d.Withheld = slices.Concat(d.Withheld, back)
	if d.Ops = ops; len(ops) == 0 {
		d.Held, d.Action, d.Reason, d.Detail, d.Ops = d.Action, plan.Hold, plan.GuardTripped, d.Notes[len(d.Notes)-1].Detail, nil
	}
}

// split parts an op into what stays and what is kept back. Only a patch can lose
// a part of itself.
func split(o *plan.Op, reasons []string) (stays, goes *plan.Op) {
	struck := 0
	for _, r := range reasons {
		if r != "" {
			struck++
		}
	}
	switch {
	case struck == 0:
		return o, nil
	case o.Kind != plan.PatchProfile || struck == len(o.Changes):
		return nil, o
	}
	a, b := *o, *o
	a.Changes, b.Changes = nil, nil
	for i, c := range o.Changes {
		if reasons[i] == "" {
			a.Changes = append(a.Changes, c)
		} else {
			b.Changes = append(b.Changes, c)
		}
	}
	return &a, &b
}

// alongLogin adds to what is struck what cannot go without it: the end of the
// sessions and the fields that the old login locks go with a new login; and that
// waits for fields which it would lock.
func alongLogin(d *plan.Decision, locks plan.Locks, reasons [][]string) {
	login := slices.IndexFunc(d.Ops, func(o plan.Op) bool { return o.Kind == plan.SetAuth })
	if login < 0 {
		return
	}
	from, to := "", ""
	for _, c := range d.Ops[login].Changes {
		if c.Field == plan.FieldAuthService {
			from, to = c.From, c.To
		}
	}
	each := func(ops []plan.Op, first int, f func(o *plan.Op, c *plan.Change, r *string)) {
		for op := range ops {
			for at := range ops[op].Changes {
				f(&ops[op], &ops[op].Changes[at], &reasons[first+op][at])
			}
		}
	}
	struck := reasons[login][0]
	each(d.Ops[:login], 0, func(o *plan.Op, c *plan.Change, r *string) {
		if o.Kind == plan.PatchProfile && *r != "" && struck == "" && locks.Locked(to, identity.Attribute(c.Field)) {
			struck = "the login would lock the " + name(c.Field) + ", which a guard keeps back"
		}
	})
	if struck == "" {
		return
	}
	for at := range reasons[login] {
		reasons[login][at] = struck
	}
	each(d.Ops[login+1:], login+1, func(o *plan.Op, c *plan.Change, r *string) {
		switch {
		case o.Kind == plan.RevokeSessions:
			*r = struck
		case o.Kind == plan.PatchProfile && *r == "" && locks.Locked(from, identity.Attribute(c.Field)):
			*r = "the login locks it, and a guard keeps that back"
		}
	})
}

// alongGuest strikes the end of the sessions along with what it is for: that somebody
// becomes a guest.
func alongGuest(d *plan.Decision, reasons [][]string) {
	for op := 1; op < len(d.Ops); op++ {
		if d.Ops[op-1].Kind == plan.Demote && d.Ops[op].Kind == plan.RevokeSessions {
			reasons[op][0] = reasons[op-1][0]
		}
	}
}

// taking is a value that somebody takes.
type taking struct {
	field plan.Field
	value string
}

// leaveNames keeps back whoever takes a username or an e-mail that its holder was
// to give up and now keeps. before is the plan without holds.
func leaveNames(list, before []plan.Decision, locks plan.Locks) {
	takers := map[taking][]int{}
	var kept []int // decisions that give up less than planned
	for i := range before {
		d := &before[i]
		for op := range d.Ops {
			for _, c := range d.Ops[op].Changes {
				if named(c.Field) && !d.Ops[op].Parks {
					takers[taking{c.Field, strings.ToLower(c.To)}] = append(takers[taking{c.Field, strings.ToLower(c.To)}], i)
				}
			}
		}
		if len(d.Ops) > 0 && len(list[i].Withheld) > len(d.Withheld) {
			kept = append(kept, i)
		}
	}
	for len(kept) > 0 {
		i := kept[len(kept)-1]
		kept = kept[:len(kept)-1]
		for _, v := range keeps(&list[i], &before[i]) {
			for _, j := range takers[v] {
				if j != i && takes(&list[j], v) {
					yield(&list[j], v, &list[i], locks)
					kept = append(kept, j)
				}
			}
		}
	}
}

func named(f plan.Field) bool {
	return f == plan.Field(identity.Username) || f == plan.Field(identity.Email)
}

// keeps gives the values that a decision was to give up and does not.
func keeps(d, was *plan.Decision) []taking {
	var out []taking
	if was.AccountID == "" {
		return nil // has none yet
	}
	for _, f := range []plan.Field{plan.Field(identity.Username), plan.Field(identity.Email)} {
		from := ""
		for op := range was.Ops {
			for _, c := range was.Ops[op].Changes {
				if c.Field == f && from == "" {
					from = c.From
				}
			}
		}
		gives := slices.ContainsFunc(d.Ops, func(o plan.Op) bool {
			_, ok := o.To(f)
			return ok
		})
		if from != "" && !gives {
			out = append(out, taking{f, strings.ToLower(from)})
		}
	}
	return out
}

func takes(d *plan.Decision, v taking) bool {
	return slices.ContainsFunc(d.Ops, func(o plan.Op) bool {
		to, ok := o.To(v.field)
		return ok && !o.Parks && strings.ToLower(to) == v.value
	})
}

// yield keeps back from a decision the value that its holder keeps. One that was
// approved by itself waits like everybody else.
func yield(d *plan.Decision, v taking, holder *plan.Decision, locks plan.Locks) {
	why := name(v.field) + " is held by " + holder.Key.String() + ", whose change a guard keeps back"
	if d.Action == plan.Create || d.Action == plan.Reactivate {
		holdAll(d, why)
	} else {
		cut(d, locks, func(o *plan.Op, _, at int) string {
			if o.Kind == plan.PatchProfile && o.Changes[at].Field == v.field {
				return why
			}
			return ""
		})
	}
	if d.Approval == "" {
		return
	}
	if d.Action == plan.Hold {
		d.Reason = plan.WaitsForOther
	}
	for i := range d.Notes {
		if d.Notes[i].Detail == why {
			d.Notes[i].Reason = plan.WaitsForOther
		}
	}
}
