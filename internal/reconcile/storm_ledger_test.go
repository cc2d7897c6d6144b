package reconcile_test

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// ledger is the real store with somebody who reads along.
type ledger struct {
	state.Store
	s   *storm
	run *stormRun
}

var errParted = errors.New("the store cannot be reached")

func (l ledger) RenewLease(ctx context.Context, k state.Lease, ttl time.Duration) (state.Lease, error) {
	if l.run.parted {
		return k, errParted
	}
	return l.Store.RenewLease(ctx, k, ttl)
}

func (l ledger) BeginRun(ctx context.Context, k state.Lease, r state.Run, p plan.Plan, c state.SightingChanges) error {
	if err := l.Store.BeginRun(ctx, k, r, p, c); err != nil {
		return err
	}
	if do := l.run.middle; do != nil {
		l.run.middle = nil
		do()
	}
	b := &l.s.book
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range p.Decisions {
		for j, op := range p.Decisions[i].Ops {
			b.ops[state.OpRef{Run: r.ID, Decision: i, Op: j}] = &opNote{
				key: p.Decisions[i].Key, account: p.Decisions[i].AccountID, op: op, run: l.run, status: state.OpPending,
			}
		}
		d := &p.Decisions[i]
		l.s.seen.add("reason " + string(d.Reason))
		if d.Reason == plan.HandOver && strings.Contains(d.Detail, "linked to the account as well") {
			l.s.seen.add("kept by another source")
			if strings.Contains(d.Detail, "may still have the person") {
				l.s.seen.add("kept by another source that cannot be read")
			}
		}
		for _, n := range d.Notes {
			l.s.seen.add("reason " + string(n.Reason))
		}
		b.tell("   %s: plans %s of %s (%s, %s): %s %s", l.run.name, d.Action, d.Key, d.Username, d.Reason, d.Detail, kinds(d))
	}
	if l.run.began {
		return nil // a further look
	}
	l.run.began = true
	b.setBack = false
	for source, read := range l.run.reads {
		l.s.heard(read)
		for k := range l.s.people {
			if k.Source != source {
				continue
			}
			_, missing := b.missed[k]
			if read.complete && !read.shrunk {
				b.sized[source] = true
			}
			active, listed := read.listed[k]
			switch leaving := listed && !active && l.s.rules.grace.Disabled > 0; { // one grace may go over into the other
			case read.present[k] && !leaving:
				delete(b.missed, k)
			case (read.complete || leaving) && !missing:
				b.missed[k] = time.Now()
			}
		}
	}
	return nil
}

func kinds(d *plan.Decision) string {
	var out []string
	for _, op := range d.Ops {
		out = append(out, string(op.Kind))
	}
	for _, n := range d.Notes {
		out = append(out, "note:"+string(n.Field)+":"+string(n.Reason))
	}
	return strings.Join(out, " ")
}

func (l ledger) MarkSent(ctx context.Context, k state.Lease, ref state.OpRef, at time.Time) error {
	if err := l.Store.MarkSent(ctx, k, ref, at); err != nil {
		return err
	}
	l.s.book.mu.Lock()
	defer l.s.book.mu.Unlock()
	if n := l.s.book.ops[ref]; n != nil {
		n.sent = true
	}
	return nil
}

func (l ledger) RecordOp(ctx context.Context, k state.Lease, o state.Outcome) error {
	if err := l.Store.RecordOp(ctx, k, o); err != nil {
		return err
	}
	b := &l.s.book
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.ops[o.Ref]
	if n == nil {
		b.wrong("run %s: op %s is closed and was never planned", l.run.name, o.Ref)
		return nil
	}
	n.status = o.Status
	l.s.seen.add("op " + string(o.Status))
	if o.After != nil && !isPlace(n.op.Kind) && (o.Status == state.OpDone || o.Status == state.OpObserved) {
		b.newest[o.AccountID] = o.After.UpdateAt
	}
	b.tell("   %s: %s of %s %s is %s %s", l.run.name, n.op.Kind, n.key, o.AccountID, o.Status, o.Error)
	if o.Unlink {
		for id, key := range b.owner {
			if key == n.key {
				delete(b.owner, id)
			}
		}
	}
	if isPlace(n.op.Kind) && (o.Status == state.OpDone || o.Status == state.OpObserved) {
		l.s.settles(o.AccountID, n.op)
	}
	if o.Link != nil && o.Link.Part == identity.Contributor {
		l.s.contributes(n, o.Link)
	} else if o.Link != nil {
		l.s.takes(n, o.Link)
	}
	return nil
}

// takes judges how an account became somebody's. book.mu is held.
func (s *storm) takes(n *opNote, link *identity.Link) {
	b, id := &s.book, link.AccountID
	if key, owned := b.owner[id]; owned {
		if key != n.key {
			b.wrong("account %s of %s gets a second owner %s", id, key, n.key)
		}
		return
	}
	b.owner[id] = n.key
	if b.made[id] == n.key {
		delete(s.mine, id)
		return
	}
	e, u := s.people[n.key], mmsim.User{}
	if found, ok := s.sim.User(id); ok {
		u = found
	}
	same := e != nil && !e.auth.IsZero() && u.AuthService == e.auth.Service && (u.AuthData == e.auth.Data)
	switch {
	case n.op.Kind == plan.LinkAccount && same && s.rules.adopt && s.untouchable[id] == "" && identity.ParseRoles(u.Roles).Equal(identity.NewRoles(identity.RoleUser)):
		s.seen.add("adopted by login")
		delete(s.mine, id)
	case n.run.edited[id]: // it was his when the plan was made
		delete(s.mine, id)
	default:
		b.wrong("account %s %s is linked to %s, and is not his", id, u.Username, n.key)
	}
}
