package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
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
		if rep, _, err = e.carryOut(l, run, r.g, rep, offset); err != nil {
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
	left   []string              // what is not taken back, and why
	policy plan.Policy           // under which the values of before are wanted
	links  []plan.Decision       // what only changes ownership
	unlink map[identity.Key]bool // whose link goes when the rest is done
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
	r := &reversal{run: run, deeds: deeds, policy: e.revertPolicy(deeds), unlink: map[identity.Key]bool{}}
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
	if err := e.heed(ctx, r.g, nil); err != nil { // what is wanted here is not what a source says
		return nil, Report{}, err
	}
	rep, err := e.judge(ctx, r.g, r.build(), o)
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
			if op.Op.Kind != plan.SetRoles {
				continue
			}
			c := op.Op.Changes[0]
			from, to := identity.ParseRoles(c.From), identity.ParseRoles(c.To)
			at := slices.IndexFunc(p.Roles, func(a plan.RoleAuthority) bool { return a.Source == d.key.Source })
			if at < 0 {
				at = len(p.Roles)
				p.Roles = append(p.Roles, plan.RoleAuthority{Source: d.key.Source})
			}
			p.Roles[at].Managed = p.Roles[at].Managed.Union(from.Minus(to)).Union(to.Minus(from))
		}
	}
	return p
}

// wantBack adds the observation of one person that wants him to be as before the
// run, or says why not.
func (e *Engine) wantBack(ctx context.Context, r *reversal, d *deed) error {
	did := map[plan.OpKind]state.OpRecord{}
	for _, op := range d.ops {
		did[op.Op.Kind] = op
	}
	made, was := did[plan.CreateAccount], did[plan.UnlinkAccount]
	if was.AccountID != "" && made.AccountID == "" {
		return e.linkBack(ctx, r, d, was.AccountID)
	}
	account := d.ops[len(d.ops)-1].AccountID
	k := r.g.links[d.key]
	adopted := did[plan.LinkAccount].AccountID != ""
	switch {
	case k == nil && adopted:
		return nil // it is unlinked again
	case k == nil || k.AccountID != account:
		r.leave(d, "account "+account+" is not this person's any more")
		return nil
	}
	ob := plan.Observation{Key: d.key, Link: k}
	r.v.attach(&ob)
	a := ob.Linked
	if a == nil {
		r.leave(d, "the server has no account "+account+" any more")
		return nil
	}
	d.name = a.Username
	want := &identity.Identity{Key: d.key, Ref: k.Ref, Active: a.Active(), Profile: a.Profile, Roles: a.Roles}
	ob.Desired = want
	if made.AccountID != "" {
		want.Active = false
		if was.AccountID != "" {
			r.leave(d, "account "+was.AccountID+", which was there before, is gone; the one that was made instead is switched off")
		}
	} else {
		r.wantFields(d, want, a, k)
	}
	r.unlink[d.key] = adopted
	r.g.observations = append(r.g.observations, ob)
	return nil
}

// wantFields sets what a person is to have back. Of what somebody changed since,
// nothing is taken back.
func (r *reversal) wantFields(d *deed, want *identity.Identity, a *identity.Account, k *identity.Link) {
	changes, off := d.net()
	for _, f := range slices.Sorted(maps.Keys(changes)) {
		c := changes[f]
		is := value(*a, f)
		same := func(v string) bool {
			switch f {
			case plan.FieldRoles:
				return a.Roles.Equal(identity.ParseRoles(v))
			case plan.Field(identity.Email):
				return strings.EqualFold(is, v)
			case plan.Field(identity.Username):
				return is == v || (v == c.To && is == plan.ParkedPrefix+a.ID) // ours as well, and not for good
			case plan.FieldAuthData:
				return is == v || (is == "" && !r.g.facts.AuthDataVisible)
			}
			return is == v
		}
		switch {
		case f == plan.FieldActive && c.To == "false" && !a.Active() && (a.DeleteAt != off || a.DeleteAt != k.DeactivatedAt):
			r.leave(d, "somebody else switched the account off since")
		case same(c.From) && c.From != c.To:
		case !same(c.To):
			r.leave(d, string(f)+" was changed since, to "+strconv.Quote(is))
		case f == plan.FieldActive:
			want.Active = c.From == "true"
		case f == plan.FieldRoles:
			want.Roles = identity.ParseRoles(c.From)
		case f == plan.FieldAuthService || f == plan.FieldAuthData:
		default:
			want.Profile = want.Profile.With(identity.Attribute(f), c.From)
			want.Owned = want.Owned.With(identity.Attribute(f))
		}
	}
	r.wantLogin(d, want, a, changes)
}

