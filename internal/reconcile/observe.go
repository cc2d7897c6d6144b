package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

// sinceMark names the watermark of passes over the linked accounts.
const sinceMark = "observe"

// observe reads the linked accounts: those seen before only if they changed
// since the mark, the others whole. What does not come back with since is
// unchanged; what does not come back without it is asked for once more, alone.
func (e *Engine) observe(ctx context.Context, g *gathered, v *view, l *lease) error {
	if len(g.links) == 0 {
		return nil
	}
	mark, err := e.o.Store.Mark(ctx, sinceMark)
	if err != nil {
		return fmt.Errorf("read the since mark: %w", err)
	}
	sample := lastWritten(g.links, sampleSize)
	fresh, known := v.divide(g.links, mark, sample)
	var newest int64
	var began time.Time
	read := func(ids []string, since int64) error {
		if len(ids) == 0 {
			return nil
		}
		at, err := e.o.Target.Observe(ctx, ids, since, func(a identity.Account) error {
			newest = max(newest, a.UpdateAt)
			v.byID[a.ID] = &a
			return nil
		})
		if err != nil {
			return fmt.Errorf("observe linked accounts: %w", err)
		}
		if began.IsZero() {
			began = at
		}
		return nil
	}
	if err := read(known, mark.Value); err != nil {
		return err
	}
	if len(known) > 0 && (began.Before(mark.ServerDate) || mark.Value > began.UnixMilli()) {
		// The server's clock went back: since may hide changes.
		fresh, known = v.again(fresh, known), nil
	}
	if err := read(fresh, 0); err != nil {
		return err
	}
	if g.restored = setBack(g.links, v, sample); g.restored {
		// What since left out may be older than what is stored of it.
		rest := v.again(nil, known)
		if err := read(rest, 0); err != nil {
			return err
		}
		fresh = append(fresh, rest...)
	}
	for _, id := range fresh {
		if v.byID[id] == nil {
			if err := e.proveGone(ctx, v, id, g.links); err != nil {
				return err
			}
		}
	}
	if l == nil {
		return nil
	}
	return e.remember(ctx, g, v, mark, newest, began, l)
}

// sampleSize is how many of the accounts that mmsync wrote last are read whole in
// every pass.
const sampleSize = 200

// lastWritten picks the accounts that were written last: a server that was set
// back to an earlier state betrays itself by them.
func lastWritten(links []identity.Link, n int) map[string]bool {
	order := make([]*identity.Link, 0, len(links))
	for i := range links {
		if !links[i].Written.IsZero() {
			order = append(order, &links[i])
		}
	}
	slices.SortFunc(order, func(a, b *identity.Link) int {
		if c := b.Written.Compare(a.Written); c != 0 {
			return c
		}
		return strings.Compare(a.AccountID, b.AccountID)
	})
	out := map[string]bool{}
	for _, k := range order[:min(n, len(order))] {
		out[k.AccountID] = true
	}
	return out
}

// setBack tells whether an account of the sample is older than mmsync's own last
// write to it, which no server forgets by itself.
func setBack(links []identity.Link, v *view, sample map[string]bool) bool {
	for i := range links {
		k := &links[i]
		if a := v.byID[k.AccountID]; sample[k.AccountID] && a != nil && a.UpdateAt < k.Written.UnixMilli() {
			return true
		}
	}
	return false
}

// divide tells the accounts to be read whole from those of which only changes
// since the mark are asked for; the latter are taken as stored until then.
func (v *view) divide(links []identity.Link, mark state.Mark, sample map[string]bool) (fresh, known []string) {
	for i := range links {
		k := &links[i]
		if mark.Value > 0 && k.Observed != nil && k.Written.Before(mark.ServerDate) && !sample[k.AccountID] {
			known = append(known, k.AccountID)
			v.byID[k.AccountID] = k.Observed
			continue
		}
		fresh = append(fresh, k.AccountID)
	}
	return fresh, known
}

// again moves accounts that were taken as unchanged to those to be read whole.
func (v *view) again(fresh, known []string) []string {
	for _, id := range known {
		delete(v.byID, id)
	}
	return append(fresh, known...)
}

// proveGone asks for one linked account alone, by id and by the name it had. Only
// a healthy server that denies both proves that it is gone.
func (e *Engine) proveGone(ctx context.Context, v *view, id string, links []identity.Link) error {
	a, ok, err := e.o.Target.Account(ctx, id)
	if err != nil {
		return fmt.Errorf("ask for account %s: %w", id, err)
	}
	if ok {
		v.byID[id] = &a
		return nil
	}
	if i := slices.IndexFunc(links, func(k identity.Link) bool { return k.AccountID == id }); i >= 0 {
		name := links[i].Applied.Profile.Username
		if o := links[i].Observed; o != nil {
			name = o.Username
		}
		found, err := e.o.Target.Lookup(ctx, []string{name}, nil)
		if err != nil {
			return fmt.Errorf("ask for account %s by name: %w", id, err)
		}
		for j := range found {
			if found[j].ID == id {
				v.byID[id] = &found[j]
				return nil
			}
		}
	}
	if e.o.Target.Healthy(ctx) != nil {
		v.unseen[id] = true
	}
	return nil
}

// remember writes down what the pass saw and moves the mark: never past what
// the server's own clock said at the start, and well behind it, because a
// write may become visible later than its update_at says.
func (e *Engine) remember(ctx context.Context, g *gathered, v *view, mark state.Mark, newest int64, began time.Time, l *lease) error {
	if err := e.keepObserved(ctx, g, v, l); err != nil {
		return err
	}
	next := mark
	next.Name, next.ServerDate, next.At = sinceMark, began, g.now
	value := min(max(newest, mark.Value+e.o.SinceOverlap.Milliseconds()), began.UnixMilli()) - e.o.SinceOverlap.Milliseconds()
	next.Value = max(value, 0)
	if err := e.o.Store.SetMark(ctx, l.current(), next); err != nil {
		return fmt.Errorf("record the since mark: %w", err)
	}
	return nil
}

// keepObserved writes the accounts that look otherwise than their links say.
func (e *Engine) keepObserved(ctx context.Context, g *gathered, v *view, l *lease) error {
	var changed []identity.Link
	for i := range g.links {
		k := &g.links[i]
		a := v.byID[k.AccountID]
		if a == nil || a == k.Observed || (k.Observed != nil && same(k.Observed, a)) {
			continue
		}
		k.Observed = a
		changed = append(changed, *k)
	}
	if len(changed) == 0 {
		return nil
	}
	if err := e.o.Store.PutLinks(ctx, l.current(), changed); err != nil {
		return fmt.Errorf("record observed accounts: %w", err)
	}
	return nil
}

func same(a, b *identity.Account) bool {
	return a.Profile == b.Profile && a.Auth == b.Auth && a.UpdateAt == b.UpdateAt && a.DeleteAt == b.DeleteAt &&
		a.Bot == b.Bot && a.Remote == b.Remote && a.MagicLink == b.MagicLink && a.Roles.Equal(b.Roles)
}
