package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

// sinceMark names the watermark of passes over the linked accounts.
const sinceMark = "observe"

// observe reads the linked accounts: those seen before only if they changed
// since the mark, the others whole. What does not come back with since is
// unchanged; what does not come back without it is asked for once more, alone.
// Links are loaded only of the accounts that came back or should have.
func (e *Engine) observe(ctx context.Context, g *gathered, v *view, l *lease) error {
	if len(g.roster.heads) == 0 {
		return nil
	}
	mark, err := e.o.Store.Mark(ctx, sinceMark)
	if err != nil {
		return fmt.Errorf("read the since mark: %w", err)
	}
	p := pass{e: e, g: g, v: v, mark: mark, l: l}
	sample := g.roster.lastWritten(sampleSize)
	p.divide(sample)
	if err := p.read(ctx, sample); err != nil {
		return err
	}
	if l == nil {
		return nil
	}
	return e.remember(ctx, g, v, &p, l)
}

// pass is one reading of all linked accounts.
type pass struct {
	e            *Engine
	g            *gathered
	v            *view
	mark         state.Mark
	fresh, known []int // heads to be read whole, and by since
	newest       int64
	began        time.Time
	l            *lease // nil in a run that writes nothing
}

// divide tells the accounts to be read whole from those of which only changes
// since the mark are asked for; the latter are taken as stored until then.
func (p *pass) divide(sample []int) {
	heads := p.g.roster.heads
	for _, i := range sample {
		heads[i].whole = true
	}
	for i := range heads {
		h := &heads[i]
		switch {
		case !h.owner: // its owner is asked for, and a contributor needs no look
		case h.whole || !h.unwritten(p.mark):
			h.whole = true
			p.fresh = append(p.fresh, i)
		default:
			p.known = append(p.known, i)
		}
	}
}

// all makes the accounts that were asked for by since be read whole.
func (p *pass) all() []int {
	rest := p.known
	for _, i := range rest {
		p.g.roster.heads[i].whole = true
	}
	p.fresh, p.known = append(p.fresh, rest...), nil
	return rest
}

func (p *pass) read(ctx context.Context, sample []int) error {
	if err := p.ask(ctx, p.known, p.mark.Value); err != nil {
		return err
	}
	if len(p.known) > 0 && (p.began.Before(p.mark.ServerDate) || p.mark.Value > p.began.UnixMilli() || p.g.drifted(p.mark, p.began)) {
		p.all() // the server's clock was set: since may hide changes
	}
	if err := p.ask(ctx, p.fresh, 0); err != nil {
		return err
	}
	back, err := p.setBack(ctx, sample)
	if err != nil {
		return err
	}
	if p.g.facts.SetBack, err = p.e.setBackPending(ctx, p.l, back); err != nil {
		return err
	}
	if p.g.facts.SetBack {
		// What since left out may be older than what is stored of it.
		if err := p.ask(ctx, p.all(), 0); err != nil {
			return err
		}
	}
	p.g.jumped = p.g.jumped || p.g.drifted(p.mark, p.began)
	p.g.began = p.began
	load := slices.Clone(p.fresh)
	for _, i := range p.known {
		if p.v.byID[p.g.roster.heads[i].account] != nil {
			load = append(load, i)
		}
	}
	if err := p.e.load(ctx, p.g, p.v, load); err != nil {
		return err
	}
	return p.compare(ctx, load)
}

// ask reads accounts, changed after since or all.
func (p *pass) ask(ctx context.Context, which []int, since int64) error {
	if len(which) == 0 {
		return nil
	}
	ids := make([]string, len(which))
	for n, i := range which {
		ids[n] = p.g.roster.heads[i].account
	}
	at, err := p.e.o.Target.Observe(ctx, ids, since, func(a identity.Account) error {
		p.newest = max(p.newest, a.UpdateAt)
		p.v.byID[a.ID] = &a
		return nil
	})
	if err != nil {
		return fmt.Errorf("observe linked accounts: %w", err)
	}
	if p.began.IsZero() {
		p.began = at
	}
	return nil
}

