package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// busy are the people, and the accounts, to whom a call without a known outcome
// may still be on its way, and until when by this process's clock. Nothing else
// may be sent for them before: of two writes at once the server loses one.
type busy struct {
	people   map[identity.Key]time.Time
	accounts map[string]time.Time
	// sessions are ops that have yet to end the sessions of a login that was moved.
	sessions []state.OpRecord
	// away are people whose login is still another one, by a run that was cut off:
	// nothing else is sent for them before it is as it was, and no time ends that.
	// astray says so.
	away   map[identity.Key]bool
	astray []string
}

func (b *busy) stray(op state.OpRecord, why string) {
	if b.away == nil {
		b.away = map[identity.Key]bool{}
	}
	b.away[op.Key] = true
	b.astray = append(b.astray, astray(op, why))
}

func (b *busy) add(op state.OpRecord, until time.Time) {
	if b.people == nil {
		b.people, b.accounts = map[identity.Key]time.Time{}, map[string]time.Time{}
	}
	b.people[op.Key] = later(b.people[op.Key], until)
	if op.AccountID != "" {
		b.accounts[op.AccountID] = later(b.accounts[op.AccountID], until)
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (b *busy) has(k identity.Key, account string) bool {
	return b.away[k] || !b.people[k].IsZero() || !b.accounts[account].IsZero()
}

// until gives, by the clock that now was read from, until when nothing may be sent
// for somebody; zero if anything may.
func (b *busy) until(ob *plan.Observation, now time.Time) time.Time {
	at := b.people[ob.Key]
	if ob.Link != nil {
		at = later(at, b.accounts[ob.Link.AccountID])
	}
	if ob.Link == nil && ob.ByIntent == nil {
		for _, h := range []*plan.Holder{ob.ByAuth, ob.ByEmail, ob.ByUsername} {
			if h != nil {
				at = later(at, b.accounts[h.Account.ID])
			}
		}
	}
	if b.away[ob.Key] {
		at = later(at, now)
	}
	return still(at, now)
}

// still turns a time of this process's clock until which a call may arrive, zero for none,
// into one of the clock that now was read from: while its op is open it is still to come,
// however late it is, for what is sent meanwhile would be taken for the effect of that call.
func still(at, now time.Time) time.Time {
	if at.IsZero() {
		return at
	}
	return now.Add(max(time.Until(at), time.Millisecond))
}

// calls finds, for runs that may not write, who is busy; recover does it for those
// that may.
func (e *Engine) calls(ctx context.Context, facts plan.Facts) (busy, error) {
	var b busy
	open, err := e.o.Store.Ops(ctx, state.OpFilter{Statuses: []state.OpStatus{state.OpSent, state.OpPending}})
	open = slices.DeleteFunc(open, func(op state.OpRecord) bool { return op.Status == state.OpPending && op.Op.Detour != plan.Back })
	if err != nil || len(open) == 0 {
		if err != nil {
			err = fmt.Errorf("read unfinished ops: %w", err)
		}
		return b, err
	}
	offset, err := e.clockOffset(ctx, facts)
	if err != nil {
		return b, err
	}
	now, err := e.o.Store.Now(ctx)
	if err != nil {
		return b, fmt.Errorf("read the store's clock: %w", err)
	}
	for _, op := range open {
		if due, _, err := e.backDue(ctx, op); err != nil {
			return b, err
		} else if due {
			b.stray(op, "no run that writes was made since")
			continue
		}
		if op.Status == state.OpPending {
			continue
		}
		if op.AccountID == "" && op.Op.Kind != plan.CreateAccount {
			continue
		}
		if op.Op.Thing() != "" { // no write to the account itself
			continue
		}
		a, err := e.effect(ctx, op)
		if err != nil {
			return b, fmt.Errorf("look what became of op %s: %w", op.Ref, err)
		}
		if until := e.arrived(op, offset, now); a == nil && time.Until(until) > 0 {
			b.add(op, until)
		}
	}
	return b, nil
}

// arrived gives when, by this process's clock, a call that was marked as sent
// cannot be on its way any more. A clock that was set meanwhile must not say so too
// early, so the server's and the store's both have to; and it must not say so too
// late, so nobody waits longer than a call can take.
func (e *Engine) arrived(op state.OpRecord, offset time.Duration, now time.Time) time.Time {
	age := min(time.Now().Add(offset).Sub(op.SentAt), now.Sub(op.MarkedAt))
	e.mu.Lock()
	defer e.mu.Unlock()
	met, known := e.met[op.Ref]
	if !known {
		if e.met == nil {
			e.met = map[state.OpRef]time.Time{}
		}
		met = time.Now()
		e.met[op.Ref] = met
	}
	left := e.o.SettleAfter - max(age, time.Since(met), 0)
	return time.Now().Add(left)
}
