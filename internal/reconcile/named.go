package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Whom a word names. What was meant for one person is never done to two.

// Named tells whether a decision is about somebody by his username, account id,
// place in the source, anchor or source/anchor.
func Named(d plan.Decision, q string) bool {
	for _, s := range []string{d.Username, d.AccountID, d.Ref, d.Key.Anchor, d.Key.String()} {
		if s != "" && strings.EqualFold(s, q) {
			return true
		}
	}
	return false
}

// theOne gives the one person whom a name fits, zero if it fits none: what was meant
// for one is not said about two.
func theOne(list []*plan.Decision, q string) (identity.Key, error) {
	var fit []identity.Key
	for _, d := range list {
		if d.Key.String() == q {
			return d.Key, nil
		}
		if Named(*d, q) && !slices.Contains(fit, d.Key) {
			fit = append(fit, d.Key)
		}
	}
	switch len(fit) {
	case 0:
		return identity.Key{}, nil
	case 1:
		return fit[0], nil
	}
	return identity.Key{}, ambiguous(q, fit)
}

// ambiguous refuses a word that fits more than one person.
func ambiguous(q string, keys []identity.Key) error {
	slices.SortFunc(keys, identity.Key.Compare)
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.String()
	}
	return fmt.Errorf("%w: %q fits %s: name one of them as source/anchor", ErrRefused, q, strings.Join(names, " and "))
}

// pilots are the people whom a pilot names.
type pilots struct {
	keys map[identity.Key]bool
	// idle and unknown are sentences about those of whom nothing is to be done, and
	// about whom nobody knows.
	idle, unknown []string
}

// pilots finds the people whom a run names among everybody of its sources, whether or
// not something is to be done about them: a word fits two people also when only one of
// them is to be changed.
func (e *Engine) pilots(ctx context.Context, g *gathered, p plan.Plan, o RunOptions) (pilots, error) {
	m := pilots{keys: map[identity.Key]bool{}}
	if len(o.people) == 0 {
		return m, nil
	}
	known, wanted, err := e.everybody(ctx, g, p, o.among)
	if err != nil {
		return m, err
	}
	for _, q := range o.people {
		k, err := theOne(known, q)
		if err == nil && k.IsZero() {
			k, err = theOne(wanted, q)
		}
		switch {
		case err != nil:
			return m, err
		case k.IsZero():
			m.unknown = append(m.unknown, fmt.Sprintf("nobody is known as %q: name a person by username, account id, DN, anchor or source/anchor, as plan and explain show them", q))
			continue
		case !slices.ContainsFunc(p.Decisions, func(d plan.Decision) bool { return d.Key == k }):
			m.idle = append(m.idle, fmt.Sprintf("nothing is to be done about %q", q))
		}
		m.keys[k] = true
	}
	return m, nil
}

// everybody gives the people of sources, of all if none is named, by what names them:
// as plan and links show them, or as they are still to be called.
func (e *Engine) everybody(ctx context.Context, g *gathered, p plan.Plan, sources []string) (known, wanted []*plan.Decision, err error) {
	links, err := e.o.Store.Links(ctx, state.LinkFilter{})
	if err != nil {
		return nil, nil, fmt.Errorf("read links: %w", err)
	}
	for i := range p.Decisions {
		known = append(known, &p.Decisions[i])
	}
	for i := range links {
		k := &links[i]
		known = append(known, &plan.Decision{Key: k.Key, Ref: k.Ref, AccountID: k.AccountID, Username: lastName(k)})
	}
	for i := range g.observations {
		ob := &g.observations[i]
		if ob.Desired == nil {
			continue
		}
		d := &plan.Decision{Key: ob.Key, Ref: ob.Desired.Ref, Username: ob.Desired.Profile.Username}
		if wanted = append(wanted, d); ob.Link == nil {
			known = append(known, d)
		}
	}
	if len(sources) == 0 {
		return known, wanted, nil
	}
	other := func(d *plan.Decision) bool { return !slices.Contains(sources, d.Key.Source) }
	return slices.DeleteFunc(known, other), slices.DeleteFunc(wanted, other), nil
}