// compare finds out which of the loaded accounts are otherwise than when
// something was last decided about them.
func (p *pass) compare(ctx context.Context, loaded []int) error {
	var links []*identity.Link
	for _, i := range loaded {
		if k := p.g.links[p.g.roster.key(i)]; k != nil && k.Part != identity.Contributor {
			links = append(links, k)
		}
	}
	if err := p.e.believe(ctx, p.g, p.v, links); err != nil {
		return err
	}
	for _, i := range loaded {
		h := &p.g.roster.heads[i]
		k := p.g.links[p.g.roster.key(i)]
		if k == nil {
			continue
		}
		if p.v.byID[h.account] == nil {
			if err := p.e.proveGone(ctx, p.v, k); err != nil {
				return err
			}
		}
		a := p.v.byID[h.account]
		p.g.noteReturn(k, a)
		h.active = a != nil && a.Active()
		if a == nil || k.Observed == nil || !same(k.Observed, a) || !k.Recheck.IsZero() {
			h.settled = state.Digest{}
		}
	}
	return nil
}

// believe asks the server's database about accounts that its memory shows
// otherwise than mmsync left them. Look-ups by id are answered from memory: before
// 11.0 a change of login leaves an old copy there, and in a cluster each node has
// its own for a while.
func (e *Engine) believe(ctx context.Context, g *gathered, v *view, links []*identity.Link) error {
	var doubted []*identity.Link
	for _, k := range links {
		a := v.byID[k.AccountID]
		if a == nil {
			continue
		}
		old := !g.facts.AuthDataVisible && k.Applied.Auth.Service != "" && a.Auth.Service != k.Applied.Auth.Service
		if old || (!k.Recheck.IsZero() && e.undone(k, a) != "") {
			doubted = append(doubted, k)
		}
	}
	return e.askDatabase(ctx, v, doubted)
}

// askDatabase reads accounts by the names they have, which is answered from the
// server's database.
func (e *Engine) askDatabase(ctx context.Context, v *view, links []*identity.Link) error {
	if len(links) == 0 {
		return nil
	}
	names := make([]string, 0, len(links))
	ids := make(map[string]bool, len(links))
	for _, k := range links {
		// The name it was given last, and, should somebody have renamed it since, the
		// one it was seen with.
		names, ids[k.AccountID] = append(names, k.Applied.Profile.Username), true
		if a := v.byID[k.AccountID]; a != nil {
			names = append(names, a.Username)
		} else if k.Observed != nil {
			names = append(names, k.Observed.Username)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	found, err := e.o.Target.Lookup(ctx, names, nil)
	if err != nil {
		return fmt.Errorf("ask for %d accounts by name: %w", len(names), err)
	}
	for i := range found {
		if ids[found[i].ID] {
			v.byID[found[i].ID] = &found[i]
		}
	}
	return nil
}

// drifted notices a store or a server whose clock was set: between two passes both
// went on by the same time.
func (g *gathered) drifted(mark state.Mark, began time.Time) bool {
	if mark.At.IsZero() || mark.ServerDate.IsZero() || began.IsZero() {
		return false
	}
	return (g.now.Sub(mark.At) - began.Sub(mark.ServerDate)).Abs() > clockSlack
}

// clockSlack is how far two clocks may part between two runs, by drifting and by
// the time that passes between looking at one and at the other.
const clockSlack = 5 * time.Minute

// jumped tells whether, since this process last gathered for a run, the store's clock
// went on otherwise than its own. Who only looks leaves it to the next run to notice.
func (e *Engine) jumped(now time.Time, runs bool) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	last, read, at := e.lastNow, e.lastRead, time.Now()
	if runs || last.IsZero() {
		e.lastNow, e.lastRead = now, at
	}
	return !last.IsZero() && (now.Sub(last)-at.Sub(read)).Abs() > clockSlack
}

// setAt tells when a push last found that the store's clock did not go on as this
// process's does, by the store's clock; the zero time if none has. now is the store's.
func (e *Engine) setAt(now time.Time) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	at := time.Now()
	if !e.pushNow.IsZero() && (now.Sub(e.pushNow)-at.Sub(e.pushRead)).Abs() > clockSlack {
		e.pushSet = now
	}
	e.pushNow, e.pushRead = now, at
	return e.pushSet
}

