package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/mmsync/mmsync/internal/identity"
)

// What the server's edition, or a feature that is off, keeps from many people alike is
// said in one sentence with their number, and not in a line for each of them: nothing of
// it is theirs. Decisions keep it, for whoever asks about one person.

// once tells the reasons that are said so.
func (r Reason) once() bool { return r == RoleUnlicensed || r == GuestsUnlicensed || r == GuestsOff }

// apart gives the decisions that are listed, less what is said once, and less who waits
// for a team or channel, which the line that makes it says.
func apart(list []Decision) []Decision {
	lines := map[string]bool{} // teams and channels that have one
	for i := range list {
		if d := &list[i]; d.Action == Make || d.Held == Make {
			lines[d.Username] = true
		}
	}
	isOnce := func(n Note) bool {
		name, _ := n.Field.Space()
		team, _ := identity.TeamOf(name)
		return n.Reason.once() || n.Reason == SpaceUnmade && (lines[name] || lines[team])
	}
	out := make([]Decision, 0, len(list))
	for _, d := range list {
		rest := slices.DeleteFunc(slices.Clone(d.Notes), isOnce)
		said := d.Reason.once() || d.Reason == SpaceUnmade && len(rest) < len(d.Notes)
		switch {
		case d.Action == Hold && said && len(d.Ops)+len(rest) == 0:
			continue
		case d.Action == Hold && said && len(d.Ops) == 0 && d.Held == Update:
			d.Notes = rest
			d = d.byNotes()
		case slices.ContainsFunc(d.Notes, isOnce):
			d.Notes = slices.DeleteFunc(slices.Clone(d.Notes), isOnce)
		}
		out = append(out, d)
	}
	return out
}

// alikeFor is what is said once, for people of one source.
type alikeFor struct {
	source string
	reason Reason
	role   string // that is not given; "" if none is changed
}

func (a alikeFor) compare(b alikeFor) int {
	return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.reason, b.reason), cmp.Compare(a.role, b.role))
}

// onceWarnings say what the server does not do for people alike.
func onceWarnings(list []Decision) []string {
	people := map[alikeFor]map[identity.Key]bool{}
	note := func(d *Decision, r Reason, n Note) {
		if !r.once() {
			return
		}
		x := alikeFor{source: d.Key.Source, reason: r}
		if r == RoleUnlicensed && n.From == "" {
			x.role = n.To
		}
		if people[x] == nil {
			people[x] = map[identity.Key]bool{}
		}
		people[x][d.Key] = true
	}
	for i := range list {
		d := &list[i]
		if d.Action == Hold && len(d.Notes) == 0 {
			note(d, d.Reason, Note{})
		}
		for _, n := range d.Notes {
			note(d, n.Reason, n)
		}
	}
	var out []string
	for _, x := range slices.SortedFunc(maps.Keys(people), alikeFor.compare) {
		out = append(out, x.sentence(len(people[x])))
	}
	return out
}

func (a alikeFor) sentence(n int) string {
	who := "1 person"
	if n != 1 {
		who = thousands(n) + " people"
	}
	who += " of source " + clean(a.source)
	each := "; mmsync explain USER says it of one [" + string(a.reason) + "]"
	switch {
	case a.reason == GuestsUnlicensed:
		return who + " should be guests by rules, and the server's licence has none, so that nobody is made a guest, or let in with more rights than meant" + each
	case a.reason == GuestsOff:
		return who + " should be guests by rules, or are, and the server's guest feature is off, so that nobody is made a guest, switched on or let in with more rights than meant" + each
	case a.role != "":
		return fmt.Sprintf("role %s is not given to %s, because the server's licence does not have it; extend the licence, or take the rule out of roles%s", clean(a.role), who, each)
	}
	return "the roles of " + who + " are not changed, because their accounts hold some that the server's licence does not have, and it takes no change of such a set; take those away in Mattermost" + each
}

// strandedGuests says of guests whom the server may have switched off together with its
// guest feature that they do not come back by themselves with it.
func strandedGuests(obs []Observation, list []Decision) []string {
	held := map[identity.Key]bool{}
	for i := range list {
		held[list[i].Key] = list[i].Reason == DeactivatedOther
	}
	count := map[string]int{}
	for i := range obs {
		if o := &obs[i]; held[o.Key] && o.Linked.Roles.Has(identity.RoleGuest) && o.Link.Applied.Active {
			count[o.Key.Source]++
		}
	}
	var out []string
	for _, source := range slices.Sorted(maps.Keys(count)) {
		who := "1 guest of source " + clean(source) + " is"
		if n := count[source]; n != 1 {
			who = thousands(n) + " guests of source " + clean(source) + " are"
		}
		out = append(out, who+" wanted and off, and not by mmsync: the server switches every guest off when its guest feature is switched off, "+
			"and none on with it; if that was it, switch them on in Mattermost (mmctl user activate USERNAME, or the system console), and mmsync goes on with them")
	}
	return out
}
