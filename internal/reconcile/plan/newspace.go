package plan

import (
	"maps"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
)

// Teams and channels that rules name and the server lacks. One is made by an op of its
// own, in a decision that is about nobody: people go into it only when the server shows
// it, for before that it has no id.

// The ops that make a team or channel. Their first change names it and goes from "" to
// "private" or "public"; their second, of FieldTitle, is the name that people see.
const (
	MakeTeam    OpKind = "make_team"    // POST /teams
	MakeChannel OpKind = "make_channel" // POST /channels
)

// SpaceCreations are teams and channels that are made.
const SpaceCreations Class = "space_creations"

// FieldTitle is what a team or channel that is made is called where people see it.
const FieldTitle Field = "display_name"

// Who finds a team or channel that was made.
const (
	Private = "private" // a team by invitation only, a private channel
	Public  = "public"  // a public channel
)

const newPrefix = "new:"

// Making says how a team or channel that is not there is made.
type Making struct {
	// Title is what people see.
	Title string
	// Public makes a public channel; teams are by invitation only.
	Public bool
	// Along marks a channel that the server makes together with its team.
	Along bool
	// Said is what an operator said about its making, and Busy until when a call that
	// makes it may still arrive.
	Said *Said
	Busy time.Time
}

// NewSpaceKey is what a decision to make a team or channel is kept under: by the first of
// the sources, by name, whose rules are about it.
func (p Policy) NewSpaceKey(space string) identity.Key {
	k := identity.Key{Anchor: newPrefix + space}
	for _, a := range p.Memberships {
		about := slices.ContainsFunc(a.Spaces, func(r SpaceRule) bool { return r.Name == space })
		if about && (k.Source == "" || a.Source < k.Source) {
			k.Source = a.Source
		}
	}
	return k
}

// Makes gives the team or channel that an op makes; ok is false for every other op.
func (o Op) Makes() (space string, ok bool) {
	if o.Kind != MakeTeam && o.Kind != MakeChannel || len(o.Changes) != 2 {
		return "", false
	}
	return o.Changes[0].Field.newSpace()
}

func (f Field) newSpace() (space string, ok bool) {
	if len(f) <= len(newPrefix) || f[:len(newPrefix)] != newPrefix {
		return "", false
	}
	return string(f[len(newPrefix):]), true
}

func makeOp(space string, m *Making) Op {
	kind, to := MakeTeam, Private
	if _, channel := identity.TeamOf(space); channel {
		kind = MakeChannel
		if m.Public {
			to = Public
		}
	}
	return Op{Kind: kind, Changes: []Change{{Field: newPrefix + Field(space), To: to}, {Field: FieldTitle, To: m.Title}}}
}

// makes decides about the teams and channels that people are kept out of only because
// they are not there yet.
func (b *builder) makes() []Decision {
	if len(b.obs) == 0 || b.obs[0].Facts == nil || b.obs[0].Facts.SetBack {
		return nil
	}
	wanted, first := map[string]int{}, map[string]*Observation{}
	for i := range b.decisions {
		o := &b.obs[i]
		if o.Stopped != nil {
			continue
		}
		for _, n := range b.decisions[i].Notes {
			name, about := n.Field.Space()
			if !about || n.Reason != SpaceUnmade {
				continue
			}
			if wanted[name]++; first[name] == nil || o.Key.Compare(first[name].Key) < 0 {
				first[name] = o
			}
		}
	}
	var out []Decision
	held := map[string]Decision{}
	for _, name := range slices.Sorted(maps.Keys(wanted)) { // a team before its channels
		m := b.obs[0].Facts.Spaces[name].Make
		if m == nil || m.Along {
			continue
		}
		d := b.make(name, m, wanted[name], first[name])
		team, _ := identity.TeamOf(name)
		if of, found := held[team]; found && d.Action == Make {
			op := d.Ops
			if d = d.hold(of.Reason, Make, "its team is not made: "+of.Detail); len(of.Withheld) > 0 {
				d.Withheld = op
			}
			d.Until = of.Until
		}
		if d.Action == Hold {
			held[name] = d
		}
		out = append(out, d)
	}
	return out
}

// make decides about one team or channel, for the people who are to be in it.
func (b *builder) make(name string, m *Making, people int, first *Observation) Decision {
	op := makeOp(name, m)
	d := Decision{Key: b.policy.NewSpaceKey(name), Action: Make, Reason: SpaceWanted, Username: name, Ops: []Op{op}}
	what := "a team by invitation only"
	if op.Kind == MakeChannel {
		what = "a " + op.Changes[0].To + " channel"
	}
	who := "1 person waits"
	if people != 1 {
		who = thousands(people) + " people wait"
	}
	d.Detail = what + ", shown as " + quote(m.Title) + "; " + who + " for it [" + string(SpaceUnmade) + "]"
	bar := first.bar(&Decision{Action: Update})
	said := m.Said != nil && m.Said.Covers("", d.Ops)
	switch {
	case !m.Busy.IsZero():
		until := m.Busy.UTC()
		d = d.hold(CallInFlight, Make, "a call of a run that was cut off may still make it until "+until.Format(time.DateTime)+" UTC")
		d.Until = &until
	case said && !m.Said.Approves:
		d = d.hold(Rejected, Make, m.Said.Words)
		d.Withheld = []Op{op}
	case bar != nil:
		d = d.hold(NotNow, Make, bar.sentence())
		d.Withheld = []Op{op}
	case said:
		d.Approval = m.Said.ID
	}
	return d
}

// chainMakes has channels follow the team that is made for them.
func chainMakes(list []Decision) {
	last := 0
	teams := map[string]int{} // by name, the decision
	for i := range list {
		last = max(last, list[i].Chain)
		if name, _ := list[i].made(); name != "" {
			teams[name] = i
		}
	}
	for i := range list {
		name, channel := list[i].made()
		team, _ := identity.TeamOf(name)
		at, found := teams[team]
		if !channel || !found {
			continue
		}
		if list[at].Chain == 0 {
			last++
			list[at].Chain = last
		}
		list[i].Chain = list[at].Chain
	}
}

// made gives what a decision makes, and whether that is a channel.
func (d *Decision) made() (name string, channel bool) {
	if d.Action != Make || len(d.Ops) == 0 {
		return "", false
	}
	name, _ = d.Ops[0].Makes()
	_, channel = identity.TeamOf(name)
	return name, channel
}
