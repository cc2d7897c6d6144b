package plan

import (
	"strconv"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
)

// Decide gives the outcome for one Key. It is total and deterministic, and it
// puts leaving first: whether the person has left is settled before anything
// else about the entry is looked at.
func Decide(o Observation, p Policy) Decision { return decide(o, p, released{}) }

// released tells decide which of the taken values will be free by the time this
// Key's op runs, because the holder moves away earlier in the same plan.
type released struct{ username, email bool }

func decide(o Observation, p Policy, r released) Decision {
	d := Decision{Key: o.Key, Action: NoOp, Reason: Settled}
	switch {
	case o.Desired != nil:
		d.Ref = o.Desired.Ref
	case o.Link != nil:
		d.Ref = o.Link.Ref
	}
	switch {
	case o.Linked != nil:
		d.AccountID, d.Username = o.Linked.ID, o.Linked.Username
	case o.Link != nil:
		d.AccountID, d.Username = o.Link.AccountID, o.Link.Applied.Profile.Username
	case o.Desired != nil:
		d.Username = o.Desired.Profile.Username
	}
	if d.Username == "" {
		d.Username = o.Key.Anchor
	}
	if o.Link != nil && o.Link.Part == identity.Contributor {
		return d.none(Kept)
	}
	switch {
	case o.Desired == nil:
		return decideAbsent(d, o, p)
	case !o.Desired.Active:
		return decideDisabled(d, o, p)
	case o.Desired.Fault != "":
		return d.hold(EntryFault, Update.orCreate(o.Link), o.Desired.Fault)
	case o.Link == nil:
		return decideUnlinked(d, o, p, r)
	}
	return decideLinked(d, o, p, r)
}

func (a Action) orCreate(l *identity.Link) Action {
	if l == nil {
		return Create
	}
	return a
}

func (d Decision) none(why Reason) Decision {
	d.Action, d.Reason = NoOp, why
	return d
}

// hold keeps back the given Action. Ops that a Hold carries out all the same
// are added by the caller.
func (d Decision) hold(why Reason, back Action, detail string) Decision {
	d.Action, d.Reason, d.Held, d.Detail, d.Ops = Hold, why, back, detail, nil
	return d
}

// decideAbsent is about a Key that the source's read did not hold.
func decideAbsent(d Decision, o Observation, p Policy) Decision {
	if o.Link == nil {
		return d.none(NotActiveYet)
	}
	if o.Linked != nil && !o.Linked.Active() {
		return d.none(AlreadyOff)
	}
	a := o.Absence
	if a.Explicit {
		return deactivate(d, o, p, SourceDeleted, "deleted in "+o.Key.Source)
	}
	if !a.Complete {
		return d.hold(ReadIncomplete, Deactivate, a.Doubt)
	}
	if a.Presence == identity.PresencePresent {
		return d.hold(StillPresent, "", "the read of "+o.Key.Source+" missed an entry that is there")
	}
	since := a.Since
	if since.IsZero() {
		since = o.Now
	}
	why, grace, on := SourceMissing, p.Grace.Missing, p.Deactivate.Missing
	if a.Presence == identity.PresenceOutOfScope {
		why, grace, on = OutOfScope, p.Grace.OutOfScope, p.Deactivate.OutOfScope
	}
	if !on {
		return d.none(Kept)
	}
	if due := since.Add(grace); o.Now.Before(due) {
		return d.wait(InGrace, due, "missing since "+day(since)+", due "+day(due))
	}
	if grace > 0 && a.Reads < 2 {
		return d.wait(InGrace, o.Now, "missing since "+day(since)+"; a second complete read must confirm it")
	}
	if a.Presence != identity.PresenceGone && a.Presence != identity.PresenceOutOfScope {
		return d.hold(Unconfirmed, Deactivate, "missing since "+day(since)+", but "+o.Key.Source+" could not say that the entry is gone")
	}
	detail := "missing since " + day(since)
	if why == OutOfScope {
		detail = "no longer selected by the filter since " + day(since)
	}
	if grace > 0 {
		detail += " (grace " + span(grace) + " over)"
	}
	if o.Linked == nil && !o.Unseen {
		return forget(d, detail)
	}
	return deactivate(d, o, p, why, detail)
}

// decideDisabled is about a person whom the source lists as having left. What
// else is wrong with the entry does not matter for switching the account off.
func decideDisabled(d Decision, o Observation, p Policy) Decision {
	if o.Link == nil {
		return d.none(NotActiveYet)
	}
	if o.Linked == nil {
		return missing(d, o)
	}
	if !o.Linked.Active() {
		if o.Desired.Fault != "" || !p.Update {
			return d.none(AlreadyOff)
		}
		// A leaver who is renamed in the directory gives his old name free; rights
		// and logins are not given to those who have left.
		gone := *o.Desired
		gone.Roles, gone.Auth = nil, identity.Auth{}
		o.Desired = &gone
		if d = update(d, o, p, released{}); d.Action == NoOp {
			d.Reason = AlreadyOff
		}
		return d
	}
	if !p.Deactivate.Disabled {
		return d.none(Kept)
	}
	if p.Grace.Disabled > 0 {
		since := o.Absence.Since
		if since.IsZero() {
			since = o.Now
		}
		if due := since.Add(p.Grace.Disabled); o.Now.Before(due) {
			return d.wait(InGrace, due, "disabled since "+day(since)+", due "+day(due))
		}
	}
	return deactivate(d, o, p, SourceDisabled, "disabled in "+o.Key.Source)
}

