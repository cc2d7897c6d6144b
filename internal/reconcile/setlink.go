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

// SetLink says by hand whose account it is. person is somebody whom a source
// lists, by source/anchor, DN, username or e-mail; account an id or a username.
// An account with more rights than a user is refused unless privileged.
func (e *Engine) SetLink(ctx context.Context, o RunOptions, person, account string, privileged, dry bool) (Report, error) {
	return e.own(ctx, o, everything, dry, func(ctx context.Context, w *ownership) error {
		ob, err := w.person(person)
		if err != nil {
			return err
		}
		a, err := w.account(ctx, account)
		if err != nil {
			return err
		}
		w.message = fmt.Sprintf("account %s is %s's", a.ID, ob.Key)
		switch k := ob.Link; {
		case k != nil && k.AccountID == a.ID && k.Part == identity.Owner:
			return nil // so it is already
		case k != nil && k.Part == identity.Owner:
			return fmt.Errorf("%w: %s has account %s already; %s gives it up", ErrRefused, ob.Key, k.AccountID, plan.Command("link release", ob.Key.String()))
		case ob.Desired.Fault != "":
			return fmt.Errorf("%w: the entry of %s cannot be used: %s", ErrRefused, ob.Key, ob.Desired.Fault)
		case !ob.Desired.Active:
			return fmt.Errorf("%w: %s has left as %s says, so the next run would switch the account off", ErrRefused, ob.Key, ob.Key.Source)
		}
		if err := e.unheld(ctx, ob.Key); err != nil {
			return err
		}
		if err := w.free(ctx, ob.Key, a, privileged); err != nil {
			return err
		}
		detail := "said to be " + ob.Key.String()
		if !a.Active() {
			detail += "; it is switched off, and stays so until somebody activates it in Mattermost"
		}
		w.adopt(ob, a, detail)
		w.allow = append(w.allow, w.refused(ob.Key, a.ID)) // the last word counts
		return nil
	})
}

// Release gives the accounts of people up: they stay exactly as they are, and
// mmsync changes them no more. What is known of the people stays refused, so that
// the next run does not give them the same accounts again. It asks neither
// sources nor the server.
func (e *Engine) Release(ctx context.Context, o RunOptions, people []string, dry bool) (Report, error) {
	return e.own(ctx, o, storeOnly, dry, func(ctx context.Context, w *ownership) error {
		all, err := e.o.Store.Links(ctx, state.LinkFilter{})
		if err != nil {
			return fmt.Errorf("read links: %w", err)
		}
		var out []identity.Link
		for _, q := range people {
			k, err := linked(all, q)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(out, func(x identity.Link) bool { return x.Key == k.Key }) {
				out = append(out, *k)
			}
		}
		if err := w.settled(ctx, out); err != nil {
			return err
		}
		for i := range out {
			k := &out[i]
			if k.Part == identity.Contributor {
				w.release(k, "account "+k.AccountID+" is its owner's as before; "+k.Key.Source+" adds nothing to it any more")
				w.refuse = append(w.refuse, w.refused(k.Key, k.AccountID))
				continue
			}
			w.release(k, "account "+k.AccountID+" stays as it is and is nobody's; while "+k.Key.Source+" lists the person with the same username, e-mail or login he is held, and mmsync link set gives the account back")
			w.refuse = append(w.refuse, w.refused(k.Key, k.AccountID))
		}
		return nil
	})
}

// Purge forgets all links of a source that is configured no more, or of one
// person of it. The accounts stay as they are. expect is how many there must be;
// negative is any number. It asks neither sources nor the server.
func (e *Engine) Purge(ctx context.Context, o RunOptions, name string, expect int, dry bool) (Report, error) {
	return e.own(ctx, o, storeOnly, dry, func(ctx context.Context, w *ownership) error {
		f := state.LinkFilter{Source: name}
		if k, one := identity.ParseKey(name); one {
			f = state.LinkFilter{Keys: []identity.Key{k}}
			name = k.Source
		}
		for _, s := range e.o.Sources {
			if s.Name() == name {
				return fmt.Errorf("%w: source %s is in the configuration, so the next run would meet its people again; take it out first, or give up single accounts with mmsync link release", ErrRefused, name)
			}
		}
		links, err := e.o.Store.Links(ctx, f)
		if err != nil {
			return fmt.Errorf("read links: %w", err)
		}
		if len(links) == 0 {
			return fmt.Errorf("%w: there is no link of %s; mmsync link list shows those there are", ErrRefused, name)
		}
		if !dry && expect >= 0 && expect != len(links) {
			return &CountError{Source: name, Expected: expect, Links: len(links)}
		}
		if err := w.settled(ctx, links); err != nil {
			return err
		}
		if err := e.unheld(ctx, keysOfLinks(links)...); err != nil {
			return err
		}
		for i := range links {
			w.release(&links[i], "account "+links[i].AccountID+" stays as it is and is nobody's; mmsync switches it off no more")
		}
		w.message = fmt.Sprintf("forgot %d links of %s", len(links), name)
		return nil
	})
}

