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

// Contribute says by hand that somebody of one source is the person whose account
// another source owns. person is as in SetLink, account its id or username. Nothing is
// written to the account; what the source has authority over shows in the next plan.
func (e *Engine) Contribute(ctx context.Context, o RunOptions, person, account string, dry bool) (Report, error) {
	return e.own(ctx, o, everything, dry, func(ctx context.Context, w *ownership) error {
		ob, err := w.person(person)
		if err != nil {
			return err
		}
		a, err := w.account(ctx, account)
		if err != nil {
			return err
		}
		owner, err := w.ownerOf(ctx, a)
		if err != nil {
			return err
		}
		w.message = fmt.Sprintf("%s contributes to account %s", ob.Key, a.ID)
		switch k := ob.Link; {
		case k != nil && k.AccountID == a.ID && k.Part == identity.Contributor:
			return nil // so it is already
		case k != nil && k.Part == identity.Owner:
			return fmt.Errorf("%w: %s has account %s of his own; %s gives it up", ErrRefused, ob.Key, k.AccountID, plan.Command("link release", ob.Key.String()))
		case owner.Key.Source == ob.Key.Source:
			return fmt.Errorf("%w: account %q (%s) is that of %s, of the same source; if that is the same person under a new id, %s", ErrRefused, a.Username, a.ID, owner.Key, plan.Command("link rekey", owner.Key.String(), ob.Key.String()))
		case ob.Desired.Fault != "":
			return fmt.Errorf("%w: the entry of %s cannot be used: %s", ErrRefused, ob.Key, ob.Desired.Fault)
		}
		if err := e.unheld(ctx, ob.Key, owner.Key); err != nil {
			return err
		}
		link := &identity.Link{
			Key: ob.Key, AccountID: a.ID, Part: identity.Contributor, Origin: identity.OriginOperator, Ref: ob.Desired.Ref,
			CreatedAt: w.now, UpdatedAt: w.now,
		}
		link.Applied = saidBy(ob.Desired, link)
		w.steps = append(w.steps, step{
			decision: plan.Decision{
				Key: ob.Key, Ref: ob.Desired.Ref, Action: plan.Adopt, Reason: plan.Contributes, AccountID: a.ID, Username: a.Username,
				Detail: ob.Key.String() + " is said to be the person whose account " + owner.Key.String() + " owns, and only adds to it",
				Ops:    []plan.Op{{Kind: plan.LinkAccount, Changes: []plan.Change{{Field: plan.FieldPart, To: string(identity.Contributor)}}}},
			},
			link: link, account: a,
		})
		w.allow = append(w.allow, w.refused(ob.Key, a.ID)) // the last word counts
		return nil
	})
}

// ownerOf gives the link that owns an account.
func (w *ownership) ownerOf(ctx context.Context, a *identity.Account) (*identity.Link, error) {
	links, err := w.e.o.Store.Links(ctx, state.LinkFilter{AccountIDs: []string{a.ID}})
	if err != nil {
		return nil, fmt.Errorf("read whose account %s is: %w", a.ID, err)
	}
	for i := range links {
		if links[i].Part == identity.Owner {
			return &links[i], nil
		}
	}
	return nil, fmt.Errorf("%w: account %q (%s) is nobody's, so that nobody can add to it; mmsync link set makes it a person's", ErrRefused, a.Username, a.ID)
}

// HandOver gives the account of one person to another source that contributes to it:
// from is the owner, as in Rekey, to the source's name. Both may list the person; the
// old owner goes on as a contributor. The account is not written to.
func (e *Engine) HandOver(ctx context.Context, o RunOptions, from, to string, privileged, dry bool) (Report, error) {
	return e.own(ctx, o, everything, dry, func(ctx context.Context, w *ownership) error {
		if err := w.isRead(to); err != nil {
			return err
		}
		old, err := w.owner(ctx, from)
		if err != nil {
			return err
		}
		w.atOnce = true
		w.message = fmt.Sprintf("account %s goes to source %s", old.Link.AccountID, to)
		return w.handOver(ctx, old, to, privileged)
	})
}

// HandOverAll gives the accounts of everybody of one source to another that
// contributes to them. Everybody else is left and named. expect is how many there must
// be; negative is any number.
func (e *Engine) HandOverAll(ctx context.Context, o RunOptions, from, to string, expect int, privileged, dry bool) (Report, error) {
	return e.own(ctx, o, everything, dry, func(ctx context.Context, w *ownership) error {
		if from == to {
			return fmt.Errorf("%w: %s is one and the same source", ErrRefused, from)
		}
		if err := w.isRead(to); err != nil {
			return err
		}
		links, err := e.o.Store.Links(ctx, state.LinkFilter{Source: from})
		if err != nil {
			return fmt.Errorf("read links: %w", err)
		}
		w.atOnce = true
		for i := range links {
			if links[i].Part != identity.Owner {
				continue
			}
			old := w.observation(links[i].Key)
			if old == nil {
				old, err = w.owner(ctx, links[i].Key.String())
			}
			if err == nil {
				err = w.handOver(ctx, old, to, privileged)
			}
			switch {
			case errors.Is(err, ErrRefused):
				w.leave("%s stays: %s", links[i].Key, strings.TrimPrefix(err.Error(), ErrRefused.Error()+": "))
				err = nil
			case err != nil:
				return err
			}
		}
		if !dry && expect >= 0 && expect != len(w.steps) {
			return &CountError{Source: from, To: to, Expected: expect, Links: len(w.steps)}
		}
		w.message = fmt.Sprintf("%d accounts go from source %s to %s", len(w.steps), from, to)
		return nil
	})
}

