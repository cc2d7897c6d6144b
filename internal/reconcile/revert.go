package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// kindRevert is the kind of a run that takes back what another did.
const kindRevert = "revert"

// Revert takes back what a run did, as far as the accounts still show it, by the
// values of before. It is planned and guarded like any run. Everybody whom that run
// changed is held from then on, so that the next sync does not do it again: until
// somebody releases the holds of this run.
func (e *Engine) Revert(ctx context.Context, o RunOptions, id string) (Report, error) {
	return e.oneRun(ctx, kindRevert, o, func(l *lease, run *state.Run) (Report, error) {
		facts, calls, offset, err := e.opening(l.ctx, l)
		if err != nil {
			return Report{}, err
		}
		r, rep, err := e.planRevert(l.ctx, l, facts, calls, o, id)
		if err != nil {
			return rep, err
		}
		run.Options = r.options()
		if err := refuse(r.g.facts, rep.Plan); err != nil {
			return rep, err
		}
		pins, err := e.pin(l.ctx, r, run, o)
		if err != nil {
			return rep, err
		}
		rep.Pinned = len(pins)
		if rep, _, err = e.carryOut(l.ctx, l, run, r.g, rep, offset); err != nil {
			return rep, err
		}
		return rep, e.fulfil(l.ctx, l, run.ID, r.g, &rep, false)
	})
}

// PlanRevert shows what Revert would do, and writes nothing but its own run row.
func (e *Engine) PlanRevert(ctx context.Context, o RunOptions, id string) (Report, error) {
	return e.oneLook(ctx, o, func(run *state.Run) (Report, error) {
		facts, calls, _, err := e.opening(ctx, nil)
		if err != nil {
			return Report{}, err
		}
		r, rep, err := e.planRevert(ctx, nil, facts, calls, o, id)
		if err == nil {
			run.Options = r.options()
		}
		return rep, err
	})
}

// reversal is what is known while a run is taken back.
type reversal struct {
	run    state.Run
	deeds  []deed
	g      *gathered
	v      *view
	left   []string        // what is not taken back, and why
	policy plan.Policy     // under which the values of before are wanted
	links  []plan.Decision // what only changes ownership
	// toPassword says that logins by password come back as far as they can, and
	// password whose do.
	toPassword bool
	password   map[identity.Key]bool
	unlink     map[identity.Key]bool // whose link goes when the rest is done
}

// deed is what a run did to one person, in order.
type deed struct {
	key  identity.Key
	name string
	ops  []state.OpRecord
}

// revertible finds the run and what it did, and how many of its calls may still be
// on their way.
func (e *Engine) revertible(ctx context.Context, id string) (state.Run, []deed, int, error) {
	runs, err := e.o.Store.Runs(ctx, state.RunFilter{ID: id})
	switch {
	case err != nil:
		return state.Run{}, nil, 0, fmt.Errorf("read run %s: %w", id, err)
	case len(runs) == 0:
		return state.Run{}, nil, 0, fmt.Errorf("%w: there is no run %q; mmsync history lists them", ErrRefused, id)
	case len(runs) > 1:
		return state.Run{}, nil, 0, fmt.Errorf("%w: %q fits %d runs; give more of its id", ErrRefused, id, len(runs))
	case runs[0].Kind == kindLeftovers:
		return runs[0], nil, 0, fmt.Errorf("%w: run %s disabled tokens and bots, and mmsync enables none; mmsync history %s names them, and an administrator of Mattermost enables them", ErrRefused, runs[0].ID, runs[0].ID)
	case runs[0].Kind == kindForGood:
		return runs[0], nil, 0, fmt.Errorf("%w: run %s deleted accounts for good, and nothing brings them back; mmsync history %s names them", ErrRefused, runs[0].ID, runs[0].ID)
	case runs[0].Status.Open():
		return runs[0], nil, 0, fmt.Errorf("%w: run %s is still at work; wait for its end, or stop it with mmsync hold", ErrRefused, runs[0].ID)
	}
	ops, err := e.o.Store.Ops(ctx, state.OpFilter{Run: runs[0].ID, Statuses: []state.OpStatus{state.OpDone, state.OpObserved, state.OpSent}})
	if err != nil {
		return runs[0], nil, 0, fmt.Errorf("read what run %s did: %w", runs[0].ID, err)
	}
	var deeds []deed
	sent := 0
	at := map[identity.Key]int{}
	for _, op := range ops {
		if !op.Status.Closed() {
			sent++
			continue
		}
		i, known := at[op.Key]
		if !known {
			i = len(deeds)
			at[op.Key] = i
			deeds = append(deeds, deed{key: op.Key, name: op.Username})
		}
		deeds[i].ops = append(deeds[i].ops, op)
	}
	if len(deeds)+sent == 0 {
		return runs[0], nil, 0, fmt.Errorf("%w: run %s (%s) changed nothing, so there is nothing to take back", ErrRefused, runs[0].ID, runs[0].Kind)
	}
	return runs[0], deeds, sent, nil
}

