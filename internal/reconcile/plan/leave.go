package plan

import (
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
)

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
		return d.wait(due, gone+", due "+day(due))
	}
	if grace > 0 && a.Reads < 2 {
		return d.wait(o.Now, gone+"; a second complete read must confirm it")
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
	if at := o.Desired.Deleted; !at.IsZero() {
		if due := at.Add(p.Grace.Deleted); o.Now.Before(due) {
			return d.wait(due, "deleted in "+o.Key.Source+" on "+day(at)+", due "+day(due))
		}
		if p.Grace.Deleted > 0 && o.Absence.Jumped {
			return d.wait(o.Now, "deleted in "+o.Key.Source+" on "+day(at)+"; a clock was set, so another look must find him gone")
		}
		return deactivate(d, o, p, SourceDeleted, "deleted in "+o.Key.Source)
	}
	if p.Grace.Disabled > 0 {
		since := o.Absence.Since
		if since.IsZero() {
			since = o.Now
		}
		if due := since.Add(p.Grace.Disabled); o.Now.Before(due) {
			return d.wait(due, "disabled since "+day(since)+", due "+day(due))
		}
		if o.Absence.Reads == 1 {
			return d.wait(o.Now, "disabled since "+day(since)+"; a second complete read must confirm it")
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
	things := o.things(p, false)
	if len(things) == 0 || !p.Deactivate.Disabled || Protection(*o.Linked, o.Facts) != "" {
		return d
	}
	d.Action, d.Reason, d.Held, d.Detail = Update, AlreadyOff, "", o.leftBehind(p)
	d.Ops = slices.Concat(d.Ops, things)
	return d
}

// wait holds somebody's leaving until a time.
func (d Decision) wait(until time.Time, detail string) Decision {
	d = d.hold(InGrace, Deactivate, detail)
	u := until.UTC()
	d.Until = &u
	return d
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
	if cause := Protection(*o.Linked, o.Facts); cause != "" {
		return d.hold(Protected, Deactivate, "the account is protected: "+cause)
	}
	var rights []Op
	if left := leaverRoles(o, p); !left.Equal(o.Linked.Roles) {
		rights = []Op{rolesOp(o.Linked.Roles, left)}
	}
	off := Op{Kind: SetActive, Changes: []Change{{Field: FieldActive, From: "true", To: "false"}}}
	locked := o.Linked.Auth.Service == ldapService && o.Facts.LDAPLocked
	switch {
	case o.off():
		if ops := slices.Concat(rights, o.things(p, false)); len(ops) > 0 {
			d.Action, d.Reason, d.Detail, d.Ops = Update, AlreadyOff, o.leftBehind(p), ops
		}
		return d
	case locked && !p.DeleteEndpoint:
		d = d.hold(LockedByLDAP, Deactivate, detail+lockedDetail)
		if o.Link.Applied.Active {
			d.Ops = []Op{{Kind: RevokeSessions, Changes: off.Changes}}
		}
		d.Ops = slices.Concat(d.Ops, rights, o.things(p, true))
		return d
	}
	d.Action, d.Reason, d.Detail = Deactivate, why, clean(detail)
	if left := o.leftBehind(p); left != "" {
		d.Detail += "; " + left
	}
	off.ByDelete = locked
	d.Ops = slices.Concat([]Op{off}, rights, o.things(p, false))
	return d
}

// things gives the ops that disable what a leaver owns, for an account that is on or
// off by then.
func (o *Observation) things(p Policy, on bool) []Op {
	owns := o.disables(p)
	return owns.disabling(on)
}

// disables is what is disabled of what a leaver owns.
func (o *Observation) disables(p Policy) Belongings {
	var b Belongings
	if o.Owns == nil {
		return b
	}
	if p.DisableTokens {
		b.Tokens, b.Hidden = o.Owns.Tokens, o.Owns.Hidden
	}
	if p.DisableBots {
		b.Bots = o.Owns.Bots
	}
	return b
}

// leftBehind says what is disabled of what a leaver owns; "" if nothing is.
func (o *Observation) leftBehind(p Policy) string {
	owns := o.disables(p)
	switch left := owns.Summary(); {
	case owns.Hidden != "":
		return "which access tokens are left behind is not known: " + clean(owns.Hidden)
	case left != "":
		return "left behind: " + left
	}
	return ""
}

// ldapService is the login service of the server's own LDAP sync.
const ldapService = "ldap"

const lockedDetail = "; the server lets only its own LDAP sync switch the account off"

// leaverRoles are what is left to somebody who goes: neither an administrator's
// role nor any that the source decides about.
func leaverRoles(o Observation, p Policy) identity.Roles {
	_, rules := o.rolesOfAll(nil, p)
	rights := identity.NewRoles(identity.RoleAdmin).Union(rules.Managed)
	left := o.Linked.Roles.Minus(rights)
	if !left.Equal(o.Linked.Roles) {
		left = left.Minus(o.Facts.unlicensed()) // else the server would refuse to take the others
	}
	return withBase(left)
}