// sampleSize is how many of the accounts that mmsync wrote last are read whole in
// every pass.
const sampleSize = 200

// proveGone asks for one linked account alone, by id and by the name it had. Only
// a healthy server that denies both proves that it is gone.
func (e *Engine) proveGone(ctx context.Context, v *view, k *identity.Link) error {
	id := k.AccountID
	a, ok, err := e.o.Target.Account(ctx, id)
	if err != nil {
		return fmt.Errorf("ask for account %s: %w", id, err)
	}
	if ok {
		v.byID[id] = &a
		return nil
	}
	name := k.Applied.Profile.Username
	if o := k.Observed; o != nil {
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
	if e.o.Target.Healthy(ctx) != nil {
		v.unseen[id] = true
	}
	return nil
}

// remember writes down what the pass saw and moves the mark: never past what
// the server's own clock said at the start, and well behind it, because a
// write may become visible later than its update_at says.
func (e *Engine) remember(ctx context.Context, g *gathered, v *view, p *pass, l *lease) error {
	if err := e.keepObserved(ctx, g, v, l); err != nil {
		return err
	}
	next := p.mark
	next.Name, next.ServerDate, next.At = sinceMark, p.began, g.now
	overlap := e.o.SinceOverlap.Milliseconds()
	next.Value = max(min(max(p.newest, p.mark.Value+overlap), p.began.UnixMilli())-overlap, 0)
	if err := e.o.Store.SetMark(ctx, l.current(), next); err != nil {
		return fmt.Errorf("record the since mark: %w", err)
	}
	return nil
}

// keepObserved writes the accounts that look otherwise than their links say, and
// what became of leavings that had yet to prove that they last. Of those who are
// observed already it also notes who is in again as the source wants it, though mmsync
// did not let him in: his next leaving is a new one.
func (e *Engine) keepObserved(ctx context.Context, g *gathered, v *view, l *lease) error {
	wanted := g.wantedIn()
	var changed []identity.Link
	for _, k := range g.sortedLinks() {
		if k.Part == identity.Contributor {
			continue
		}
		a := v.byID[k.AccountID]
		in := wanted[k.Key] && a != nil && a.Active() && !k.Applied.Active
		k.Applied.Active = k.Applied.Active || in
		lasting := e.lasts(ctx, g, k, a)
		if a != nil && a.UpdateAt < k.Written.UnixMilli() && (g.facts.SetBack || k.Written.After(g.began.Add(dateSlack))) {
			k.Written, lasting = time.UnixMilli(a.UpdateAt), true // said once; from here on it is what the server has
		}
		switch {
		case a == nil && k.Observed != nil && !v.unseen[k.AccountID]:
			k.Observed = nil // gone; from now on it is no sign of a server that was set back
		case a != nil && a != k.Observed && (k.Observed == nil || !same(k.Observed, a)):
			k.Observed = a
		case !lasting && !in:
			continue
		}
		changed = append(changed, *k)
	}
	return e.putLinks(ctx, g, l, changed, "record observed accounts")
}

// wantedIn gives the people observed so far whom their source wants to have access, and
// whom no operator switched off.
func (g *gathered) wantedIn() map[identity.Key]bool {
	in := map[identity.Key]bool{}
	for i := range g.observations {
		if ob := &g.observations[i]; ob.Desired != nil && ob.Desired.Active && !g.stops.off(ob.Key) {
			in[ob.Key] = true
		}
	}
	return in
}

// atOnce is how many links are written in one transaction: the lease has to be
// renewed in between.
const atOnce = 5000

func same(a, b *identity.Account) bool {
	return a.Profile == b.Profile && a.Auth == b.Auth && a.UpdateAt == b.UpdateAt && a.DeleteAt == b.DeleteAt &&
		a.Bot == b.Bot && a.Remote == b.Remote && a.MagicLink == b.MagicLink && a.Roles.Equal(b.Roles)
}