// planRevert decides what is done to take a run back: the values of before are
// wanted like those of a source, so that all that protects people from a source
// protects them from this as well.
func (e *Engine) planRevert(ctx context.Context, l *lease, facts plan.Facts, calls busy, o RunOptions, id string) (*reversal, Report, error) {
	run, deeds, sent, err := e.revertible(ctx, id)
	if err != nil {
		return nil, Report{}, err
	}
	keys := make([]identity.Key, len(deeds))
	for i := range deeds {
		keys[i] = deeds[i].key
	}
	r := &reversal{run: run, deeds: deeds, policy: e.revertPolicy(deeds), unlink: map[identity.Key]bool{}, password: map[identity.Key]bool{}}
	r.toPassword = o.rollback != nil && o.rollback.ToPassword
	if r.g, r.v, err = e.few(ctx, l, facts, calls, keys, false); err != nil {
		return nil, Report{}, err
	}
	if sent > 0 {
		r.left = append(r.left, fmt.Sprintf("calls of run %s may still be on their way (%d): take it back once more in a minute or two", run.ID, sent))
	}
	var w wanted
	for i := range deeds {
		if err := e.wantBack(ctx, r, &deeds[i]); err != nil {
			return nil, Report{}, err
		}
	}
	for i := range r.g.observations {
		w.add(r.g.observations[i].Desired, r.g.observations[i].Linked)
	}
	slices.Sort(w.usernames)
	slices.Sort(w.emails)
	if err := e.find(ctx, r.v, w); err != nil {
		return nil, Report{}, err
	}
	if err := e.protect(ctx, r.g, r.v, l); err != nil {
		return nil, Report{}, err
	}
	if err := e.complete(ctx, r.g, r.v, r.g.observations); err != nil {
		return nil, Report{}, err
	}
	if err := e.wantPlaces(ctx, r); err != nil {
		return nil, Report{}, err
	}
	if err := e.heed(ctx, r.g, nil); err != nil { // what is wanted here is not what a source says
		return nil, Report{}, err
	}
	p := r.build()
	if o.rollback != nil {
		if err := o.rollback.agreed(p, run); err != nil {
			return nil, Report{}, err
		}
	}
	rep, err := e.judge(ctx, r.g, p, p, o)
	if err != nil {
		return nil, Report{}, err
	}
	rep.Plan.Sources = nil // none was read
	rep.Problems = append(rep.Problems, r.left...)
	return r, rep, nil
}

// revertPolicy lets everything be taken back that a run can have done; guards and
// approvals of rights are as ever.
func (e *Engine) revertPolicy(deeds []deed) plan.Policy {
	p := e.o.Policy
	p.Update, p.Reactivate, p.ChangeAuth, p.RecreateGone = true, true, true, false
	p.Deactivate, p.Grace, p.UserOwned = plan.Triggers{Disabled: true}, plan.Grace{}, 0
	p.Roles = slices.Clone(p.Roles)
	for _, d := range deeds {
		for _, op := range d.ops {
			guest := op.Op.Kind == plan.Promote || op.Op.Kind == plan.Demote
			if op.Op.Kind != plan.SetRoles && !guest {
				continue
			}
			at := slices.IndexFunc(p.Roles, func(a plan.RoleAuthority) bool { return a.Source == d.key.Source })
			if at < 0 {
				at = len(p.Roles)
				p.Roles = append(p.Roles, plan.RoleAuthority{Source: d.key.Source})
			}
			if guest {
				p.Roles[at].Guests, p.Roles[at].Guest = true, plan.LostTake
				continue
			}
			c := op.Op.Changes[0]
			from, to := identity.ParseRoles(c.From), identity.ParseRoles(c.To)
			p.Roles[at].Kept, p.Roles[at].Asked = nil, nil
			p.Roles[at].Managed = p.Roles[at].Managed.Union(from.Minus(to)).Union(to.Minus(from))
		}
	}
	return p
}

// options names the run that is taken back in the record of the one that does it.
func (r *reversal) options() string { return fmt.Sprintf(`{"revert":%q}`, r.run.ID) }