// isRead refuses a source of whose people nobody knows now.
func (w *ownership) isRead(source string) error {
	for i := range w.g.summaries {
		s := &w.g.summaries[i]
		switch {
		case s.Name != source:
		case !s.Complete:
			return fmt.Errorf("%w: %s was not read whole, so that nobody knows whom it has: %s", ErrRefused, source, s.Doubt)
		default:
			return nil
		}
	}
	return fmt.Errorf("%w: there is no source %s in the configuration", ErrRefused, source)
}

// handOver adds the step by which one account goes to a contributor.
func (w *ownership) handOver(ctx context.Context, old *plan.Observation, to string, privileged bool) error {
	links, err := w.e.o.Store.Links(ctx, state.LinkFilter{AccountIDs: []string{old.Link.AccountID}})
	if err != nil {
		return fmt.Errorf("read who knows account %s: %w", old.Link.AccountID, err)
	}
	var heir *plan.Observation
	for i := range links {
		if k := &links[i]; k.Key.Source == to && k.Part == identity.Contributor {
			if ob := w.observation(k.Key); ob != nil && ob.Desired != nil && ob.Desired.Active && ob.Desired.Fault == "" {
				heir = ob
			}
		}
	}
	if heir == nil {
		return fmt.Errorf("%w: nobody of %s who is active there contributes to %s of %s; mmsync link contribute says who it is", ErrRefused, to, accountName(old), old.Key)
	}
	if why := w.notGiven(old, privileged); why != "" {
		return fmt.Errorf("%w: %s of %s %s", ErrRefused, accountName(old), old.Key, why)
	}
	if err := w.settled(ctx, []identity.Link{*old.Link}); err != nil {
		return err
	}
	if err := w.e.unheld(ctx, old.Key, heir.Key); err != nil {
		return err
	}
	if old.Off != nil {
		return fmt.Errorf("%w: %s is %s, and what keeps him off does not go along; to go on: mmsync hold release %s --reason …", ErrRefused, old.Key, old.Off.Sentence(), old.Off.ID)
	}
	w.give(old, heir)
	return nil
}

// notGiven says why an account cannot change hands, in words that follow its name; ""
// if it can.
func (w *ownership) notGiven(old *plan.Observation, privileged bool) string {
	switch {
	case old.Linked == nil:
		return "is not on the server"
	case !old.Linked.Active():
		return "is switched off; if the person is back: " + plan.Command("link rekey", old.Key.String(), "SOURCE/ANCHOR")
	}
	return w.stuck(old, privileged)
}

// give makes a contributor the owner and the owner a contributor.
func (w *ownership) give(old, heir *plan.Observation) {
	link, stays := given(old.Link, heir.Key, heir.Desired.Ref, w.now)
	if heir.Desired.MatchKey != "" {
		link.Applied.MatchKey = heir.Desired.MatchKey
	}
	stays.Applied.Active = old.Desired != nil && old.Desired.Active
	d := plan.Decision{
		Key: old.Key, Ref: heir.Desired.Ref, Action: plan.Adopt, Reason: plan.HandedOver, AccountID: link.AccountID, Username: old.Linked.Username,
		Detail: "goes from " + old.Key.String() + " to " + heir.Key.String() + " " + wantedName(heir) + ", and the first goes on to contribute",
		Ops: []plan.Op{{Kind: plan.LinkAccount, Changes: []plan.Change{
			{Field: plan.FieldKey, From: old.Key.String(), To: heir.Key.String()},
			{Field: plan.FieldPart, From: string(identity.Owner), To: string(identity.Contributor)},
		}}},
	}
	w.steps = append(w.steps, step{decision: d, link: &link, stays: &stays, account: old.Linked})
}

// given are the links once an account has gone from its owner to another Key: the old
// owner goes on as a contributor who has nothing to say. Merged with what others say,
// what he himself wants is not known here: it counts from the next read on.
func given(old *identity.Link, to identity.Key, ref string, now time.Time) (gets, keeps identity.Link) {
	gets = *old
	gets.Key, gets.Ref, gets.UpdatedAt = to, ref, now
	keeps = identity.Link{
		Key: old.Key, AccountID: old.AccountID, Part: identity.Contributor, Origin: old.Origin, Ref: old.Ref,
		Applied: identity.Applied{MatchKey: old.Applied.MatchKey}, CreatedAt: old.CreatedAt, UpdatedAt: now,
	}
	return gets, keeps
}

// handedOver gives those whose accounts go to another source by a plan: nobody misses
// them any more.
func handedOver(p plan.Plan) []identity.Key {
	var out []identity.Key
	for i := range p.Decisions {
		if d := &p.Decisions[i]; d.Reason == plan.HandedOver && len(d.Ops) > 0 {
			out = append(out, d.Key)
		}
	}
	return slices.Clip(out)
}
