package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

func isFenced(err error) bool { return errors.Is(err, state.ErrFenced) }

// DeactivateNow switches one person off at once and keeps him off until the source
// says so as well: past the queue and the guards' budget, never past what protects
// an account. That he is to be off is stored before anything else, so that the
// next run does it if this one does not come to it; state.ErrHeld means that
// another process is at work, and is to be tried again. The sources are not asked.
// It gives what was stored, if anything was.
func (e *Engine) DeactivateNow(ctx context.Context, o RunOptions, query string) (Report, state.Stop, error) {
	link, err := e.person(ctx, query)
	if err != nil {
		return Report{}, state.Stop{}, err
	}
	if err := e.known(ctx); err != nil { // else it would lie in wait until that is settled
		return Report{}, state.Stop{}, err
	}
	off, err := e.storeOff(ctx, o, link.Key)
	if err != nil {
		return Report{}, state.Stop{}, err
	}
	var due map[identity.Key]time.Time
	once := func(o RunOptions) (Report, error) {
		return e.oneRun(ctx, "deactivate", o, func(l *lease, run *state.Run) (rep Report, err error) {
			rep, due, err = e.switchOff(l, run, o, off)
			return rep, err
		})
	}
	rep, err := once(o)
	if err != nil {
		return rep, off, err
	}
	e.offLasts(ctx, link.AccountID, &rep, func() (Report, bool, error) {
		at, waits := due[link.Key]
		if !waits {
			return Report{}, false, nil
		}
		select {
		case <-ctx.Done():
			return Report{}, false, nil
		case <-time.After(time.Until(at)):
		}
		if a, ok, err := e.o.Target.Account(ctx, link.AccountID); err != nil || !ok || !a.Active() {
			return Report{}, false, err
		}
		again, err := once(RunOptions{Trigger: "second look", RequestedBy: o.RequestedBy, Reason: o.Reason})
		return again, true, err
	})
	return rep, off, nil
}

// offLasts looks again at an account that was switched off, for the server loses
// one of two writes at once, and switches it off again while that was undone; or at
// one to which a call of an earlier run was still on its way.
func (e *Engine) offLasts(ctx context.Context, account string, rep *Report, look func() (Report, bool, error)) {
	for range mostRounds {
		e.o.Progress(Progress{Stage: "waiting to look again at the account that was just switched off"})
		again, undone, err := look()
		if undone {
			rep.Again, rep.Status = joined(rep.Again, &again), again.Status
		}
		if err != nil && ctx.Err() == nil {
			rep.Problems = append(rep.Problems, fmt.Sprintf("account %s could not be looked at again, the next run does it: %v", account, err))
			rep.Status = state.RunPartial
		}
		if err != nil || !undone {
			return
		}
	}
}

// PlanDeactivation shows what DeactivateNow would do, and writes nothing but its own
// run row.
func (e *Engine) PlanDeactivation(ctx context.Context, o RunOptions, query string) (Report, error) {
	link, err := e.person(ctx, query)
	if err != nil {
		return Report{}, err
	}
	return e.oneLook(ctx, o, func(*state.Run) (Report, error) {
		now, err := e.o.Store.Now(ctx)
		if err != nil {
			return Report{}, fmt.Errorf("read the store's clock: %w", err)
		}
		off := state.Stop{ID: "not stored", Kind: state.StopOff, Key: link.Key, Reason: o.Reason, MadeBy: o.RequestedBy, MadeAt: now}
		g, rep, _, err := e.decideOff(ctx, nil, o, off)
		if err == nil {
			err = refused(g, rep.Plan)
		}
		return rep, err
	})
}

// storeOff writes down that somebody is to be off; once, if it is said again.
func (e *Engine) storeOff(ctx context.Context, o RunOptions, k identity.Key) (state.Stop, error) {
	now, err := e.o.Store.Now(ctx)
	if err != nil {
		return state.Stop{}, fmt.Errorf("read the store's clock: %w", err)
	}
	known, err := e.o.Store.Stops(ctx, state.StopFilter{Open: true, Kind: state.StopOff, About: k})
	if err != nil {
		return state.Stop{}, fmt.Errorf("read who is to be off: %w", err)
	}
	if len(known) > 0 {
		return known[0], nil
	}
	off := state.Stop{ID: runID(now), Kind: state.StopOff, Key: k, Reason: o.Reason, MadeBy: o.RequestedBy, MadeAt: now}
	if err := e.o.Store.PutStops(ctx, []state.Stop{off}); err != nil {
		return off, fmt.Errorf("write down that %s is to be off: %w", k, err)
	}
	return off, nil
}