func (r *reversal) why() string { return "takes back run " + r.run.ID }

// build plans the reversal.
func (r *reversal) build() plan.Plan {
	p := plan.Build(r.g.observations, r.policy)
	for i := range p.Decisions {
		d := &p.Decisions[i]
		for _, source := range []string{"disabled in ", "back in "} { // none says so
			d.Detail = strings.Replace(d.Detail, source+d.Key.Source, r.why(), 1)
		}
		if d.Action == plan.Hold || len(d.Ops) == 0 {
			continue
		}
		d.Reason, d.Detail = plan.Reverted, r.why()
		for _, n := range d.Notes {
			why := n.Detail
			if r.unlink[d.Key] {
				why += "; the account stays this person's as long"
			}
			r.left = append(r.left, fmt.Sprintf("%q (%s) is left in this: %s", d.Username, d.Key, why))
		}
		if r.unlink[d.Key] && len(d.Notes) == 0 { // else it has something still to be given back
			d.Ops = append(slices.Clone(d.Ops), plan.Op{Kind: plan.UnlinkAccount})
		}
		delete(r.unlink, d.Key)
	}
	for _, ob := range r.g.observations {
		held := slices.ContainsFunc(p.Decisions, func(d plan.Decision) bool { return d.Key == ob.Key })
		if !r.unlink[ob.Key] || held {
			continue
		}
		r.links = append(r.links, plan.Decision{
			Key: ob.Key, Ref: ob.Link.Ref, Action: plan.Forget, Reason: plan.Reverted, AccountID: ob.Linked.ID, Username: ob.Linked.Username,
			Detail: r.why() + ": the account is nobody's again", Ops: []plan.Op{{Kind: plan.UnlinkAccount}},
		})
		p.Unchanged--
	}
	for _, d := range r.links {
		if d.Action == plan.Adopt {
			a := r.v.byID[d.AccountID]
			r.g.observations = append(r.g.observations, plan.Observation{Key: d.Key, ByIntent: a, Facts: &r.g.facts, Now: r.g.now})
		}
		if w := r.g.stops.hold(d.Key); w != nil {
			d.Held, d.Withheld, d.Ops = d.Action, d.Ops, nil
			d.Action, d.Reason, d.Detail = plan.Hold, plan.OnHold, d.Detail+"; but "+w.Sentence()
		}
		p.Decisions = append(p.Decisions, d)
	}
	rank := func(a plan.Action) int { return slices.Index(plan.Actions(), a) }
	slices.SortStableFunc(p.Decisions, func(a, b plan.Decision) int { return cmp.Compare(rank(a.Action), rank(b.Action)) })
	return p
}

// pin holds everybody whom the reverted run changed, before the first call, if a
// revert of the same run does not hold him already: what another one holds may be
// released before this.
func (e *Engine) pin(ctx context.Context, r *reversal, run *state.Run, o RunOptions) ([]state.Stop, error) {
	open, err := e.o.Store.Stops(ctx, state.StopFilter{Open: true, Kind: state.StopHold})
	if err != nil {
		return nil, fmt.Errorf("read what operators hold: %w", err)
	}
	pinned, same := map[identity.Key]bool{}, map[string]bool{"": false}
	for _, s := range open {
		if _, known := same[s.Run]; !known {
			runs, err := e.o.Store.Runs(ctx, state.RunFilter{ID: s.Run})
			if err != nil {
				return nil, fmt.Errorf("read what run %s took back: %w", s.Run, err)
			}
			same[s.Run] = slices.ContainsFunc(runs, func(x state.Run) bool { return x.ID == s.Run && x.Options == r.options() })
		}
		pinned[s.Key] = pinned[s.Key] || (same[s.Run] && s.Expires.IsZero())
	}
	now, err := e.o.Store.Now(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the store's clock: %w", err)
	}
	var pins []state.Stop
	for _, d := range r.deeds {
		if pinned[d.key] {
			continue
		}
		pins = append(pins, state.Stop{
			ID: fmt.Sprintf("%s-%04d", run.ID, len(pins)+1), Kind: state.StopHold, Key: d.key, Run: run.ID,
			Reason: strings.TrimSpace("run " + r.run.ID + " was taken back. " + o.Reason), MadeBy: cmp.Or(o.RequestedBy, "mmsync"), MadeAt: now,
		})
	}
	if err := e.o.Store.PutStops(ctx, pins); err != nil {
		return nil, fmt.Errorf("hold those who are taken back: %w", err)
	}
	return pins, nil
}
