package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// owners are those who have an account by these steps: they are to be as the source
// wants them.
func (w *ownership) owners() []state.DueMark {
	var out []state.DueMark
	for i := range w.steps {
		if link := w.steps[i].link; link != nil {
			out = append(out, state.DueMark{Key: link.Key})
		}
	}
	return out
}

// putAll puts the links of all steps in one transaction.
func (w *ownership) putAll(ctx context.Context, l *lease) error {
	var links []identity.Link
	for i := range w.steps {
		links = append(links, *w.steps[i].link)
		if w.steps[i].stays != nil {
			links = append(links, *w.steps[i].stays)
		}
		w.steps[i].link = nil
	}
	if err := w.e.o.Store.PutLinks(ctx, l.current(), links); err != nil {
		return fmt.Errorf("put the links: %w", err)
	}
	return nil
}

// adopt gives an account that nobody owns to somebody.
func (w *ownership) adopt(o *plan.Observation, a *identity.Account, detail string) {
	d := plan.Decision{
		Key: o.Key, Ref: o.Desired.Ref, Action: plan.Adopt, Reason: plan.Approved, AccountID: a.ID, Username: a.Username, Detail: detail,
		Ops: []plan.Op{{Kind: plan.LinkAccount}},
	}
	link := linkAfter(nil, o.Key, d.Ref, d.Ops[0], *a, w.now)
	link.Origin, link.Written, link.Applied.MatchKey = identity.OriginOperator, time.Time{}, o.Desired.MatchKey
	w.steps = append(w.steps, step{decision: d, link: link, account: a})
}

// move gives the account of one Key to another, with all that is known of it.
func (w *ownership) move(from, to *plan.Observation, why string) {
	link := *from.Link
	link.Key, link.Ref, link.UpdatedAt = to.Key, to.Desired.Ref, w.now
	if to.Desired.MatchKey != "" {
		link.Applied.MatchKey = to.Desired.MatchKey
	}
	d := plan.Decision{
		Key: from.Key, Ref: to.Desired.Ref, Action: plan.Adopt, Reason: plan.Rekeyed, AccountID: link.AccountID, Username: from.Linked.Username,
		Detail: "goes from " + from.Key.String() + " to " + to.Key.String() + " " + wantedName(to) + " (" + why + ")",
		Ops: []plan.Op{{Kind: plan.LinkAccount, Changes: []plan.Change{
			{Field: plan.FieldKey, From: from.Key.String(), To: to.Key.String()},
		}}},
	}
	w.steps = append(w.steps, step{decision: d, unlink: true, link: &link, account: from.Linked})
}
