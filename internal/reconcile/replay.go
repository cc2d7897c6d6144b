package reconcile

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// replay gives the links that the rows of a history make, one after the other, where
// an export holds nothing better. What a link was given without a call is not in it;
// that is safe, for the next run sees it again. What is not is named.
type replay struct {
	links  map[identity.Key]*identity.Link
	owners map[string]identity.Key
	doubts map[identity.Key]string
}

// replayed replays a whole history.
func replayed(e *audit.Export) (kept, error) {
	r := replay{links: map[identity.Key]*identity.Link{}, owners: map[string]identity.Key{}, doubts: map[identity.Key]string{}}
	for i := range e.Rows {
		if err := r.row(e.Rows[i]); err != nil {
			return kept{}, err
		}
	}
	var k kept
	if n := missingBatches(e); n > 0 {
		k.doubts = append(k.doubts, fmt.Sprintf("the rows of %d batches are not in the export: whoever was linked then and not changed since is missing", n))
	}
	for _, key := range slices.SortedFunc(maps.Keys(r.links), identity.Key.Compare) {
		k.links = append(k.links, *r.links[key])
	}
	for _, key := range slices.SortedFunc(maps.Keys(r.doubts), identity.Key.Compare) {
		k.doubts = append(k.doubts, fmt.Sprintf("%s: %s", key, r.doubts[key]))
	}
	return k, nil
}

// missingBatches counts the batches of which no row is there.
func missingBatches(e *audit.Export) int64 {
	if len(e.Batches) == 0 {
		return 0
	}
	n := e.Batches[0].ID - 1
	for i := range e.Batches {
		if !e.Batches[i].PrunedAt.IsZero() {
			n++
		}
	}
	return n
}

func (r *replay) row(row audit.Row) error {
	body, err := audit.ReadBody(row)
	if err != nil {
		return err
	}
	p, err := audit.ReadPersonal(row)
	if err != nil {
		return err
	}
	done := body.Status == string(state.OpDone) || body.Status == string(state.OpObserved)
	if row.Kind == audit.KindRun || !done || row.AccountID == "" {
		return nil
	}
	switch kind := plan.OpKind(row.Kind); {
	case kind == plan.MakeTeam || kind == plan.MakeChannel: // nobody's
	case kind == plan.UnlinkAccount, kind == plan.DeleteAccount:
		r.unlink(row.Key)
		delete(r.doubts, row.Key)
	case kind == plan.LinkAccount && slices.Contains(body.Fields, plan.FieldKey):
		r.rekey(row, body, p)
	case kind == plan.LinkAccount && slices.Contains(body.Fields, plan.FieldPart):
		r.contribute(row.Key, p.Ref, row)
	default:
		r.changed(row, body, p)
	}
	return nil
}

func (r *replay) unlink(k identity.Key) {
	if l := r.links[k]; l != nil {
		if r.owners[l.AccountID] == k {
			delete(r.owners, l.AccountID)
		}
		delete(r.links, k)
	}
}

// rekey moves a link to the Key under which the person came back.
func (r *replay) rekey(row audit.Row, body audit.Body, p audit.Personal) {
	link := r.links[row.Key]
	r.unlink(row.Key)
	if slices.Contains(body.Fields, plan.FieldPart) { // he still knows the person
		r.contribute(row.Key, "", row)
	}
	var to identity.Key
	for _, c := range p.Values {
		if c.Field == plan.FieldKey {
			to, _ = identity.ParseKey(c.To)
		}
	}
	if to.IsZero() {
		r.doubts[row.Key] = fmt.Sprintf("account %s went to another id, which was forgotten; mmsync link set gives it to that person", row.AccountID)
		return
	}
	if why := r.doubts[row.Key]; why != "" {
		r.doubts[to] = why
		delete(r.doubts, row.Key)
	}
	if link == nil {
		link = &identity.Link{Origin: identity.OriginOperator, Part: identity.Owner, AccountID: row.AccountID, CreatedAt: row.At}
		r.doubts[to] = "how the account came to this person is not in the export"
	}
	next := *link
	next.Key, next.Ref, next.UpdatedAt = to, p.Ref, row.At
	r.put(&next)
}

// contribute links a Key to an account that another owns. What its source wants is read
// again.
func (r *replay) contribute(k identity.Key, ref string, row audit.Row) {
	r.links[k] = &identity.Link{
		Key: k, AccountID: row.AccountID, Part: identity.Contributor, Origin: identity.OriginMatch, Ref: ref,
		Applied: identity.Applied{Active: true}, CreatedAt: row.At, UpdatedAt: row.At,
	}
}

// changed is a call, or a link that was made: both prove whose the account was then.
func (r *replay) changed(row audit.Row, body audit.Body, p audit.Personal) {
	op := plan.Op{Kind: plan.OpKind(row.Kind), Changes: p.Values}
	a := identity.Account{ID: row.AccountID}
	if i := p.After; i != nil {
		a.Profile, a.Roles, a.Auth, a.DeleteAt = i.Profile, i.Roles, i.Auth, i.DeleteAt
	}
	old := r.links[row.Key]
	begins := op.Kind == plan.CreateAccount || op.Kind == plan.LinkAccount
	if begins || old != nil && old.AccountID != row.AccountID {
		old = nil
	}
	if old != nil {
		op.SpaceID = body.SpaceID
	} // else it proves whose the account was, and is no more than that
	next := linkAfter(old, row.Key, p.Ref, op, a, row.At)
	// How the account was seen is read again.
	next.Observed, next.Undone, next.Recheck, next.Written = nil, 0, time.Time{}, time.Time{}
	switch {
	case op.Kind == plan.LinkAccount:
		next.Origin = linkOrigin(body.Reason)
	case old == nil && !begins:
		next.Origin = identity.OriginOperator
		r.doubts[row.Key] = "how the account came to this person is not in the export"
	}
	if body.SpaceID != "" && old == nil {
		op.SpaceID = body.SpaceID
		next.Applied.Memberships = op.After(nil)
	}
	if row.Personal == "" {
		next.Applied.Active = next.Applied.Active && body.Action != plan.Deactivate
		r.doubts[row.Key] = "values were forgotten, so that not all that was set is known"
	}
	r.put(next)
}

// put takes the account from whoever had it: of two who seem to own one, the later
// word counts.
func (r *replay) put(l *identity.Link) {
	if k, taken := r.owners[l.AccountID]; taken && k != l.Key {
		r.unlink(k)
		r.doubts[k] = fmt.Sprintf("account %s went to %s, and how is not in the export", l.AccountID, l.Key)
	}
	if old := r.links[l.Key]; old != nil && old.AccountID != l.AccountID {
		delete(r.owners, old.AccountID)
	}
	r.links[l.Key], r.owners[l.AccountID] = l, l.Key
}

// linkOrigin gives how a link came to be that was made for a reason.
func linkOrigin(why plan.Reason) identity.Origin {
	switch why {
	case plan.SameIntent:
		return identity.OriginIntent
	case plan.Approved, plan.Reverted:
		return identity.OriginOperator
	case plan.Contributes:
		return identity.OriginMatch
	default:
		return identity.OriginAuthData
	}
}
