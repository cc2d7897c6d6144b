package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// stops are what operators stopped and switched off and is in force.
type stops struct {
	holds map[identity.Key]state.Stop // the zero Key: everybody; one without an anchor: a source
	offs  map[identity.Key]state.Stop
}

// readStops reads them anew. A run that may write ends those that have expired.
// With pins, those count that reverts made as well.
func (e *Engine) readStops(ctx context.Context, g *gathered, l *lease, pins bool) error {
	g.stops = stops{holds: map[identity.Key]state.Stop{}, offs: map[identity.Key]state.Stop{}}
	list, err := e.o.Store.Stops(ctx, state.StopFilter{Open: true})
	if err != nil {
		return fmt.Errorf("read what operators hold: %w", err)
	}
	var expired []string
	for _, s := range list {
		switch {
		case s.Expired(g.now):
			expired = append(expired, s.ID)
		case s.Run != "" && !pins:
		case s.Kind == state.StopOff:
			g.stops.offs[s.Key] = s
		default:
			if was, found := g.stops.holds[s.Key]; !found || outlasts(s, was) {
				g.stops.holds[s.Key] = s
			}
		}
	}
	if l == nil || len(expired) == 0 {
		return nil
	}
	if err := e.o.Store.EndStops(ctx, expired, "its time", g.now); err != nil {
		return fmt.Errorf("end holds whose time is over: %w", err)
	}
	return nil
}

// outlasts tells whether one of two stops about the same is in force longer.
func outlasts(a, b state.Stop) bool {
	switch {
	case a.Expires.IsZero() || b.Expires.IsZero():
		return a.Expires.IsZero() && !b.Expires.IsZero()
	}
	return a.Expires.After(b.Expires)
}

// problems says which holds of everything and of sources are in force, and what
// ends them.
func (s *stops) problems() []string {
	var out []string
	for k, x := range s.holds {
		if k.Anchor == "" {
			out = append(out, fmt.Sprintf("%s: nothing is written there until it ends; to go on: mmsync hold release %s --reason …", word(x).Sentence(), x.ID))
		}
	}
	slices.Sort(out)
	return out
}

// word is a stop as decisions know it.
func word(s state.Stop) *plan.Word {
	w := &plan.Word{ID: s.ID, About: "held", Reason: s.Reason, By: s.MadeBy, Since: s.MadeAt, Until: s.Expires}
	switch {
	case s.Kind == state.StopOff:
		w.About = "switched off"
	case s.Key.Source == "":
		w.About = "everything is held"
	case s.Key.Anchor == "":
		w.About = "source " + s.Key.Source + " is held"
	}
	return w
}

// hold gives the widest hold that somebody is under; nil if there is none.
func (s *stops) hold(k identity.Key) *plan.Word {
	for _, about := range []identity.Key{{}, {Source: k.Source}, k} {
		if x, found := s.holds[about]; found {
			return word(x)
		}
	}
	return nil
}

// off tells whether an operator said that a person is off.
func (s *stops) off(k identity.Key) bool {
	_, found := s.offs[k]
	return found
}

// unsettle makes everybody be decided of whom an operator spoke. The end of that
// needs nothing of the kind: whoever differs from what the source wants is held as
// long as it lasts, and whoever is held is not settled.
func (s *stops) unsettle(r *roster) {
	for _, list := range []map[identity.Key]state.Stop{s.holds, s.offs} {
		for k := range list {
			if at := r.find(k); at >= 0 {
				r.heads[at].settled = state.Digest{}
			}
		}
	}
}

// bySource ends what an operator said and a source has come to say as well.
const bySource = "the source, which says the same by now"

// heed adds to observations what operators said. A switching off that the source
// has come to agree with ends here, and the usual rules hold again.
func (e *Engine) heed(ctx context.Context, g *gathered, l *lease) error {
	var agreed []string
	bars := e.barred(g)
	for i := range g.observations {
		ob := &g.observations[i]
		ob.Barred = bars
		ob.Stopped, ob.Off = g.stops.hold(ob.Key), nil
		off, found := g.stops.offs[ob.Key]
		if !found {
			continue
		}
		if plan.Agrees(*ob, e.o.Policy) {
			agreed = append(agreed, off.ID)
			continue
		}
		ob.Off = word(off)
		if own, held := g.stops.holds[ob.Key]; held && ob.Stopped != nil && ob.Stopped.ID == own.ID && own.Run != "" && ob.Linked != nil && ob.Linked.Active() {
			ob.Stopped = nil // that a run was taken back does not let somebody in who has to be off
		}
	}
	if l == nil || len(agreed) == 0 {
		return nil
	}
	if err := e.o.Store.EndStops(ctx, agreed, bySource, g.now); err != nil {
		return fmt.Errorf("end what the source says by itself by now: %w", err)
	}
	return nil
}

// heedAnew reads what operators said since and heeds it.
func (e *Engine) heedAnew(ctx context.Context, g *gathered, l *lease) error {
	if err := e.readStops(ctx, g, l, true); err != nil {
		return err
	}
	return e.heed(ctx, g, l)
}