func (e *Engine) switchOff(l *lease, run *state.Run, o RunOptions, off state.Stop) (Report, map[identity.Key]time.Time, error) {
	g, rep, offset, err := e.decideOff(l.ctx, l, o, off)
	if err != nil {
		return rep, nil, err
	}
	if err := refused(g, rep.Plan); err != nil {
		// What is refused must not lie in wait for a day on which it is not.
		return rep, nil, errors.Join(err, e.o.Store.EndStops(l.ctx, []string{off.ID}, "mmsync, which refused it", g.now))
	}
	rep, due, err := e.carryOut(l.ctx, l, run, g, rep, offset)
	if ob := &g.observations[0]; err == nil && !ob.Busy.IsZero() {
		due[off.Key] = later(g.busy.people[off.Key], g.busy.accounts[ob.Link.AccountID])
	}
	return rep, due, err
}

// decideOff plans the switching off of one person.
func (e *Engine) decideOff(ctx context.Context, l *lease, o RunOptions, off state.Stop) (*gathered, Report, time.Duration, error) {
	facts, calls, offset, err := e.opening(ctx, l)
	if err != nil {
		return nil, Report{}, 0, err
	}
	g, v, err := e.few(ctx, l, facts, calls, []identity.Key{off.Key}, true)
	if err != nil {
		return nil, Report{}, 0, err
	}
	if l == nil {
		g.stops.offs[off.Key] = off
	}
	ob := plan.Observation{Key: off.Key, Link: g.links[off.Key], Absence: plan.Absence{Doubt: "the source was not asked"}}
	v.attach(&ob)
	g.observations = []plan.Observation{ob}
	if err := e.protect(ctx, g, v, l); err != nil {
		return nil, Report{}, 0, err
	}
	if err := e.complete(ctx, g, v, g.observations); err != nil {
		return nil, Report{}, 0, err
	}
	if err := e.heed(ctx, g, l); err != nil {
		return nil, Report{}, 0, err
	}
	p := plan.Build(g.observations, e.o.Policy)
	rep, err := e.judge(ctx, g, p, p, o)
	if err != nil {
		return nil, Report{}, 0, err
	}
	rep.Plan.Sources, rep.Guards = nil, "" // no source was read, and no guard is asked
	for _, d := range rep.Plan.Decisions {
		if d.Action == plan.Hold && d.Reason.Explain().Ender == plan.EndWait {
			rep.Problems = append(rep.Problems, fmt.Sprintf("%q is not off yet, and the next run does it: %s", d.Username, d.Detail))
		}
	}
	if g.observations[0].Unseen {
		rep.Problems = append(rep.Problems, fmt.Sprintf("the server did not show the account of %s, which proves nothing; the next run tries again", off.Key))
	}
	return g, rep, offset, nil
}

// refused says why a person is not switched off at an operator's word; nil if he
// is, or if that is only put off.
func refused(g *gathered, p plan.Plan) error {
	ob := &g.observations[0]
	switch {
	case ob.Link == nil:
		return fmt.Errorf("%w: mmsync owns no account for %s any more", ErrRefused, ob.Key)
	case ob.Linked == nil && !ob.Unseen:
		return fmt.Errorf("%w: there is nobody to switch off: the server has no account %s any more", ErrRefused, ob.Link.AccountID)
	}
	for _, d := range p.Decisions {
		switch d.Reason {
		case plan.Protected, plan.LastAdmin:
			if d.Action == plan.Hold {
				return fmt.Errorf("%w: %q is not switched off: %s", ErrRefused, d.Username, d.Detail)
			}
		default:
		}
	}
	return nil
}