// CountError is returned when there are not as many links to forget, or to go to the
// source To, as somebody said.
type CountError struct {
	Source, To      string
	Expected, Links int
}

func (e *CountError) Error() string {
	if e.To != "" {
		return fmt.Sprintf("%d accounts would go from %s to %s, not %d", e.Links, e.Source, e.To, e.Expected)
	}
	return fmt.Sprintf("%d links of %s would be forgotten, not %d, and nobody would switch their accounts off any more", e.Links, e.Source, e.Expected)
}

// Unwrap makes it a refusal.
func (e *CountError) Unwrap() error { return ErrRefused }

// linked finds the link that a person is meant by: source/anchor, or else the
// anchor, the last place, the account's id, username or e-mail.
func linked(all []identity.Link, query string) (*identity.Link, error) {
	var found []*identity.Link
	same := func(s string) bool { return s != "" && strings.EqualFold(s, query) }
	for i := range all {
		k := &all[i]
		if k.Key.String() == query {
			return k, nil
		}
		a := k.Observed
		if same(k.Key.Anchor) || same(k.Ref) || same(k.AccountID) || same(k.Applied.Profile.Username) || (a != nil && (same(a.Username) || same(a.Email))) {
			found = append(found, k)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("%w: no link fits %q; mmsync link list shows those there are", ErrRefused, query)
	case 1:
		return found[0], nil
	}
	keys := make([]identity.Key, len(found))
	for i, k := range found {
		keys[i] = k.Key
	}
	return nil, ambiguous(query, keys)
}

// Ignore says that an account is not a person's, so that nobody is asked about
// the two any more. undo takes that back, by source/anchor and the account's id.
func (e *Engine) Ignore(ctx context.Context, o RunOptions, person, account string, undo, dry bool) (state.RefusedMatch, error) {
	var said state.RefusedMatch
	if undo {
		_, err := e.own(ctx, o, storeOnly, dry, func(ctx context.Context, w *ownership) error {
			m, err := e.findRefused(ctx, person, account)
			if err != nil {
				return err
			}
			if err := e.unheld(ctx, m.Key); err != nil {
				return err
			}
			said = m
			w.allow = append(w.allow, m)
			w.message = fmt.Sprintf("account %s may be %s's again", m.AccountID, m.Key)
			return nil
		})
		return said, err
	}
	_, err := e.own(ctx, o, everything, dry, func(ctx context.Context, w *ownership) error {
		ob, err := w.person(person)
		if err != nil {
			return err
		}
		a, err := w.account(ctx, account)
		if err != nil {
			return err
		}
		if ob.Link != nil && ob.Link.AccountID == a.ID {
			return fmt.Errorf("%w: account %q (%s) is that of %s; %s gives it up", ErrRefused, a.Username, a.ID, ob.Key, plan.Command("link release", ob.Key.String()))
		}
		if err := e.unheld(ctx, ob.Key); err != nil {
			return err
		}
		said = w.refused(ob.Key, a.ID)
		w.refuse = append(w.refuse, said)
		w.message = fmt.Sprintf("account %s is not %s's", a.ID, ob.Key)
		return nil
	})
	return said, err
}

// findRefused finds a refused match by source/anchor or anchor, and account id.
func (e *Engine) findRefused(ctx context.Context, person, account string) (state.RefusedMatch, error) {
	all, err := e.o.Store.RefusedMatches(ctx)
	if err != nil {
		return state.RefusedMatch{}, fmt.Errorf("read refused matches: %w", err)
	}
	all = slices.DeleteFunc(all, func(m state.RefusedMatch) bool { return !strings.EqualFold(m.AccountID, account) })
	said := make([]*plan.Decision, len(all))
	for i := range all {
		said[i] = &plan.Decision{Key: all[i].Key}
	}
	k, err := theOne(said, person)
	if err != nil {
		return state.RefusedMatch{}, err
	}
	for _, m := range all {
		if m.Key == k {
			return m, nil
		}
	}
	return state.RefusedMatch{}, fmt.Errorf("%w: nobody said that account %q is not that of %q; mmsync link ignore --list shows what was said", ErrRefused, account, person)
}

// refusals gives people without an account those that an operator said are not
// theirs.
func (e *Engine) refusals(ctx context.Context, obs []plan.Observation) error {
	all, err := e.o.Store.RefusedMatches(ctx)
	if err != nil {
		return fmt.Errorf("read refused matches: %w", err)
	}
	if len(all) == 0 {
		return nil
	}
	refused := map[identity.Key][]string{}
	for _, m := range all {
		refused[m.Key] = append(refused[m.Key], m.AccountID)
	}
	for i := range obs {
		obs[i].Refused = refused[obs[i].Key]
	}
	return nil
}
