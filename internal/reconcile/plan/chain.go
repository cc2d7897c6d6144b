package plan

import (
	"slices"

	"github.com/mmsync/mmsync/internal/identity"
)

// chain numbers the decisions that depend on one another and breaks cycles.
func (b *builder) chain(waiting []need, free map[need]verdict) {
	after := map[int][]int{} // mover -> those whose move must come first
	for _, n := range waiting {
		if !free[n].ok || b.decisions[n.obs].Action != Update || !b.changes(n.obs, n.field) {
			continue
		}
		if next, known := b.ownerOf(n); known {
			after[n.obs] = append(after[n.obs], next)
		}
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
	if b.takes(i, j, identity.Username) {
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
	if b.takes(i, j, identity.Email) {
		b.stall(i)
	}
}

// takes tells whether i's decision takes the value that j's account has.
func (b *builder) takes(i, j int, f identity.Attribute) bool {
	h := b.obs[i].holder(Field(f))
	if h == nil || b.obs[j].Linked == nil || h.Account.ID != b.obs[j].Linked.ID {
		return false
	}
	_, ok := change(&b.decisions[i], Field(f))
	return ok
}

// stall leaves i's e-mail, whose holder gives it up only in this run, to the next one,
// and with it the e-mails of all who wait for i's.
func (b *builder) stall(i int) {
	detail := "e-mail is held by " + describeHolder(b.obs[i].holder(Field(identity.Email))) + ", who " + inThisRun
	if d := &b.decisions[i]; d.Action == Create {
		*d = d.hold(WaitsForOther, Create, detail)
		d.Notes = nil
		return // nobody waits for somebody who has no account
	}
	b.dropChange(i, Field(identity.Email), WaitsForOther, detail)
	for _, n := range b.wanting {
		if n.field == identity.Email && n.obs != i && b.takes(n.obs, i, identity.Email) {
			b.stall(n.obs)
		}
	}
}

// sortChains puts the members of each chain into their order, at the places
// that they hold together. A member that is held after all is none.
func (b *builder) sortChains(list []Decision) {
	slots := map[int][]int{}
	for i := range list {
		if list[i].Action != Update {
			list[i].Chain = 0
		}
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
