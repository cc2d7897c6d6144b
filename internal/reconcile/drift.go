package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// confirm notes in the links which values the source wants and the account has,
// whoever set them. An account that was taken over as it was has had nothing
// applied to it; without this, what somebody edits in it later could not be told
// from a change of the source.
func (e *Engine) confirm(ctx context.Context, l *lease, g *gathered) error {
	var changed []identity.Link
	for i := range g.observations {
		ob := &g.observations[i]
		k, a, d := ob.Link, ob.Linked, ob.Desired
		if k == nil || k.Part == identity.Contributor || a == nil || d == nil || d.Fault != "" || !d.Active || !ob.Busy.IsZero() {
			continue
		}
		p := k.Applied.Profile
		for _, at := range d.Owned.Without(e.o.Policy.UserOwned).List() {
			if v := d.Profile.Value(at); v == a.Value(at) {
				p = p.With(at, v)
			}
		}
		in := k.Applied.Memberships
		if g.facts.Spaces != nil {
			in = plan.Confirmed(ob, e.o.Policy)
		}
		if p != k.Applied.Profile || !in.Equal(k.Applied.Memberships) {
			k.Applied.Profile, k.Applied.Memberships = p, in
			changed = append(changed, *k)
		}
	}
	return e.putLinks(ctx, g, l, changed, "record which values are confirmed")
}

// putLinks writes links in parts, between which the lease can be renewed. Those that
// were read before a push took the person over are left as it writes them.
func (e *Engine) putLinks(ctx context.Context, g *gathered, l *lease, links []identity.Link, what string) error {
	for part := range slices.Chunk(links, atOnce) {
		if err := e.putPart(ctx, g, l, part); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}

func (e *Engine) putPart(ctx context.Context, g *gathered, l *lease, part []identity.Link) error {
	e.claims.writing.RLock()
	defer e.claims.writing.RUnlock()
	part = slices.DeleteFunc(part, func(k identity.Link) bool { return e.claims.since(k.Key, g.since) })
	if len(part) == 0 {
		return nil
	}
	return e.o.Store.PutLinks(ctx, l.current(), part)
}

// noteReturn notes an account that was off when it was last seen and is on now.
// What mmsync itself has just taken, and does not last, is noted elsewhere.
func (g *gathered) noteReturn(k *identity.Link, a *identity.Account) {
	if k.Part == identity.Contributor || a == nil || k.Observed == nil || !a.Active() || k.Observed.Active() || !k.Recheck.IsZero() || k.Applied.Active {
		return
	}
	if g.switchedOn == nil {
		g.switchedOn = map[identity.Key]time.Time{}
	}
	g.switchedOn[k.Key] = time.UnixMilli(k.Observed.DeleteAt)
}

// mostReturns is how many people are named one by one.
const mostReturns = 5

// tellReturns names those among the accounts switched on whose people have left.
// Of a server that was set back that is no news.
func (g *gathered) tellReturns() {
	var left []string
	total := 0
	for i := range g.observations {
		ob := &g.observations[i]
		off, found := g.switchedOn[ob.Key]
		if !found || ob.Linked == nil || g.facts.SetBack || (ob.Desired == nil && !ob.Absence.Complete) || (ob.Desired != nil && ob.Desired.Active) {
			continue
		}
		if total++; total <= mostReturns {
			left = append(left, fmt.Sprintf("account %s (%s) of somebody who has left, off since %s, was switched on again, at the latest on %s",
				ob.Linked.ID, ob.Key, minute(off), minute(time.UnixMilli(ob.Linked.UpdateAt))))
		}
	}
	if total == 0 {
		return
	}
	if more := total - len(left); more > 0 {
		left = append(left, fmt.Sprintf("and %d more", more))
	}
	g.problems = append(g.problems, strings.Join(left, "; ")+": mmsync did not do it, and switches off again what the guards let it; Mattermost's own audit log may say who did. If the person is to be let in, put it right in the source")
}

func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