// person finds the one whom a query names and whose account mmsync owns: by what
// the server shows now and, where it shows nobody, by what the store knows.
func (e *Engine) person(ctx context.Context, query string) (identity.Link, error) {
	known, err := findPeople(ctx, e.o.Store, query)
	if err != nil {
		return identity.Link{}, err
	}
	if len(known) > 0 && exactly(known[0], query) {
		return onlyOne(known, query)
	}
	account, found, err := e.accountOf(ctx, query)
	if err != nil {
		return identity.Link{}, err
	}
	if !found {
		return onlyOne(known, query)
	}
	links, err := e.o.Store.Links(ctx, state.LinkFilter{AccountIDs: []string{account.ID}})
	if err != nil {
		return identity.Link{}, fmt.Errorf("read whose account %s is: %w", account.ID, err)
	}
	for _, k := range links {
		if k.Part != identity.Contributor {
			return k, nil
		}
	}
	return identity.Link{}, fmt.Errorf("%w: mmsync does not own account %q (%s) and never changes it; switch it off in Mattermost's system console, under Users", ErrRefused, account.Username, account.ID)
}

// accountOf finds an account by its id, username or e-mail.
func (e *Engine) accountOf(ctx context.Context, query string) (identity.Account, bool, error) {
	if len(query) == 26 && !strings.ContainsAny(query, "@.-_/") {
		if a, ok, err := e.o.Target.Account(ctx, query); err != nil || ok {
			if err != nil {
				err = fmt.Errorf("look for %q on the server: %w", query, err)
			}
			return a, ok, err
		}
	}
	names, emails := []string{strings.ToLower(query)}, []string(nil)
	if strings.Contains(query, "@") {
		names, emails = nil, []string{query}
	}
	if strings.ContainsAny(query, "/=, ") {
		return identity.Account{}, false, nil // no username and no e-mail
	}
	found, err := e.o.Target.Lookup(ctx, names, emails)
	if err != nil || len(found) == 0 {
		if err != nil {
			err = fmt.Errorf("look for %q on the server: %w", query, err)
		}
		return identity.Account{}, false, err
	}
	return found[0], true, nil
}

func onlyOne(list []identity.Link, query string) (identity.Link, error) {
	switch len(list) {
	case 0:
		return identity.Link{}, UnknownPersonError{Query: query}
	case 1:
		return list[0], nil
	}
	return identity.Link{}, ambiguous(query, keysOfLinks(list))
}

// exactly tells that a query names a link by what belongs to it alone, and not by a
// name that somebody else may have by now.
func exactly(k identity.Link, query string) bool {
	return slices.ContainsFunc([]string{k.Key.String(), k.Key.Anchor, k.AccountID, k.Ref}, func(s string) bool {
		return s != "" && strings.EqualFold(s, query)
	})
}

// findPeople gives the links of the people whom a query names, as far as the store
// knows: by source/anchor, which is one alone, or by anchor, account id, place in the
// source, and the username or e-mail that was last seen.
func findPeople(ctx context.Context, store state.Store, query string) ([]identity.Link, error) {
	all, err := store.Links(ctx, state.LinkFilter{})
	if err != nil {
		return nil, fmt.Errorf("read links: %w", err)
	}
	var exact, named []identity.Link
	for _, k := range all {
		switch {
		case k.Part == identity.Contributor:
		case k.Key.String() == query:
			return []identity.Link{k}, nil
		case exactly(k, query):
			exact = append(exact, k)
		case seenAs(k, query):
			named = append(named, k)
		}
	}
	return append(exact, named...), nil
}

// FindPerson gives the link of the one person whom a query names, as findPeople finds
// people; nil if there is none. Two are refused.
func FindPerson(ctx context.Context, store state.Store, query string) (*identity.Link, error) {
	found, err := findPeople(ctx, store, query)
	switch {
	case err != nil || len(found) == 0:
		return nil, err
	case len(found) > 1:
		return nil, ambiguous(query, keysOfLinks(found))
	}
	return &found[0], nil
}

func keysOfLinks(list []identity.Link) []identity.Key {
	keys := make([]identity.Key, len(list))
	for i := range list {
		keys[i] = list[i].Key
	}
	return keys
}

func seenAs(k identity.Link, query string) bool {
	p := k.Applied.Profile
	if k.Observed != nil {
		p = k.Observed.Profile
	}
	return strings.EqualFold(p.Username, query) || (p.Email != "" && strings.EqualFold(p.Email, query))
}
