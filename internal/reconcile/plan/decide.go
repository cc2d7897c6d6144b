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
func Decide(o Observation, p Policy) Decision { return finish(decide(o, p, released{}), &o, p) }

// finish says what has been decided in the words of the person's own case.
func finish(d Decision, o *Observation, p Policy) Decision {
	d = d.credit(o)
	switch {
	case o.gone(p):
		return recreate(d, o)
	case d.Action == Hold && d.Reason != CallInFlight && d.Reason != ServerSetBack && d.Reason != OnHold && d.Reason != NotNow && o.left() && o.off():
		// Of somebody who has left and is off nothing is kept back that anybody
		// would miss, unless it is only put off.
		return d.none(AlreadyOff)
	}
	return d
}

// released tells decide what it cannot know from one Observation: which of the
// taken values will be free by the time this Key's op runs, because the holder
// moves away earlier in the same plan, and who else claims the login.
type released struct {
	username, email bool
	rival           string // "" if nobody
}

func decide(o Observation, p Policy, r released) Decision {
	if o.Facts == nil {
		o.Facts = &Facts{SeatsLeft: -1}
	}
	return pause(outcome(about(&o), o, p, r), &o)
}

// about is a Decision that says whom it is about and decides nothing yet.
func about(o *Observation) Decision {
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
	return d
}

// outcome decides what ought to be done, whether or not its calls can be made
// now.
func outcome(d Decision, o Observation, p Policy, r released) Decision {
	if o.Link != nil && o.Link.Part == identity.Contributor {
		return d.none(Kept)
	}
	if o.pinned() {
		return switchedOff(d, o, p, r)
	}
	switch {
	case o.Desired == nil:
		return decideAbsent(d, o, p)
	case !o.Desired.Active:
		return decideDisabled(d, o, p, r)
	case o.Desired.Fault != "":
		return d.hold(EntryFault, Update.orCreate(o.Link), o.Desired.Fault)
	case o.Link == nil && o.contributes(p):
		return contribute(d, o)
	case o.Link == nil && p.contributing(o.Key.Source).Only:
		return d.none(Kept)
	case o.Link == nil:
		return decideUnlinked(d, o, p, r)
	case o.gone(p):
		o.Link = nil
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
	d.Held, d.Detail, d.Until, d.Notes, d.Ops, d.Withheld, d.Approval = "", "", nil, nil, nil, nil, ""
	return d
}

// hold keeps back the given Action. Ops that a Hold carries out all the same
// are added by the caller.
func (d Decision) hold(why Reason, back Action, detail string) Decision {
	d.Action, d.Reason, d.Held, d.Detail, d.Until = Hold, why, back, clean(detail), nil
	d.Ops, d.Withheld, d.Approval = nil, nil, ""
	return d
}

// byNotes is a Decision of which only the notes are left. The one that somebody
// has to end is its headline, before one that time ends, before a locked value,
// before an edit that is only reported.
func (d Decision) byNotes() Decision {
	weight := func(n Note) int {
		switch n.Reason.Explain().Ender {
		case EndSource, EndOperator:
			return 0
		case EndWait:
			return 1
		}
		if !n.reported() {
			return 2
		}
		return 3
	}
	n := slices.MinFunc(d.Notes, func(a, b Note) int { return weight(a) - weight(b) })
	asked := d.Withheld
	d = d.hold(n.Reason, Update, n.Detail)
	d.Withheld = asked
	return d
}

func missing(d Decision, o Observation) Decision {
	if o.Unseen {
		return d.hold(AccountUnseen, "", "account "+visible(o.Link.AccountID)+" was missing from an answer of the server, which proves nothing")
	}
	return d.hold(AccountMissing, "", goneDetail(&o))
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
		if o.Linked.Roles.Has(identity.RoleGuest) && o.Facts.GuestsOff {
			return d.hold(GuestsOff, Reactivate, "the server's guest feature is off, and with it every guest")
		}
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
	on := Op{Kind: SetActive, Changes: []Change{{Field: FieldActive, From: "false", To: "true"}}}
	first, hidden := o.revived(p)
	switch cause := Protection(*o.Linked, o.Facts); {
	case cause != "":
		return d.hold(Protected, Reactivate, "the account is protected: "+cause)
	case o.Linked.Auth.Service == ldapService && o.Facts.LDAPLocked && !p.Detour:
		return d.hold(LockedByLDAP, Reactivate, "the person is back; the server lets only its own LDAP sync switch the account on")
	case o.Linked.Auth.Service == ldapService && o.Facts.LDAPLocked && o.noDetour() != "":
		return d.hold(LockedByLDAP, Reactivate, "the person is back; "+o.noDetour())
	case !p.Reactivate:
		return d.none(Kept)
	case o.Linked.Roles.Privileged() && !o.names(true, FieldActive, "false", "true"):
		why, detail := o.word(o.names(false, FieldActive, "false", "true"), "the account holds "+rights(o.Linked.Roles))
		d = d.hold(why, Reactivate, detail)
		d.Withheld = append(first, on)
		return d
	case hidden != "":
		return d.hold(TokensHidden, Reactivate, "the access tokens of the account are not known: "+hidden)
	}
	if p.Update {
		d = update(d, o, p, r)
	}
	if why, detail := o.returnsAs(&d, p); why != "" {
		asked := d.Withheld
		d = d.hold(why, Reactivate, detail)
		d.Notes, d.Withheld = nil, asked
		return d
	}
	d.Action, d.Reason, d.Held = Reactivate, Returned, ""
	d.Detail = "back in " + clean(o.Key.Source) + "; switched off by mmsync on " + day(time.UnixMilli(o.Linked.DeleteAt))
	d.Ops = slices.Concat(first, o.switchOn(d.Ops, on))
	if len(first) > 0 {
		d.Detail += "; " + again(len(first)) + " disabled first"
	}
	return d
}

func again(tokens int) string {
	if tokens == 1 {
		return "1 access token would work again and is"
	}
	return thousands(tokens) + " access tokens would work again and are"
}

// revived gives the ops that disable what would work again with an account that is
// switched on, or says why that is not known.
func (o *Observation) revived(p Policy) (ops []Op, hidden string) {
	switch {
	case !p.DisableOnReturn:
		return nil, ""
	case o.Owns == nil:
		return nil, "nobody has looked for them"
	}
	tokens := Belongings{Tokens: o.Owns.Tokens}
	return tokens.disabling(false), o.Owns.Hidden
}

// update patches what differs; what is locked or taken stays and is noted.
func update(d Decision, o Observation, p Policy, r released) Decision {
	ops, notes, asked, drift := diff(o, p, r)
	out, in, left := memberships(&o, p, ops)
	if len(out)+len(in) > 0 {
		at := beforePictures(ops)
		ops, drift = slices.Concat(ops[:at], out, in, ops[at:]), false
	}
	notes = append(notes, left...)
	if len(ops)+len(notes) == 0 {
		return d
	}
	reported := len(ops) == 0 && !slices.ContainsFunc(notes, func(n Note) bool { return !n.reported() })
	if cause := Protection(*o.Linked, o.Facts); cause != "" && !reported {
		return d.hold(Protected, Update, "the account is protected: "+cause)
	}
	d.Notes, d.Withheld = notes, asked
	if len(ops) == 0 {
		return d.byNotes()
	}
	d.Action, d.Reason, d.Ops = Update, Differs, ops
	if drift {
		d.Reason = Drifted
	}
	return d
}

// Protection says why an account must not be changed, whoever it is linked to, in
// words that complete "is protected: "; "" if it may.
func Protection(a identity.Account, f *Facts) string {
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