func (d Decision) wait(why Reason, until time.Time, detail string) Decision {
	d = d.hold(why, Deactivate, detail)
	u := until.UTC()
	d.Until = &u
	return d
}

func missing(d Decision, o Observation) Decision {
	if o.Unseen {
		return d.hold(AccountUnseen, "", "account "+o.Link.AccountID+" was missing from an answer of the server")
	}
	return d.hold(AccountMissing, "", "the server has no account "+o.Link.AccountID+" any more")
}

func forget(d Decision, detail string) Decision {
	d.Action, d.Reason, d.Detail = Forget, AccountGone, detail
	d.Ops = []Op{{Kind: UnlinkAccount}}
	return d
}

// deactivate switches the linked account off, and takes an administrator's
// rights with it.
func deactivate(d Decision, o Observation, p Policy, why Reason, detail string) Decision {
	if o.Linked == nil {
		return missing(d, o)
	}
	if cause := protection(*o.Linked, o.Facts); cause != "" {
		return d.hold(Protected, Deactivate, cause)
	}
	if o.Linked.Auth.Service == "ldap" && o.Facts.LDAPLocked {
		d = d.hold(LockedByLDAP, Deactivate, detail)
		if o.Link.Applied.Active {
			d.Ops = []Op{{Kind: RevokeSessions, Changes: []Change{{Field: FieldActive, From: "true", To: "false"}}}}
		}
		return d
	}
	d.Action, d.Reason, d.Detail = Deactivate, why, detail
	d.Ops = []Op{{Kind: SetActive, Changes: []Change{{Field: FieldActive, From: "true", To: "false"}}}}
	rights := identity.NewRoles(identity.RoleAdmin).Union(p.rolesOf(o.Key.Source).Managed)
	if left := withBase(o.Linked.Roles.Minus(rights)); !left.Equal(o.Linked.Roles) {
		d.Ops = append(d.Ops, rolesOp(o.Linked.Roles, left))
	}
	return d
}

// decideLinked is about an active person whose account is ours.
func decideLinked(d Decision, o Observation, p Policy, r released) Decision {
	if o.Linked == nil {
		return missing(d, o)
	}
	if o.Linked.Active() {
		if !p.Update {
			return d.none(Kept)
		}
		return update(d, o, p, r)
	}
	if !ours(o) {
		return d.hold(DeactivatedOther, Reactivate, "switched off on "+day(time.UnixMilli(o.Linked.DeleteAt))+", not by mmsync")
	}
	return reactivate(d, o, p, r)
}

// ours tells whether the linked account is off because mmsync switched it off:
// the server still shows the very delete_at that mmsync's call produced.
func ours(o Observation) bool {
	return o.Link.DeactivatedAt != 0 && o.Link.DeactivatedAt == o.Linked.DeleteAt
}

func reactivate(d Decision, o Observation, p Policy, r released) Decision {
	switch cause := protection(*o.Linked, o.Facts); {
	case cause != "":
		return d.hold(Protected, Reactivate, cause)
	case o.Linked.Auth.Service == "ldap" && o.Facts.LDAPLocked:
		return d.hold(LockedByLDAP, Reactivate, "")
	case o.Linked.Roles.Privileged():
		return d.hold(NeedsApproval, Reactivate, "the account holds "+o.Linked.Roles.String())
	case !p.Reactivate:
		return d.none(Kept)
	}
	d = update(d, o, p, r)
	d.Action, d.Reason, d.Held = Reactivate, Returned, ""
	d.Detail = "switched off by mmsync on " + day(time.UnixMilli(o.Linked.DeleteAt))
	// Last, so that nobody is let in with the rights or the name of before.
	d.Ops = append(d.Ops, Op{Kind: SetActive, Changes: []Change{{Field: FieldActive, From: "false", To: "true"}}})
	return d
}

// update patches what differs; what is locked or taken stays and is noted.
func update(d Decision, o Observation, p Policy, r released) Decision {
	ops, notes, drift := diff(o, p, r)
	d.Notes = notes
	if len(ops) == 0 {
		if len(notes) > 0 {
			n := notes[0]
			d.Action, d.Reason, d.Held, d.Detail = Hold, n.Reason, Update, n.Detail
		}
		return d
	}
	if cause := protection(*o.Linked, o.Facts); cause != "" {
		d.Notes = nil
		return d.hold(Protected, Update, cause)
	}
	d.Action, d.Reason, d.Ops = Update, Differs, ops
	if drift {
		d.Reason = Drifted
	}
	return d
}

// protection says why an account must not be changed, whoever it is linked to;
// "" if it may.
func protection(a identity.Account, f *Facts) string {
	switch {
	case f.Protected[a.ID] != "":
		return f.Protected[a.ID]
	case a.Bot:
		return "it is a bot"
	case a.Remote:
		return "it belongs to another server"
	case a.MagicLink:
		return "it is a guest who logs in by e-mailed link"
	}
	return ""
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

func span(d time.Duration) string {
	if d%time.Hour == 0 {
		return strconv.Itoa(int(d/time.Hour)) + " h"
	}
	return d.String()
}
