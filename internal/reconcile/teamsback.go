package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Taking back what a run did in teams and channels.

// placed is what a run did to one person in one team or channel.
type placed struct{ id, from, to string }

// places sums up what a run did to a person in teams and channels, by their names.
func (d *deed) places() map[string]placed {
	out := map[string]placed{}
	for _, op := range d.ops {
		name, from, to, ok := op.Op.Space()
		if !ok {
			continue
		}
		if was, found := out[name]; found {
			from = was.from
		}
		out[name] = placed{op.Op.SpaceID, from, to}
	}
	return out
}

// wantPlaces has people wanted where they were before the run, in the teams and
// channels that it changed, and lets the policy decide about those alone. Where
// somebody changed his place since, it is left so.
func (e *Engine) wantPlaces(ctx context.Context, r *reversal) error {
	r.policy.Memberships, r.policy.ReaddRemoved = nil, true
	of := map[string]map[string]string{} // ids by source and name
	for i := range r.deeds {
		for name, p := range r.deeds[i].places() {
			source := r.deeds[i].key.Source
			if of[source] == nil {
				of[source] = map[string]string{}
			}
			of[source][name] = p.id
		}
	}
	if len(of) == 0 {
		return nil
	}
	var names []string
	for _, source := range slices.Sorted(maps.Keys(of)) {
		a := plan.MembershipAuthority{Source: source}
		for _, name := range slices.Sorted(maps.Keys(of[source])) {
			a.Spaces, names = append(a.Spaces, plan.SpaceRule{Name: name, Strict: true, Admins: true}), append(names, name)
		}
		r.policy.Memberships = append(r.policy.Memberships, a)
	}
	slices.Sort(names)
	spaces, err := e.o.Target.Spaces(ctx, slices.Compact(names))
	if err != nil {
		return fmt.Errorf("look up the teams and channels that the run changed: %w", err)
	}
	r.g.facts.Spaces = spaces
	for i := range r.g.observations {
		ob := &r.g.observations[i]
		at := slices.IndexFunc(r.deeds, func(d deed) bool { return d.key == ob.Key })
		if at < 0 || ob.Linked == nil || ob.Desired == nil || len(of[ob.Key.Source]) == 0 {
			continue
		}
		asked := map[string]plan.Space{}
		for name := range of[ob.Key.Source] {
			asked[name] = spaces[name]
		}
		if ob.Memberships, err = e.o.Target.Memberships(ctx, ob.Linked.ID, asked); err != nil {
			return fmt.Errorf("read the teams and channels of %s: %w", ob.Key, err)
		}
		ob.Desired.Memberships = r.placesBack(&r.deeds[at], ob.Memberships, spaces)
	}
	return nil
}

// placesBack gives where one person is to be: as before the run where he is as it left
// him, else as he is.
func (r *reversal) placesBack(d *deed, now identity.Memberships, spaces map[string]plan.Space) identity.Memberships {
	want := now
	did := d.places()
	for _, name := range slices.Sorted(maps.Keys(did)) {
		p := did[name]
		back := plan.Op{SpaceID: p.id, Changes: []plan.Change{{Field: plan.SpaceField(name), From: p.to, To: p.from}}}
		switch {
		case p.from == p.to, back.Shows(now):
		case spaces[name].ID != p.id:
			r.leave(d, "there is no "+strconv.Quote(name)+" any more, or another one of that name")
		case !back.Applies(now):
			r.leave(d, "the person's place in "+strconv.Quote(name)+" was changed since")
		default:
			want = back.After(want)
		}
	}
	return want
}
