package plan

import (
	"slices"
	"strconv"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
)

// Decide gives the outcome for one Key. It is total and deterministic, and it
// puts leaving first: whether the person has left is settled before anything
// else about the entry is looked at.
func Decide(o Observation, p Policy) Decision { return quiet(decide(o, p, released{}), &o) }

// quiet drops the Holds of somebody who has left and is off: nothing is kept
// back that anybody would miss.
func quiet(d Decision, o *Observation) Decision {
	if d.Action == Hold && o.left() && o.off() {
		return d.none(AlreadyOff)
	}
	return d
}

// released tells decide which of the taken values will be free by the time this
// Key's op runs, because the holder moves away earlier in the same plan.
type released struct{ username, email bool }

func decide(o Observation, p Policy, r released) Decision {
	if o.Facts == nil {
		o.Facts = &Facts{SeatsLeft: -1}
	}
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
		return decideDisabled(d, o, p, r)
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
	d.Held, d.Detail, d.Until, d.Notes, d.Ops = "", "", nil, nil, nil
	return d
}

// hold keeps back the given Action. Ops that a Hold carries out all the same
// are added by the caller.
func (d Decision) hold(why Reason, back Action, detail string) Decision {
	d.Action, d.Reason, d.Held, d.Detail, d.Ops = Hold, why, back, clean(detail), nil
	return d
}

// byNotes is a Decision of which only the notes are left. The one that somebody
// has to end is its headline, before one that time ends, before a locked value.
func (d Decision) byNotes() Decision {
	weight := func(n Note) int {
		switch n.Reason.Explain().Ender {
		case EndSource, EndOperator:
			return 0
		case EndWait:
			return 1
		}
		return 2
	}
	n := slices.MinFunc(d.Notes, func(a, b Note) int { return weight(a) - weight(b) })
	return d.hold(n.Reason, Update, n.Detail)
}

// decideAbsent is about a Key that the source's read did not hold.
func decideAbsent(d Decision, o Observation, p Policy) Decision {
	if o.Link == nil {
		return d.none(NotActiveYet)
	}
	d = absent(d, o, p)
	if o.off() && len(d.Ops) == 0 {
		return d.none(AlreadyOff)
	}
	return d
}

func absent(d Decision, o Observation, p Policy) Decision {
	a := o.Absence
	if p.Deactivate == (Triggers{}) {
		return d.none(Kept)
	}
	if a.Explicit {
		if o.Linked == nil && !o.Unseen {
			return forget(d, "deleted in "+o.Key.Source)
		}
		return deactivate(d, o, p, SourceDeleted, "deleted in "+o.Key.Source)
	}
	why, grace, on := trigger(a, p)
	if !on {
		return d.none(Kept)
	}
	if !a.Complete {
		return d.hold(ReadIncomplete, Deactivate, a.Doubt)
	}
	if a.Presence == identity.PresencePresent {
		return d.hold(StillPresent, "", "the read of "+o.Key.Source+" missed the entry, but "+o.Key.Source+" has it when asked for it directly")
	}
	since := a.Since
	if since.IsZero() {
		since = o.Now
	}
	gone := "missing since " + day(since)
	if why == OutOfScope {
		gone = "no longer selected by the filter since " + day(since)
	}
	if due := since.Add(grace); o.Now.Before(due) {
		return d.wait(InGrace, due, gone+", due "+day(due))
	}
	if grace > 0 && a.Reads < 2 {
		return d.wait(InGrace, o.Now, gone+"; a second complete read must confirm it")
	}
	if a.Presence != identity.PresenceGone && a.Presence != identity.PresenceOutOfScope {
		return d.hold(Unconfirmed, Deactivate, gone+", but "+o.Key.Source+" could not say whether the entry is gone")
	}
	if grace > 0 {
		gone += " (grace " + span(grace) + " over)"
	}
	if o.Linked == nil && !o.Unseen {
		return forget(d, gone)
	}
	return deactivate(d, o, p, why, gone)
}

// trigger tells by which rule an absent person leaves. While it is not known
// whether the entry is gone or only out of scope, the shorter grace in force
// counts, so that the source is asked in time.
func trigger(a Absence, p Policy) (why Reason, grace time.Duration, on bool) {
	missing, scope := p.Deactivate.Missing, p.Deactivate.OutOfScope
	switch a.Presence {
	case identity.PresenceOutOfScope:
		return OutOfScope, p.Grace.OutOfScope, scope
	case identity.PresenceGone:
		return SourceMissing, p.Grace.Missing, missing
	default:
	}
	switch {
	case missing && scope:
		return SourceMissing, min(p.Grace.Missing, p.Grace.OutOfScope), true
	case scope:
		return SourceMissing, p.Grace.OutOfScope, true
	}
	return SourceMissing, p.Grace.Missing, missing
}

