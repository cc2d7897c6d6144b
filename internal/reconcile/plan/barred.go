package plan

import (
	"slices"
	"time"
)

// Bar is a kind of change that is not made now, whoever it is about.
type Bar struct {
	// Actions are what is not done.
	Actions []Action
	// Why says so in words, "no deactivate in blackout Fri 17:00-Mon 06:00".
	Why string
	// Until is when it ends; zero if no time ends it.
	Until time.Time
}

// Keeps tells whether a decision is not carried out because of a Bar. What an operator
// asked for, of just this person, is carried out whenever that is.
func (b *Bar) Keeps(d *Decision) bool {
	action := d.Action
	if action == Hold { // that does something all the same
		action = d.Held
	}
	return d.Approval == "" && d.Reason != OperatorOff && d.Reason != Reverted && slices.Contains(b.Actions, action)
}

// bar gives what keeps a decision back now; nil if nothing does.
func (o *Observation) bar(d *Decision) *Bar {
	for i := range o.Barred {
		if b := &o.Barred[i]; b.Keeps(d) {
			return b
		}
	}
	return nil
}

func (b *Bar) sentence() string {
	if b.Until.IsZero() {
		return clean(b.Why)
	}
	return clean(b.Why) + ", until " + day(b.Until)
}

// barred holds a decision of a kind that is not carried out now, and keeps what would
// be done.
func (o *Observation) barred(d Decision) Decision {
	b := o.bar(&d)
	if b == nil {
		return d
	}
	detail := b.sentence()
	if d.Detail != "" && d.Action != Create {
		detail = d.Detail + "; but " + detail
	}
	back, ops := d.Action, d.Ops
	if back == Hold {
		back = d.Held
	}
	d = d.hold(NotNow, back, detail)
	d.Notes, d.Withheld = nil, ops
	if !b.Until.IsZero() {
		until := b.Until.UTC()
		d.Until = &until
	}
	return d
}
