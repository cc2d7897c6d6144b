package plan

import (
	"slices"

	"github.com/mmsync/mmsync/internal/identity"
)

// Build decides every observation and puts the decisions into the order in
// which they can be carried out: names that one person gives up are passed on
// to the next, cycles are broken by parking one member on a temporary name, and
// whoever cannot move holds those who wait for him. The order of obs does not
// matter; there must be one observation for each Key, all with the same Facts.
func Build(obs []Observation, p Policy) Plan {
	b := builder{policy: p, obs: obs, decisions: make([]Decision, len(obs))}
	for i := range obs {
		b.decisions[i] = decide(obs[i], p, released{})
	}
	b.contest()
	b.passOn()
	b.handOver()
	b.comeBack()
	var out Plan
	for i := range b.decisions {
		if p.ForGood != nil {
			b.decisions[i] = b.forGood(i)
		} else {
			b.decisions[i] = finish(b.decisions[i], &obs[i], p)
		}
		if b.decisions[i].Action == NoOp {
			out.Unchanged++
		}
	}
	out.Decisions = make([]Decision, 0, len(obs)-out.Unchanged)
	for i := range b.decisions {
		if b.decisions[i].Action != NoOp {
			out.Decisions = append(out.Decisions, b.decisions[i])
		}
	}
	out.Decisions = append(out.Decisions, b.makes()...)
	out.Target.SeatsLeft = -1
	slices.SortFunc(out.Decisions, compareDecisions)
	if len(obs) > 0 && obs[0].Facts != nil {
		f := obs[0].Facts
		out.Target = TargetSummary{URL: f.SiteURL, Version: f.Version, SeatsLeft: f.SeatsLeft, Locks: f.Locks}
		keepAdmins(out.Decisions, f, p.NeverBelow)
		HoldBeyondSeats(out.Decisions, f.SeatsLeft)
		holdBeyondRooms(out.Decisions, f)
		out.Warnings = slices.Concat(b.reimported(), Warnings(out.Decisions, f, p), onceWarnings(out.Decisions), strandedGuests(obs, out.Decisions), unseenLogins(obs, f))
		slices.SortFunc(out.Decisions, compareDecisions)
	}
	if len(b.place) > 0 {
		b.sortChains(out.Decisions)
	}
	chainMakes(out.Decisions)
	return out
}

// need is one value that one observation wants and an account has.
type need struct {
	obs   int
	field identity.Attribute
}

type builder struct {
	policy    Policy
	obs       []Observation
	decisions []Decision
	drops     map[int][]drop       // what contest took, by observation
	wanting   []need               // what is missed because a linked account has it
	place     map[identity.Key]int // position within its chain
	byKey     map[identity.Key]int
	heirs     map[string]heir      // account id -> the first who wants it, by Key
	known     map[identity.Key]int // the missing by source and match key
}

// passOn lets people take values that others give up in the same plan.
func (b *builder) passOn() {
	waiting := b.waiting()
	if len(waiting) == 0 {
		return
	}
	b.wanting = waiting
	b.byKey = make(map[identity.Key]int, len(b.obs))
	for i := range b.obs {
		b.byKey[b.obs[i].Key] = i
	}
	// Movers are decided first as if their wanted value were free: whether it
	// really is follows from walking the chain to its end.
	free := map[need]verdict{}
	for _, n := range waiting {
		b.walk(n, free)
	}
	moving := map[int]released{}
	for _, n := range waiting {
		if !free[n].ok {
			continue
		}
		r := moving[n.obs]
		if n.field == identity.Username {
			r.username = true
		} else {
			r.email = true
		}
		moving[n.obs] = r
	}
	for i, r := range moving {
		b.redo(i, r)
	}
	for _, n := range waiting {
		if v := free[n]; !v.ok {
			b.explain(n, v)
		}
	}
	b.chain(waiting, free)
}

// redo decides an observation again; what contest took is lost again.
func (b *builder) redo(i int, r released) {
	for _, gone := range b.drops[i] {
		if gone.field == FieldAuthData {
			r.rival = gone.detail
		}
	}
	b.decisions[i] = decide(b.obs[i], b.policy, r)
	for _, gone := range b.drops[i] {
		if gone.field != FieldAuthData {
			b.dropChange(i, gone.field, Contested, gone.detail)
		}
	}
}

// waiting lists what is missed only because a linked account has it, by Key.
func (b *builder) waiting() []need {
	var list []need
	for i := range b.decisions {
		for _, f := range []identity.Attribute{identity.Username, identity.Email} {
			if b.waits(i, f) {
				list = append(list, need{i, f})
			}
		}
	}
	slices.SortFunc(list, func(x, y need) int {
		if c := b.obs[x.obs].Key.Compare(b.obs[y.obs].Key); c != 0 {
			return c
		}
		return identity.CompareAttribute(x.field, y.field)
	})
	return list
}

// waits tells whether a decision misses exactly this value because a linked
// account holds it.
func (b *builder) waits(i int, f identity.Attribute) bool {
	d := &b.decisions[i]
	if d.Action == NoOp || d.Action == Hold && d.Held == Deactivate {
		return false
	}
	h := b.obs[i].holder(Field(f))
	if h == nil || h.Owner.IsZero() {
		return false
	}
	if d.Action == Hold && d.Held == Create {
		// A new person may want both; the second shows once the first is free.
		return d.Reason == UsernameTaken || d.Reason == EmailTaken
	}
	taken := UsernameTaken
	if f == identity.Email {
		taken = EmailTaken
	}
	return slices.ContainsFunc(d.Notes, func(n Note) bool { return n.Field == Field(f) && n.Reason == taken })
}

