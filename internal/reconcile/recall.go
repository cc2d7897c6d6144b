package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Recollection is what the store knows about one person: nobody was asked.
type Recollection struct {
	Key    identity.Key
	Link   *identity.Link // nil if mmsync owns no account for the person
	Others []identity.Key
	// Run is the last one about everybody; Decision what it decided about the person, nil
	// if nothing was to be done or said.
	Run      state.Run
	Decision *plan.Decision
	Due      *state.Due // nil if nobody waits for the person
	// History are the last ops, newest first.
	History []state.OpRecord
	// Holder has the right to talk to Mattermost meanwhile.
	Holder string
	Now    time.Time
}

// Recall gives what the store knows about one person, while another process has the
// lease: rate and order are one for the whole server, and it is the one who asks there.
// ok is false if nobody else has the lease; then Explain may ask.
func (e *Engine) Recall(ctx context.Context, query string) (r Recollection, ok bool, err error) {
	held, ok, err := e.o.Store.HeldLease(ctx, leaseName)
	if err != nil {
		return r, false, fmt.Errorf("see who may ask Mattermost: %w", err)
	}
	if !ok || held.Holder == e.o.Holder {
		return r, false, nil
	}
	r.Holder = held.Holder
	if r.Now, err = e.o.Store.Now(ctx); err != nil {
		return r, true, fmt.Errorf("read the store's clock: %w", err)
	}
	decided, err := e.lastDecided(ctx, &r)
	if err != nil {
		return r, true, err
	}
	links, err := e.o.Store.Links(ctx, state.LinkFilter{})
	if err != nil {
		return r, true, fmt.Errorf("read links: %w", err)
	}
	obs := make([]plan.Observation, 0, len(links))
	at := make(map[identity.Key]bool, len(links))
	for i := range links {
		k := &links[i]
		at[k.Key] = true
		obs = append(obs, plan.Observation{Key: k.Key, Link: k, Linked: k.Observed})
	}
	for i := range decided {
		if d := &decided[i].Decision; !at[d.Key] {
			obs = append(obs, plan.Observation{Key: d.Key, Desired: &identity.Identity{Key: d.Key, Ref: d.Ref, Profile: identity.Profile{Username: d.Username}}})
		}
	}
	found, others, err := pick(obs, query)
	switch {
	case err != nil:
		return r, true, err
	case found == nil:
		return r, true, fmt.Errorf("%w: %s is at work and is the one who asks Mattermost, and in what the store knows nobody fits; ask again when it pauses, or run mmsync explain", ErrRefused, r.Holder)
	}
	r.Key, r.Link, r.Others = found.Key, found.Link, others
	for i := range decided {
		if decided[i].Decision.Key == r.Key {
			r.Decision = &decided[i].Decision
		}
	}
	due, err := e.o.Store.DueOf(ctx, []identity.Key{r.Key})
	if err != nil {
		return r, true, fmt.Errorf("see whether %s waits: %w", r.Key, err)
	}
	if len(due) > 0 {
		r.Due = &due[0]
	}
	if r.History, err = e.o.Store.Ops(ctx, state.OpFilter{Key: r.Key, Limit: historyLength}); err != nil {
		return r, true, fmt.Errorf("read what was done before: %w", err)
	}
	slices.Reverse(r.History)
	slices.SortStableFunc(r.History, func(a, b state.OpRecord) int { return b.PlannedAt.Compare(a.PlannedAt) })
	return r, true, nil
}

// lastDecided fills in the last run about everybody and gives what it decided.
func (e *Engine) lastDecided(ctx context.Context, r *Recollection) ([]state.DecisionRecord, error) {
	err := e.eachRun(ctx, func(x *state.Run) bool {
		if Whole(x) {
			r.Run = *x
		}
		return Whole(x)
	})
	if err != nil || r.Run.ID == "" {
		return nil, err
	}
	list, err := e.o.Store.Decisions(ctx, r.Run.ID)
	if err != nil {
		return nil, fmt.Errorf("list the decisions of run %s: %w", r.Run.ID, err)
	}
	return list, nil
}