// heldLeavers says who has left and keeps access because an operator holds it;
// nothing if there is nobody.
func heldLeavers(p plan.Plan) []string {
	list := p.HeldLeavers()
	if len(list) == 0 {
		return nil
	}
	names := make([]string, len(list))
	for i := range list {
		names[i] = strconv.Quote(list[i].Username)
	}
	people := "1 person who has left keeps access"
	if len(list) > 1 {
		people = fmt.Sprintf("%d people who have left keep access", len(list))
	}
	return []string{fmt.Sprintf("%s, because an operator holds what would end it: %s; mmsync hold list shows who and why, mmsync hold release ends it", people, some(names))}
}

// heldBack says why an op must not be sent, because an operator stopped it,
// perhaps since the plan was made; "" if it may. The run's own stops do not stop it,
// and those that reverts made stop neither a revert nor an operator who switches the
// person off.
func (a *applier) heldBack(ctx context.Context, d *plan.Decision, op plan.Op) (string, error) {
	list, err := a.e.o.Store.Stops(ctx, state.StopFilter{Open: true, About: d.Key})
	if err != nil {
		return "", fmt.Errorf("read what operators hold: %w", err)
	}
	now := a.planned.Add(time.Since(a.now))
	for _, s := range list {
		own := s.Run == a.runID || (s.Run != "" && (a.kind == kindRevert || d.Reason == plan.OperatorOff || d.Reason == plan.LockedByLDAP))
		on, _ := op.To(plan.FieldActive)
		letsIn := op.Kind == plan.CreateAccount || (op.Kind == plan.SetActive && on == "true")
		if s.Expired(now) || own || (s.Kind == state.StopOff && !letsIn) {
			continue
		}
		return word(s).Sentence() + "; to go on: mmsync hold release " + s.ID + " --reason …", nil
	}
	return "", nil
}

// watch ends a call that waits for the server's rate when an operator stops it
// meanwhile. What has left is not ended by that.
func (a *applier) watch(ctx context.Context, end context.CancelFunc, d *plan.Decision, op plan.Op) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if why, err := a.heldBack(ctx, d, op); err == nil && why != "" {
			end()
			return
		}
	}
}

// heldError is why a call was not made: the sentence of a stop.
type heldError struct{ why string }

func (h heldError) Error() string { return h.why }

// Hold stops all writes about a Key, from now on and in the run that is at work:
// everybody's if it is zero, a source's if it has no anchor. lasts of 0 means until
// it is released. It takes no lease, and is recorded as a run under the same id.
func Hold(ctx context.Context, store state.Store, o RunOptions, about identity.Key, lasts time.Duration) (state.Stop, error) {
	now, err := store.Now(ctx)
	if err != nil {
		return state.Stop{}, fmt.Errorf("read the store's clock: %w", err)
	}
	s := state.Stop{ID: runID(now), Kind: state.StopHold, Key: about, Reason: o.Reason, MadeBy: o.RequestedBy, MadeAt: now}
	if lasts > 0 {
		s.Expires = now.Add(lasts)
	}
	if err := store.PutStops(ctx, []state.Stop{s}); err != nil {
		return s, fmt.Errorf("write the hold down: %w", err)
	}
	return s, noteWord(ctx, store, "hold", s.ID, now, o, word(s).Sentence())
}

// ReleaseHold ends the open stops that pick accepts and gives them, by ID. It is
// recorded as a run; if there is none, nothing is.
func ReleaseHold(ctx context.Context, store state.Store, o RunOptions, pick func(state.Stop) bool) ([]state.Stop, error) {
	now, err := store.Now(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the store's clock: %w", err)
	}
	list, err := OpenStops(ctx, store)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(s state.Stop) bool { return !pick(s) })
	if len(list) == 0 {
		return nil, nil
	}
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = list[i].ID
		list[i].EndedAt, list[i].EndedBy = now, o.RequestedBy
	}
	if err := store.EndStops(ctx, ids, o.RequestedBy, now); err != nil {
		return nil, fmt.Errorf("end holds: %w", err)
	}
	if err := store.WakeDue(ctx, string(plan.OnHold)); err != nil {
		return nil, fmt.Errorf("have those worked on who were held: %w", err)
	}
	return list, noteWord(ctx, store, "release", runID(now), now, o, "released "+strings.Join(ids, ", "))
}

// OpenStops lists the stops in force, by the time they were made.
func OpenStops(ctx context.Context, store state.Store) ([]state.Stop, error) {
	now, err := store.Now(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the store's clock: %w", err)
	}
	list, err := store.Stops(ctx, state.StopFilter{Open: true})
	if err != nil {
		return nil, fmt.Errorf("list holds: %w", err)
	}
	list = slices.DeleteFunc(list, func(s state.Stop) bool { return s.Expired(now) })
	slices.SortStableFunc(list, func(a, b state.Stop) int {
		return cmp.Or(a.MadeAt.Compare(b.MadeAt), cmp.Compare(a.ID, b.ID))
	})
	return list, nil
}

// noteWord records what an operator said as a run that began and ended, so that
// the history shows who said it, and why.
func noteWord(ctx context.Context, store state.Store, kind, id string, now time.Time, o RunOptions, said string) error {
	run := state.Run{
		ID: id, Kind: kind, Trigger: o.Trigger, RequestedBy: o.RequestedBy, Reason: o.Reason, Status: state.RunDone,
		RequestedAt: now, StartedAt: now, FinishedAt: now, Message: said,
	}
	if err := store.SaveRun(ctx, run); err != nil {
		return fmt.Errorf("record who said it: %w", err)
	}
	return nil
}
