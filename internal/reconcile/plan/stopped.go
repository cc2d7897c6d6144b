package plan

import (
	"time"

	"github.com/mmsync/mmsync/internal/identity"
)

// Word is what an operator said about a Key: that nothing is to be done, or that
// the person is to be off.
type Word struct {
	ID string
	// About says in words what was said, "everything is held", "source corp is
	// held", "switched off"; by whom comes behind it.
	About  string
	Reason string
	By     string
	Since  time.Time
	Until  time.Time // zero = until somebody ends it
}

// Sentence says who said it, from when until when, why, and its id.
func (w *Word) Sentence() string {
	s := clean(w.About) + " by " + clean(w.By) + " since " + day(w.Since)
	if !w.Until.IsZero() {
		s += " until " + day(w.Until)
	}
	if w.Reason != "" {
		s += ", because " + quote(w.Reason)
	}
	return s + " (" + visible(w.ID) + ")"
}

// stopped holds a decision while an operator holds the person, and keeps what
// would be done.
func (o *Observation) stopped(d Decision) Decision {
	detail := o.Stopped.Sentence()
	if d.Detail != "" && d.Action != Create {
		detail = d.Detail + "; but " + detail
	}
	back, ops := d.Action, d.Ops
	if back == Hold {
		back = d.Held
	}
	d = d.hold(OnHold, back, detail)
	d.Notes, d.Withheld = nil, ops
	if !o.Stopped.Until.IsZero() {
		until := o.Stopped.Until.UTC()
		d.Until = &until
	}
	return d
}

// kept says why nothing may be sent for somebody at all now; "" if it may.
func (o *Observation) kept() string {
	if o.Stopped != nil {
		return o.Stopped.Sentence()
	}
	return o.inFlight()
}

// switchedOff is about somebody of whom an operator said that he is off now. What
// protects an account protects it from operators as well.
func switchedOff(d Decision, o Observation, p Policy, r released) Decision {
	detail := o.Off.Sentence()
	switch {
	case o.Link == nil:
		if o.left() {
			return d.none(NotActiveYet)
		}
		return d.hold(KeptOff, Create, detail)
	case o.gone(p):
		return d.hold(KeptOff, Create, detail)
	case o.Linked == nil:
		return missing(d, o)
	case !o.off():
		if d = deactivate(d, o, p, OperatorOff, detail); len(d.Ops) > 0 {
			d.Approval = o.Off.ID // the operator named this very person: no limit counts it
		}
		return d
	}
	// Off, and the source does not agree: decided like that of somebody who has
	// left, but that it is said why he is not let in.
	gone := *o.Desired
	gone.Active = false
	o.Desired = &gone
	p.Deactivate.Disabled = true
	if d = decideOff(d, o, p, r); len(d.Ops) > 0 {
		d.Detail = detail
		return d
	}
	d.Notes = nil
	return d.hold(KeptOff, Reactivate, detail)
}

// pinned tells that an operator's word that the person is off decides: while the
// account is on, or the source wants the person in.
func (o *Observation) pinned() bool {
	return o.Off != nil && ((o.Linked != nil && !o.off()) || !o.left())
}

// Agrees tells that the source has come to say what an operator said: that the
// person is off. Absence has to be proven as for a leaver of whom nobody spoke.
// While the account is on, the operator's word is still needed.
func Agrees(o Observation, p Policy) bool {
	if o.Unseen || (o.Linked != nil && o.Linked.Active()) {
		return false
	}
	if o.Desired != nil {
		return !o.Desired.Active
	}
	a := o.Absence
	if a.Explicit {
		return true
	}
	_, grace, _ := trigger(a, p)
	since := a.Since
	if since.IsZero() {
		since = o.Now
	}
	confirmed := a.Presence == identity.PresenceGone || a.Presence == identity.PresenceOutOfScope
	return a.Complete && confirmed && !o.Now.Before(since.Add(grace)) && (grace == 0 || a.Reads >= 2)
}

// HeldLeavers are those of a plan who have left and keep their access because an
// operator holds them.
func (p Plan) HeldLeavers() []Decision {
	var out []Decision
	for _, d := range p.Decisions {
		if d.Reason == OnHold && d.Held == Deactivate {
			out = append(out, d)
		}
	}
	return out
}
