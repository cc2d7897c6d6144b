package plan

import (
	"strconv"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
)

// ForGood says that accounts of people who left are deleted for good: an operator asks
// for it, no run does. A plan made with it decides about nothing else.
type ForGood struct {
	// After is how long an account must have been off.
	After time.Duration
	// Begun are the deletions that the server began and did not finish, by account.
	Begun map[string]Begun
}

// Begun is a deletion for good that switched the account off anew, and no more that can be
// seen: At is the delete_at that it gave, Before the one before.
type Begun struct{ At, Before int64 }

// OffSince gives the delete_at from which on an account counts as off: that one before a
// deletion that was begun and not finished.
func (f *ForGood) OffSince(a *identity.Account) int64 {
	if b, found := f.Begun[a.ID]; found && b.At == a.DeleteAt {
		return b.Before
	}
	return a.DeleteAt
}

// Deleted is the To of an op that deletes an account for good.
const Deleted = "deleted"

// forGood decides whether somebody's account is deleted for good. That cannot be taken
// back, so whatever speaks for the person keeps it: nothing here is left to a guard or
// to an approval.
func (b *builder) forGood(i int) Decision {
	o := &b.obs[i]
	if o.Facts == nil {
		o.Facts = &Facts{SeatsLeft: -1}
	}
	d := about(o)
	switch {
	case o.Link == nil || o.Link.Part == identity.Contributor:
		return d.none(Kept)
	case o.Linked == nil:
		return missing(d, *o)
	}
	since := b.policy.ForGood.OffSince(o.Linked)
	off := time.UnixMilli(since)
	if why := b.keptAccount(o); why != "" {
		return d.hold(NotDeleted, Delete, why)
	}
	if due := off.Add(b.policy.ForGood.After); o.Now.Before(due) {
		d = d.hold(InGrace, Delete, "off since "+day(off)+", due "+day(due))
		until := due.UTC()
		d.Until = &until
		return d
	}
	why, gone := o.goneForGood()
	if !gone {
		return d.hold(NotDeleted, Delete, why)
	}
	if h, found := b.heirs[o.Linked.ID]; found {
		return d.hold(NotDeleted, Delete, h.describe(&b.obs[h.obs])+" of "+keyName(o.Key)+
			"; if it is the same person: "+rekeyCommand(o.Key, b.obs[h.obs].Key)+"; if not: "+ignoreCommand(b.obs[h.obs].Key, o.Linked.ID))
	}
	d.Action, d.Reason = Delete, DeletedForGood
	d.Detail = "for good: off since " + day(off) + ", and " + why
	d.Ops = []Op{{Kind: DeleteAccount, Changes: []Change{{Field: FieldOffSince, From: strconv.FormatInt(since, 10), To: Deleted}}}}
	return pause(d, o)
}

// keptAccount says what of the account itself speaks against deleting it; "" if
// nothing does.
func (b *builder) keptAccount(o *Observation) string {
	a := o.Linked
	switch cause := Protection(*a, o.Facts); {
	case cause != "":
		return "the account is protected: " + cause
	case a.Active():
		return "the account is active, and only one that mmsync itself switched off is deleted"
	case a.Roles.Privileged():
		return "the account holds " + rights(a.Roles) + ", which has to be taken from it first"
	case !ours(*o):
		return "the account was switched off on " + day(time.UnixMilli(a.DeleteAt)) + ", and not by mmsync"
	case len(o.Voices) > 0:
		return keyName(o.Voices[0].Key) + " is linked to the account as well; to give that up: " + Command("link release", o.Voices[0].Key.String())
	}
	return ""
}

// goneForGood tells whether the person's own source has him no more, and in words how
// that is known, or what speaks against it. Who is only disabled, or no longer
// selected, is still there.
func (o *Observation) goneForGood() (why string, gone bool) {
	source := clean(o.Key.Source)
	if want := o.Desired; want != nil {
		switch {
		case want.Active:
			return source + " has the person as active", false
		case want.Deleted.IsZero():
			return source + " still has the person, as disabled", false
		}
		return "deleted in " + source + " on " + day(want.Deleted), true
	}
	a := &o.Absence
	switch {
	case a.Explicit:
		return "deleted in " + source, true
	case !a.Complete:
		return source + " was not read whole: " + a.Doubt, false
	}
	since := a.Since
	if since.IsZero() {
		since = o.Now
	}
	switch {
	case a.Presence == identity.PresencePresent:
		return "the read of " + source + " missed the entry, but " + source + " has it when asked for it directly", false
	case a.Presence == identity.PresenceOutOfScope:
		return source + " still has the entry, which its filter no longer selects", false
	case a.Reads < 2:
		return "missing from " + source + " since " + day(since) + ", which a second complete read must confirm", false
	case a.Presence != identity.PresenceGone:
		return "missing from " + source + " since " + day(since) + ", but " + source + " could not say whether the entry is gone", false
	}
	return "gone from " + source + " since " + day(since), true
}
