package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// What people own who go or come back. It costs a request for each of them, so that
// nobody else is asked about.

// tidyFor is how long after somebody was switched off it is still looked whether what
// he owns is disabled: a run may have been cut off in between, and whoever is absent is
// decided about in every walk over the server for ever.
const tidyFor = 7 * 24 * time.Hour

// belongings adds to observations what the accounts own, where a decision hangs on it.
func (e *Engine) belongings(ctx context.Context, g *gathered, obs []plan.Observation) error {
	var ids []string
	var people []*plan.Observation
	for i := range obs {
		if ob := &obs[i]; e.returns(ob) || e.goes(g, ob) || e.tidies(g, ob) {
			ids, people = append(ids, ob.Linked.ID), append(people, ob)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	var stops map[string][]string
	owned, err := e.o.Target.Belongings(ctx, ids, e.o.Policy.DisableBots)
	if err == nil && e.o.Policy.DisableBots {
		stops, err = e.o.Target.BotsThatStop(ctx, ids)
	}
	if err != nil && e.o.Policy.DisableBots { // whose bots they are keeps nobody in
		g.problems = append(g.problems, fmt.Sprintf("which bots are to be disabled with their owners is not known: %v", err))
		owned, err = e.o.Target.Belongings(ctx, ids, false)
	}
	if err != nil {
		return fmt.Errorf("look at what people own who go or come back: %w", err)
	}
	for _, ob := range people {
		b := owned[ob.Linked.ID]
		b.Bots = slices.DeleteFunc(b.Bots, func(x plan.Leftover) bool {
			withOwner := ob.Linked.Active() && slices.Contains(stops[ob.Linked.ID], x.Name)
			return withOwner || e.kept(g, &Leaver{Key: ob.Key, Account: *ob.Linked}, x) != ""
		})
		ob.Owns = &b
	}
	return nil
}

// mine tells whether the account that an observation is about is there and the
// person's alone.
func mine(ob *plan.Observation) bool {
	return ob.Link != nil && ob.Link.Part != identity.Contributor && ob.Linked != nil
}

// returns tells whether somebody may be about to be switched on.
func (e *Engine) returns(ob *plan.Observation) bool {
	return e.o.Policy.DisableOnReturn && mine(ob) && ob.Desired != nil && ob.Desired.Active && !ob.Linked.Active() &&
		ob.Link.DeactivatedAt != 0 && ob.Link.DeactivatedAt == ob.Linked.DeleteAt
}

// goes tells whether somebody is about to be switched off, or to lose what can be
// taken where that is not possible.
func (e *Engine) goes(g *gathered, ob *plan.Observation) bool {
	if !e.o.Policy.Disables() || !mine(ob) || !ob.Linked.Active() {
		return false
	}
	if g.stops.off(ob.Key) {
		return true
	}
	d := plan.Decide(*ob, e.o.Policy)
	return d.Action == plan.Deactivate || (d.Reason == plan.LockedByLDAP && d.Held == plan.Deactivate)
}

// tidies tells whether what somebody owns who was switched off not long ago may still
// have to be disabled.
func (e *Engine) tidies(g *gathered, ob *plan.Observation) bool {
	return e.o.Policy.Disables() && mine(ob) && !ob.Linked.Active() &&
		(ob.Desired == nil || !ob.Desired.Active || g.stops.off(ob.Key)) && g.now.Sub(time.UnixMilli(ob.Linked.DeleteAt)) < tidyFor
}
