package plan

import (
	"slices"
	"strconv"

	"github.com/mmsync/mmsync/internal/identity"
)

// Build decides every observation and puts the decisions into the order in
// which they can be carried out: names that one person gives up are passed on
// to the next, cycles are broken by parking one member on a temporary name, and
// whoever cannot move holds those who wait for him. The order of obs does not
// matter; there must be one observation for each Key.
func Build(obs []Observation, p Policy) Plan {
	b := builder{policy: p, obs: obs, decisions: make([]Decision, len(obs))}
	for i := range obs {
		b.decisions[i] = decide(obs[i], p, released{})
	}
	b.contest()
	b.passOn()
	var out Plan
	for i := range b.decisions {
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
	slices.SortStableFunc(out.Decisions, compareDecisions)
	if len(obs) > 0 {
		keepAdmins(out.Decisions, obs[0].Facts, p.NeverBelow)
		keepSeats(out.Decisions, obs[0].Facts)
	}
	slices.SortStableFunc(out.Decisions, compareDecisions)
	if len(b.place) > 0 {
		b.sortChains(out.Decisions)
	}
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
	place     map[identity.Key]int // position within its chain
	byKey     map[identity.Key]int
}

// contest holds everybody who claims a username, e-mail or login that somebody
// else claims as well, unless the account that has it keeps it.
func (b *builder) contest() {
	for _, field := range []Field{Field(identity.Username), Field(identity.Email), FieldAuthData} {
		claims := make(map[string]int, len(b.obs)) // value -> first claimant
		var rivals map[string][]int
		for i := range b.obs {
			v, ok := claim(b.obs[i], field)
			if !ok {
				continue
			}
			if first, taken := claims[v]; taken {
				if rivals == nil {
					rivals = map[string][]int{}
				}
				if rivals[v] == nil {
					rivals[v] = []int{first}
				}
				rivals[v] = append(rivals[v], i)
				continue
			}
			claims[v] = i
		}
		for _, list := range rivals {
			b.settle(field, list)
		}
	}
}

// claim gives the value of a field that an active, usable person wants.
func claim(o Observation, f Field) (string, bool) {
	d := o.Desired
	if d == nil || !d.Active || d.Fault != "" || (o.Link != nil && (o.Link.Part == identity.Contributor || o.Linked == nil)) {
		return "", false
	}
	if f == FieldAuthData {
		return d.Auth.Data, d.Auth.Data != "" // unique on the server across all services
	}
	a := identity.Attribute(f)
	if o.Link != nil && !o.Linked.Active() && !ours(o) {
		return "", false // it stays off, whatever its source wants
	}
	return d.Profile.Value(a), d.Owned.Has(a) && d.Profile.Value(a) != ""
}

func (b *builder) settle(f Field, list []int) {
	slices.SortFunc(list, func(x, y int) int { return b.obs[x].Key.Compare(b.obs[y].Key) })
	for _, i := range list {
		o := b.obs[i]
		if has(o, f) {
			continue // it stays where it is; the others are told that it is taken
		}
		other := list[0]
		if other == i {
			other = list[1]
		}
		detail := string(f) + " is also claimed by " + b.obs[other].Key.String()
		if b.obs[other].Desired.Ref != "" {
			detail += " (" + b.obs[other].Desired.Ref + ")"
		}
		d := &b.decisions[i]
		if o.Link == nil {
			*d = d.hold(Contested, Create, detail)
			continue
		}
		b.dropChange(i, f, Contested, detail)
	}
}

func has(o Observation, f Field) bool {
	if o.Linked == nil {
		return false
	}
	if f == FieldAuthData {
		return o.Linked.Auth == o.Desired.Auth
	}
	a := identity.Attribute(f)
	return o.Linked.Value(a) == o.Desired.Profile.Value(a)
}

// dropChange takes one field out of a decision's patch and notes why.
func (b *builder) dropChange(i int, f Field, why Reason, detail string) {
	d := &b.decisions[i]
	note := Note{Field: f, Reason: why, Detail: detail}
	for n := range d.Notes { // a value already noted as taken is now better explained
		if d.Notes[n].Field == f {
			note.From, note.To = d.Notes[n].From, d.Notes[n].To
			d.Notes[n] = note
			if d.Action == Hold && n == 0 {
				d.Reason, d.Detail = why, detail
			}
			return
		}
	}
	ops := slices.Clone(d.Ops)
	for j := range ops {
		if k := slices.IndexFunc(ops[j].Changes, func(c Change) bool { return c.Field == f }); k >= 0 {
			note.From, note.To = ops[j].Changes[k].From, ops[j].Changes[k].To
			ops[j].Changes = slices.Delete(slices.Clone(ops[j].Changes), k, k+1)
			if len(ops[j].Changes) == 0 {
				ops = slices.Delete(ops, j, j+1)
			}
			break
		}
	}
	if note.To == "" {
		return
	}
	d.Ops, d.Notes = ops, append(d.Notes, note)
	if len(ops) == 0 {
		d.Action, d.Reason, d.Held, d.Detail = Hold, why, Update, detail
	}
}

// passOn lets people take values that others give up in the same plan.
func (b *builder) passOn() {
	var waiting []need
	for i := range b.decisions {
		for _, f := range []identity.Attribute{identity.Username, identity.Email} {
			if b.waits(i, f) {
				waiting = append(waiting, need{i, f})
			}
		}
	}
	if len(waiting) == 0 {
		return
	}
	slices.SortFunc(waiting, func(x, y need) int {
		if c := b.obs[x.obs].Key.Compare(b.obs[y.obs].Key); c != 0 {
			return c
		}
		return identity.CompareAttribute(x.field, y.field)
	})
	b.byKey = make(map[identity.Key]int, len(b.obs))
	for i := range b.obs {
		b.byKey[b.obs[i].Key] = i
	}
	// Movers are decided first as if their wanted value were free: whether it
	// really is follows from walking the chain to its end.
	free := map[need]bool{}
	for _, n := range waiting {
		b.walk(n, free, map[need]bool{})
	}
	moving := map[int]released{}
	for _, n := range waiting {
		if !free[n] {
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
		d := decide(b.obs[i], b.policy, r)
		if d.Action == Hold && b.decisions[i].Action == Hold && d.Reason == b.decisions[i].Reason {
			continue
		}
		b.decisions[i] = d
	}
	b.chain(waiting, free)
}

// waits tells whether a decision misses exactly this value because a linked
// account holds it.
func (b *builder) waits(i int, f identity.Attribute) bool {
	o, d := &b.obs[i], &b.decisions[i]
	h, taken := o.ByUsername, UsernameTaken
	if f == identity.Email {
		h, taken = o.ByEmail, EmailTaken
	}
	if h == nil || h.Owner.IsZero() || o.Desired == nil {
		return false
	}
	if d.Action == Hold && d.Held == Create {
		// A new person may want both; the second shows once the first is free.
		return d.Reason == UsernameTaken || d.Reason == EmailTaken
	}
	return slices.ContainsFunc(d.Notes, func(n Note) bool { return n.Field == Field(f) && n.Reason == taken })
}

// walk follows the chain of holders from n. It is free if the chain ends at
// somebody who moves to a free value, or comes back to n by usernames alone.
func (b *builder) walk(n need, free map[need]bool, seen map[need]bool) bool {
	if done, ok := free[n]; ok {
		return done
	}
	if seen[n] {
		// A cycle: usernames can be parked, e-mails cannot.
		return n.field == identity.Username
	}
	seen[n] = true
	h := b.obs[n.obs].ByUsername
	if n.field == identity.Email {
		h = b.obs[n.obs].ByEmail
	}
	ok := false
	if next, known := b.byKey[h.Owner]; known && b.obs[next].Linked != nil && b.obs[next].Linked.ID == h.Account.ID {
		switch {
		case b.changes(next, n.field):
			ok = b.decisions[next].Action == Update
		case b.waits(next, n.field):
			ok = b.movable(next) && b.walk(need{next, n.field}, free, seen)
		}
	}
	free[n] = ok
	return ok
}

// changes tells whether the decision already moves its account off the value.
func (b *builder) changes(i int, f identity.Attribute) bool {
	for _, op := range b.decisions[i].Ops {
		if op.Kind == PatchProfile {
			if _, ok := op.To(Field(f)); ok {
				return true
			}
		}
	}
	return false
}

// movable tells whether a decision that misses a value would be an Update if it
// got it. Only those carry chains: their phase is one, so their order can be
// kept.
func (b *builder) movable(i int) bool {
	d := &b.decisions[i]
	return d.Action == Update || (d.Action == Hold && d.Held == Update)
}

// chain numbers the decisions that depend on one another and breaks cycles.
func (b *builder) chain(waiting []need, free map[need]bool) {
	after := map[int][]int{} // mover -> those whose move must come first
	for _, n := range waiting {
		if !free[n] || b.decisions[n.obs].Action != Update || !b.changes(n.obs, n.field) {
			continue
		}
		h := b.obs[n.obs].ByUsername
		if n.field == identity.Email {
			h = b.obs[n.obs].ByEmail
		}
		after[n.obs] = append(after[n.obs], b.byKey[h.Owner])
	}
	if len(after) == 0 {
		return
	}
	b.place = map[identity.Key]int{}
	group := map[int]int{}
	var find func(int) int
	find = func(i int) int {
		if g, ok := group[i]; ok && g != i {
			group[i] = find(g)
			return group[i]
		}
		group[i] = i
		return i
	}
	movers := make([]int, 0, len(after))
	for i, list := range after {
		movers = append(movers, i)
		for _, j := range list {
			group[find(i)] = find(j)
		}
	}
	slices.SortFunc(movers, func(x, y int) int { return b.obs[x].Key.Compare(b.obs[y].Key) })
	state := map[int]int{} // 1 = on the path, 2 = placed
	at := 0
	var visit func(int)
	visit = func(i int) {
		state[i] = 1
		for _, j := range after[i] {
			switch state[j] {
			case 0:
				visit(j)
			case 1:
				b.park(i, j)
			}
		}
		state[i] = 2
		at++
		b.place[b.obs[i].Key] = at
	}
	for _, i := range movers {
		if state[i] == 0 {
			visit(i)
		}
	}
	numbers := map[int]int{}
	for _, i := range b.sorted(group) {
		root := find(i)
		if numbers[root] == 0 {
			numbers[root] = len(numbers) + 1
		}
		b.decisions[i].Chain = numbers[root]
	}
}

func (b *builder) sorted(m map[int]int) []int {
	out := make([]int, 0, len(m))
	for i := range m {
		out = append(out, i)
	}
	slices.SortFunc(out, func(x, y int) int { return b.obs[x].Key.Compare(b.obs[y].Key) })
	return out
}

// park is called when i waits for j and j, directly or not, waits for i. j moves
// to a temporary name first, if it is the username that i waits for; an e-mail
// has no temporary value, so i takes it with the next run.
func (b *builder) park(i, j int) {
	username := b.obs[i].ByUsername
	if username != nil && username.Account.ID == b.obs[j].Linked.ID && b.changes(i, identity.Username) {
		d := &b.decisions[j]
		if len(d.Ops) > 0 && d.Ops[0].Parks {
			return
		}
		parked := ParkedPrefix + b.obs[j].Linked.ID
		op := Op{Kind: PatchProfile, Parks: true, Changes: []Change{{Field: Field(identity.Username), From: b.obs[j].Linked.Username, To: parked}}}
		d.Ops = slices.Clone(d.Ops)
		for k := range d.Ops {
			d.Ops[k].Changes = slices.Clone(d.Ops[k].Changes)
			for c := range d.Ops[k].Changes {
				if d.Ops[k].Changes[c].Field == Field(identity.Username) {
					d.Ops[k].Changes[c].From = parked
				}
			}
		}
		d.Ops = append([]Op{op}, d.Ops...)
	}
	if email := b.obs[i].ByEmail; email != nil && email.Account.ID == b.obs[j].Linked.ID && b.changes(i, identity.Email) {
		b.stall(i, j)
	}
}

// stall leaves i's e-mail, which j gives up only in this run, to the next one,
// and with it the e-mails of all who wait for i's.
func (b *builder) stall(i, j int) {
	b.dropChange(i, Field(identity.Email), WaitsForOther, "e-mail is given up by "+b.obs[j].Key.String()+" in this run")
	for k := range b.obs {
		h := b.obs[k].ByEmail
		if k != i && h != nil && b.obs[i].Linked != nil && h.Account.ID == b.obs[i].Linked.ID && b.changes(k, identity.Email) {
			b.stall(k, i)
		}
	}
}

// sortChains puts the members of each chain into their order, at the places
// that they hold together.
func (b *builder) sortChains(list []Decision) {
	slots := map[int][]int{}
	for i := range list {
		if c := list[i].Chain; c != 0 {
			slots[c] = append(slots[c], i)
		}
	}
	for _, at := range slots {
		members := make([]Decision, len(at))
		for k, i := range at {
			members[k] = list[i]
		}
		slices.SortFunc(members, func(x, y Decision) int { return b.place[x.Key] - b.place[y.Key] })
		for k, i := range at {
			list[i] = members[k]
		}
	}
}

// keepAdmins holds the decisions that would leave fewer than least active human
// administrators. The server itself does not protect the last one everywhere.
func keepAdmins(list []Decision, f *Facts, least int) {
	left := len(f.HumanAdmins)
	for i := range list {
		d := &list[i]
		if !slices.Contains(f.HumanAdmins, d.AccountID) || !endsAdmin(d) {
			continue
		}
		if left <= least {
			back := d.Action
			*d = d.hold(LastAdmin, back, strconv.Itoa(left)+" active human administrators, at least "+strconv.Itoa(least)+" must remain")
			continue
		}
		left--
	}
}

func endsAdmin(d *Decision) bool {
	for _, op := range d.Ops {
		if op.Kind == SetActive && op.Changes[0].To == "false" {
			return true
		}
		if op.Kind == SetRoles && !identity.ParseRoles(op.Changes[0].To).Has(identity.RoleAdmin) {
			return true
		}
	}
	return false
}

// keepSeats holds the creations and returns for which the server has no seat
// left, after the leavers of the same plan have freed theirs.
func keepSeats(list []Decision, f *Facts) {
	if f.SeatsLeft < 0 {
		return
	}
	left := f.SeatsLeft
	for i := range list {
		d := &list[i]
		switch d.Action {
		case Deactivate:
			left++
		case Reactivate, Create:
			if left <= 0 {
				back := d.Action
				*d = d.hold(NoSeats, back, "the server's user limit is reached")
				continue
			}
			left--
		default:
		}
	}
}