// decideDisabled is about a person whom the source lists as having left. What
// else is wrong with the entry does not matter for switching the account off.
func decideDisabled(d Decision, o Observation, p Policy, r released) Decision {
	if o.Link == nil {
		return d.none(NotActiveYet)
	}
	if o.Linked == nil {
		return missing(d, o)
	}
	if o.off() {
		return decideOff(d, o, p, r)
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

// decideOff is about somebody who has left and is switched off. If he is renamed
// in the directory, his old name becomes free; rights and logins are not given
// to those who have left, and those that a cut-off run left to him are taken.
func decideOff(d Decision, o Observation, p Policy, r released) Decision {
	if o.Desired.Fault != "" || !p.Update {
		if !p.Deactivate.Disabled {
			return d.none(AlreadyOff)
		}
		return deactivate(d, o, p, SourceDisabled, "")
	}
	gone := *o.Desired
	gone.Roles, gone.Auth = nil, identity.Auth{}
	o.Desired = &gone
	if d = update(d, o, p, r); d.Action != Hold {
		d.Reason = AlreadyOff
	}
	return d
}

func (d Decision) wait(why Reason, until time.Time, detail string) Decision {
	d = d.hold(why, Deactivate, detail)
	u := until.UTC()
	d.Until = &u
	return d
}

func missing(d Decision, o Observation) Decision {
	if o.Unseen {
		return d.hold(AccountUnseen, "", "account "+visible(o.Link.AccountID)+" was missing from an answer of the server, which proves nothing")
	}
	return d.hold(AccountMissing, "", "the server has no account "+visible(o.Link.AccountID)+" any more")
}

func forget(d Decision, detail string) Decision {
	d.Action, d.Reason, d.Detail = Forget, AccountGone, clean(detail)+"; the server has no account "+visible(d.AccountID)+" any more"
	d.Ops = []Op{{Kind: UnlinkAccount}}
	return d
}

// deactivate switches the linked account off, and takes an administrator's
// rights with it. One that is off already only loses the rights.
func deactivate(d Decision, o Observation, p Policy, why Reason, detail string) Decision {
	if o.Linked == nil {
		return missing(d, o)
	}
	if cause := protection(*o.Linked, o.Facts); cause != "" {
		return d.hold(Protected, Deactivate, "the account is protected: "+cause)
	}
	var rights []Op
	if left := leaverRoles(o, p); !left.Equal(o.Linked.Roles) {
		rights = []Op{rolesOp(o.Linked.Roles, left)}
	}
	off := Change{Field: FieldActive, From: "true", To: "false"}
	switch {
	case o.off():
		if len(rights) > 0 {
			d.Action, d.Reason, d.Ops = Update, AlreadyOff, rights
		}
		return d
	case o.Linked.Auth.Service == "ldap" && o.Facts.LDAPLocked:
		d = d.hold(LockedByLDAP, Deactivate, detail+lockedDetail)
		if o.Link.Applied.Active {
			d.Ops = []Op{{Kind: RevokeSessions, Changes: []Change{off}}}
		}
		d.Ops = append(d.Ops, rights...)
		return d
	}
	d.Action, d.Reason, d.Detail = Deactivate, why, clean(detail)
	d.Ops = append([]Op{{Kind: SetActive, Changes: []Change{off}}}, rights...)
	return d
}

const lockedDetail = "; the server lets only its own LDAP sync switch the account off"

// leaverRoles are what is left to somebody who goes: neither an administrator's
// role nor any that the source decides about.
func leaverRoles(o Observation, p Policy) identity.Roles {
	rights := identity.NewRoles(identity.RoleAdmin).Union(p.rolesOf(o.Key.Source).Managed)
	return withBase(o.Linked.Roles.Minus(rights))
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
		return d.hold(DeactivatedOther, Reactivate, "the account was switched off on "+day(time.UnixMilli(o.Linked.DeleteAt))+", and not by mmsync")
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
		return d.hold(Protected, Reactivate, "the account is protected: "+cause)
	case o.Linked.Auth.Service == "ldap" && o.Facts.LDAPLocked:
		return d.hold(LockedByLDAP, Reactivate, "the person is back; the server lets only its own LDAP sync switch the account on")
	case o.Linked.Roles.Privileged():
		return d.hold(NeedsApproval, Reactivate, "the account holds "+rights(o.Linked.Roles))
	case !p.Reactivate:
		return d.none(Kept)
	}
	if p.Update {
		d = update(d, o, p, r)
	}
	d.Action, d.Reason, d.Held = Reactivate, Returned, ""
	d.Detail = "back in " + clean(o.Key.Source) + "; switched off by mmsync on " + day(time.UnixMilli(o.Linked.DeleteAt))
	// Last, so that nobody is let in with the rights or the name of before.
	d.Ops = append(d.Ops, Op{Kind: SetActive, Changes: []Change{{Field: FieldActive, From: "false", To: "true"}}})
	return d
}

// update patches what differs; what is locked or taken stays and is noted.
func update(d Decision, o Observation, p Policy, r released) Decision {
	ops, notes, drift := diff(o, p, r)
	if len(ops)+len(notes) == 0 {
		return d
	}
	if cause := protection(*o.Linked, o.Facts); cause != "" {
		return d.hold(Protected, Update, "the account is protected: "+cause)
	}
	d.Notes = notes
	if len(ops) == 0 {
		return d.byNotes()
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

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

func span(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return strconv.Itoa(int(d/time.Hour)) + " h"
	case d%time.Minute == 0:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	}
	return d.String()
}