// wantLogin gives back a login that is known whole: there is no way back to a
// password, and none to data that the server did not show.
func (r *reversal) wantLogin(d *deed, want *identity.Identity, a *identity.Account, changes map[plan.Field]plan.Change) {
	service, moved := changes[plan.FieldAuthService]
	data := changes[plan.FieldAuthData]
	hidden := a.Auth.Data == "" && !r.g.facts.AuthDataVisible
	if !moved || a.Auth.Service != service.To || (a.Auth.Data != data.To && !hidden) || (service.From == service.To && data.From == data.To) {
		return
	}
	switch {
	case service.From == "":
		r.leave(d, "the login by password cannot come back; a new password has to be set in Mattermost")
	case data.From == "":
		r.leave(d, "the login by "+service.From+" cannot come back, because the server did not show its data")
	default:
		want.Auth = identity.Auth{Service: service.From, Data: data.From}
	}
}

// net sums up what ops did to each field, and when the last of them switched the
// account off.
func (d *deed) net() (changes map[plan.Field]plan.Change, off int64) {
	changes = map[plan.Field]plan.Change{}
	for _, op := range d.ops {
		switch op.Op.Kind {
		case plan.PatchProfile, plan.SetActive, plan.SetRoles, plan.SetAuth:
		default:
			continue
		}
		if op.After != nil && op.Op.Kind == plan.SetActive {
			off = op.After.DeleteAt
		}
		for _, c := range op.Op.Changes {
			if was, found := changes[c.Field]; found {
				c.From = was.From
			}
			changes[c.Field] = c
		}
	}
	return changes, off
}

func (r *reversal) leave(d *deed, why string) {
	r.left = append(r.left, fmt.Sprintf("%s (%s) is left in this: %s", d.name, d.key, why))
}

// linkBack links somebody again whom the run forgot, if the account is there and
// nobody's.
func (e *Engine) linkBack(ctx context.Context, r *reversal, d *deed, account string) error {
	if k := r.g.links[d.key]; k != nil {
		if k.AccountID != account {
			r.leave(d, "the person has another account by now")
		}
		return nil
	}
	owners, err := e.o.Store.Links(ctx, state.LinkFilter{AccountIDs: []string{account}})
	if err != nil {
		return fmt.Errorf("read whose account %s is: %w", account, err)
	}
	if slices.ContainsFunc(owners, func(k identity.Link) bool { return k.Part != identity.Contributor }) {
		r.leave(d, "account "+account+" is somebody else's by now")
		return nil
	}
	a, ok, err := e.o.Target.Account(ctx, account)
	if err != nil {
		return fmt.Errorf("look at account %s: %w", account, err)
	}
	if !ok {
		r.leave(d, "the server has no account "+account+" any more")
		return nil
	}
	r.v.add(&a)
	r.links = append(r.links, plan.Decision{
		Key: d.key, Ref: d.ops[0].SourceRef, Action: plan.Adopt, Reason: plan.Reverted, AccountID: a.ID, Username: a.Username,
		Detail: r.why() + ": the account is this person's again", Ops: []plan.Op{{Kind: plan.LinkAccount}},
	})
	return nil
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
