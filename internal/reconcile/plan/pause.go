package plan

import (
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
)

// pause holds a decision whose calls must not be made now, whoever it is about:
// while an operator holds him; while a call of a run that was cut off may still
// reach the account, for the server loses one of two writes at once; what an
// operator said no to; and, of what takes something away and nobody approved, while
// the server shows less than mmsync wrote to it.
func pause(d Decision, o *Observation) Decision {
	if len(d.Ops) == 0 {
		return d
	}
	if o.Stopped != nil {
		return o.stopped(d)
	}
	d = d.pass(o)
	why, detail := CallInFlight, o.inFlight()
	if o.Busy.IsZero() {
		switch {
		case o.Said != nil && !o.Said.Approves && o.Said.Covers(d.AccountID, d.Ops):
			why, detail = Rejected, o.Said.Words
		case o.Facts.SetBack && !o.approves(d) && destructive(&d, o):
			why, detail = ServerSetBack, setBackDetail
		default:
			return o.barred(d)
		}
	}
	if d.Detail != "" && d.Action != Create {
		detail = strings.TrimSuffix(d.Detail, lockedDetail) + "; but " + detail
	}
	back := d.Action
	if back == Hold {
		back = d.Held
	}
	ops := d.Ops
	d = d.hold(why, back, detail)
	d.Approval = ""
	if why != CallInFlight { // else the next run plans anew
		d.Withheld = ops
	}
	// What keeps single fields back is said again when the calls may be made;
	// until then nobody may count on any of them.
	d.Notes = nil
	if why == CallInFlight {
		until := o.Busy.UTC()
		d.Until = &until
	}
	return d
}

const setBackDetail = "the server shows an earlier state than mmsync left it in; until everything was read anew, nothing is taken from anybody"

// inFlight says until when a call may still reach the account.
func (o *Observation) inFlight() string {
	if o.Busy.IsZero() {
		return ""
	}
	return "a call of a run that was cut off may still reach the account until " + o.Busy.UTC().Format(time.DateTime) + " UTC, and of two writes at once one is lost"
}

// destructive tells whether a decision takes anything from anybody: access,
// sessions, roles, the way to log in, or the link.
func destructive(d *Decision, o *Observation) bool {
	if d.Action == Create {
		return o.Link != nil // what is gone from a server that was set back may come again
	}
	for _, op := range d.Ops {
		switch op.Kind {
		case UnlinkAccount, DeleteAccount, SetAuth, Demote, RevokeSessions, DisableToken, DisableBot, SetPassword:
			return true
		case SetActive:
			if to, _ := op.To(FieldActive); to == "false" {
				return true
			}
		case SetRoles:
			if c := op.Changes[0]; len(identity.ParseRoles(c.From).Minus(identity.ParseRoles(c.To))) > 0 {
				return true
			}
		default:
			if op.Takes() {
				return true
			}
		}
	}
	return false
}