// verdict says whether a wanted value will be free in time. If its holder wants
// to give it up and cannot, why says what keeps him; end is where that is so.
type verdict struct {
	ok   bool
	why  string
	end  identity.Key
	ring bool
}

// walk follows the chain of holders from n. It is free if the chain ends at
// somebody who moves to a free value, or comes back to n by usernames alone.
// Chains can be as long as the directory, so it does not recurse.
func (b *builder) walk(n need, free map[need]verdict) {
	var path []need
	on := map[need]bool{}
	v := verdict{}
	for {
		if done, ok := free[n]; ok {
			v = done
			break
		}
		if on[n] {
			// A cycle: usernames can be parked, e-mails cannot.
			v = verdict{ok: n.field == identity.Username, ring: n.field == identity.Email}
			break
		}
		path, on[n] = append(path, n), true
		next, known := b.ownerOf(n)
		if !known {
			break // the holder is nobody's, or of somebody who was not observed
		}
		if b.movable(next) && b.waits(next, n.field) {
			n = need{next, n.field}
			continue
		}
		v = b.judge(next, n.field)
		break
	}
	for _, n := range slices.Backward(path) {
		free[n] = v
	}
}

// ownerOf gives the observation of the person who holds what n wants.
func (b *builder) ownerOf(n need) (int, bool) {
	h := b.obs[n.obs].holder(Field(n.field))
	if h == nil {
		return 0, false
	}
	next, known := b.byKey[h.Owner]
	return next, known && b.obs[next].Linked != nil && b.obs[next].Linked.ID == h.Account.ID
}

// judge tells whether the person at the end of a chain gives his value up.
func (b *builder) judge(i int, f identity.Attribute) verdict {
	d, key := &b.decisions[i], b.obs[i].Key
	if b.changes(i, f) {
		if d.Action == Update {
			return verdict{ok: true}
		}
		return verdict{why: inThisRun, end: key}
	}
	o := &b.obs[i]
	if kept := b.kept(i); kept != "" && o.Linked != nil && o.Desired != nil && o.Desired.Owned.Has(f) && !has(o, Field(f)) {
		return verdict{why: kept, end: key}
	}
	if n := slices.IndexFunc(d.Notes, func(n Note) bool { return n.Field == Field(f) }); n >= 0 {
		return verdict{why: d.Notes[n].Detail, end: key}
	}
	if d.Action == Hold && o.Desired != nil && o.Desired.Fault == "" && o.Desired.Owned.Has(f) && !has(o, Field(f)) {
		return verdict{why: d.Detail, end: key}
	}
	return verdict{} // he keeps it
}

// explain says at somebody who waits for whom, and what keeps that one.
func (b *builder) explain(n need, v verdict) {
	h := b.obs[n.obs].holder(Field(n.field))
	detail := fieldName(Field(n.field)) + " is held by " + describeHolder(h)
	why, taken := WaitsForOther, UsernameTaken
	if n.field == identity.Email {
		taken = EmailTaken
	}
	switch {
	case v.ring:
		why = taken
		detail += ", who waits in turn for others of this ring; e-mails cannot be exchanged in one run"
	case v.why == "":
		return
	case v.why == inThisRun:
		detail += ", who " + inThisRun
	case h.Owner == v.end:
		detail += ", who cannot give it up: " + v.why
	default:
		detail += ", who waits as well; at the end of the row stands " + keyName(v.end) + ": " + v.why
	}
	d := &b.decisions[n.obs]
	if d.Action == Hold && d.Held == Create {
		if d.Reason == taken {
			*d = d.hold(why, Create, detail)
		}
		return
	}
	at := slices.IndexFunc(d.Notes, func(x Note) bool { return x.Field == Field(n.field) && x.Reason == taken })
	if at < 0 {
		return
	}
	d.Notes = slices.Clone(d.Notes)
	d.Notes[at].Reason, d.Notes[at].Detail = why, detail
	if d.Action == Hold {
		*d = d.byNotes()
	}
}

// inThisRun completes "who".
const inThisRun = "gives it up in this run only, so the next one takes it"

// changes tells whether the decision already moves its account off the value.
func (b *builder) changes(i int, f identity.Attribute) bool {
	_, ok := change(&b.decisions[i], Field(f))
	return ok && b.obs[i].Linked != nil
}

// movable tells whether a decision that misses a value would be an Update if it
// got it, and could be carried out. Only those carry chains: their phase is one, so their order can be
// kept.
func (b *builder) movable(i int) bool {
	d := &b.decisions[i]
	return b.kept(i) == "" && (d.Action == Update || (d.Action == Hold && d.Held == Update))
}

// kept says why nothing that a chain needs may be sent for somebody now; "" if it may.
func (b *builder) kept(i int) string {
	if why := b.obs[i].kept(); why != "" {
		return why
	}
	d := &b.decisions[i]
	if bar := b.obs[i].bar(&Decision{Action: Update, Reason: d.Reason, Approval: d.Approval}); bar != nil {
		return bar.sentence()
	}
	return ""
}
