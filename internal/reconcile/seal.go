package reconcile

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/state"
)

// Vault keeps, outside of the store, the key that seals the history and how far it
// was sealed, so that a store somebody changed or put back is noticed.
type Vault interface {
	// Key gives the key; with create it makes one if there is none.
	Key(create bool) (audit.Key, error)
	// Next gives the key that Switch puts in the place of this one; it makes one if
	// there is none yet.
	Next() (audit.Key, error)
	// Switch makes the next key the key. The one before is kept, and comes with it from
	// then on.
	Switch() error
	// Head gives what SetHead noted last; ok is false if nothing is.
	Head() (h audit.Head, ok bool, err error)
	// SetHead notes how far the history is sealed; the zero Head takes the note away.
	SetHead(h audit.Head) error
	// Path names the place of the key to people.
	Path() string
}

const (
	// sealAtOnce is how many ops one batch holds at most.
	sealAtOnce = 10_000
	// sealMost is how many batches one run seals at a time: the rest of a long
	// history that was never sealed is left to the next.
	sealMost = 5
	// sealWithin bounds the sealing at the end of a run.
	sealWithin = time.Minute
)

// HistoryError says that the store is not the one whose history this process knows.
// It is a refusal.
type HistoryError struct {
	// Restored says that the history ends before, or otherwise than, the head kept
	// outside: the store was put back, or is another one.
	Restored bool
	Text     string
}

func (e *HistoryError) Error() string { return fmt.Sprintf("%s: %s", ErrRefused, e.Text) }

func (e *HistoryError) Unwrap() error { return ErrRefused }

// errNoVault is a fault of whoever made the Engine.
var errNoVault = errors.New("there is no key that seals the history")

// chain is the end of the history and the key that goes on with it.
type chain struct {
	key  audit.Key
	last *audit.Batch // nil if nothing was sealed yet
}

// History makes sure that the store is the one whose head is in the vault. With
// create a key is made if nothing was sealed yet; without, none is asked for then.
func History(ctx context.Context, s HistoryStore, v Vault, create bool) error {
	_, err := history(ctx, s, v, create)
	return err
}

// HistoryStore is what History asks of a store.
type HistoryStore interface {
	state.AuditStore
	Mark(ctx context.Context, name string) (state.Mark, error)
}

func history(ctx context.Context, s HistoryStore, v Vault, create bool) (chain, error) {
	var c chain
	ends, err := s.AuditBatches(ctx, state.BatchFilter{Limit: 1})
	if err != nil {
		return c, fmt.Errorf("read the end of the history: %w", err)
	}
	if len(ends) > 0 {
		c.last = &ends[0]
	}
	rebuilt, err := s.Mark(ctx, rebuiltMark)
	if err != nil {
		return c, fmt.Errorf("read whether the links were rebuilt: %w", err)
	}
	if err := refuseRebuilt(rebuilt); err != nil {
		return c, err
	}
	restored, err := s.Mark(ctx, state.MarkRestored)
	if err != nil {
		return c, fmt.Errorf("read whether the store was restored: %w", err)
	}
	if err := refuseRestored(restored); err != nil {
		return c, err
	}
	head, known, err := v.Head()
	if err != nil {
		return c, &HistoryError{Text: err.Error()}
	}
	if known {
		if err := follows(ctx, s, c.last, head, v.Path()); err != nil {
			return c, err
		}
	}
	if c.last == nil && !create {
		return c, nil
	}
	if c.key, err = v.Key(create && c.last == nil); err != nil {
		return c, &HistoryError{Text: err.Error()}
	}
	if c.last != nil && !c.key.Made(*c.last) {
		return c, &HistoryError{Text: fmt.Sprintf("batch %d, the last of the history, was not sealed with the key in %s: put back the key that sealed it, and see what mmsync audit verify says; if that key is lost, mmsync state accept-restore --reason … goes on with this one",
			c.last.ID, v.Path())}
	}
	return c, nil
}

const acceptHint = "read mmsync plan, then run mmsync state accept-restore --reason …"

// follows refuses a store whose history does not hold the head that was kept
// outside. One that goes on after it is well: another process sealed.
func follows(ctx context.Context, s state.AuditStore, last *audit.Batch, head audit.Head, path string) error {
	refused := func(format string, args ...any) error {
		return &HistoryError{Restored: true, Text: fmt.Sprintf(format, args...) + ": an older copy of the store was put back, or it is another one; " + acceptHint}
	}
	switch {
	case last == nil:
		return refused("nothing in the store is sealed, but %s.head knows batch %d of the history", path, head.Batch)
	case last.ID < head.Batch:
		return refused("the history in the store ends with batch %d, but %s.head knows batch %d", last.ID, path, head.Batch)
	}
	found, err := s.AuditBatches(ctx, state.BatchFilter{IDs: []int64{head.Batch}})
	if err != nil {
		return fmt.Errorf("read batch %d of the history: %w", head.Batch, err)
	}
	if len(found) == 0 || !bytes.Equal(found[0].Seal, head.Seal) {
		return refused("batch %d of the history in the store is not the one that %s.head knows", head.Batch, path)
	}
	return nil
}

// refuseRestored says that the store was put back from a backup and nobody has accepted
// that.
func refuseRestored(m state.Mark) error {
	if m.At.IsZero() {
		return nil
	}
	return &HistoryError{Restored: true, Text: fmt.Sprintf("the store was put back on %s from a backup that was made on %s, and what was done after it is not known; %s",
		m.At.UTC().Format(time.DateTime), m.ServerDate.UTC().Format(time.DateTime), acceptHint)}
}

// known refuses to go on with a store that was put back.
func (e *Engine) known(ctx context.Context) error {
	if e.o.Vault == nil {
		return nil
	}
	return History(ctx, e.o.Store, e.o.Vault, true)
}

// seal seals what was done and said since the last time.
func (e *Engine) seal(ctx context.Context, l state.Lease, run string) error {
	if e.o.Vault == nil {
		return nil
	}
	for range sealMost {
		u, err := e.o.Store.Unsealed(ctx, sealAtOnce)
		if err != nil {
			return fmt.Errorf("read what is to be sealed: %w", err)
		}
		if len(u.Ops)+len(u.Runs) == 0 {
			return nil
		}
		c, err := history(ctx, e.o.Store, e.o.Vault, true)
		if err != nil {
			return err
		}
		if err := e.append(ctx, l, c, run, u); err != nil {
			return err
		}
	}
	return nil
}

// append seals one batch. That its head could not be noted outside is only said:
// a head that lags is well.
func (e *Engine) append(ctx context.Context, l state.Lease, c chain, run string, u state.Unsealed) error {
	now, err := e.o.Store.Now(ctx)
	if err != nil {
		return fmt.Errorf("read the store's clock: %w", err)
	}
	events := u.Events()
	b, rows, err := c.key.Seal(c.last, run, events, salts(len(events)), now)
	if err != nil {
		return err
	}
	if err := e.o.Store.AppendAudit(ctx, l, b, rows, u); err != nil {
		return fmt.Errorf("write batch %d of the history: %w", b.ID, err)
	}
	if err := e.o.Vault.SetHead(audit.HeadOf(b)); err != nil {
		e.log.WarnContext(ctx, "the head of the history could not be noted outside of the store", "batch", b.ID, "error", err)
	}
	return nil
}

func salts(n int) []audit.Hex {
	all := make([]byte, n*audit.SaltBytes)
	_, _ = rand.Read(all) // never fails, by its contract
	out := make([]audit.Hex, n)
	for i := range out {
		out[i] = all[i*audit.SaltBytes : (i+1)*audit.SaltBytes]
	}
	return out
}

// sealed seals what a run with a lease leaves, its own record included, and gives
// the head for its last line in the log.
func (e *Engine) sealed(ctx context.Context, run *state.Run, ended error) (audit.Head, error) {
	var refused *HistoryError
	if e.o.Vault == nil || run.Token == 0 || run.Kind == KindPush || errors.As(ended, &refused) {
		return audit.Head{}, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sealWithin)
	defer cancel()
	sealErr := e.seal(ctx, state.Lease{Name: leaseName, Token: run.Token}, run.ID)
	last, err := e.o.Store.AuditBatches(ctx, state.BatchFilter{Limit: 1})
	if err := errors.Join(sealErr, err); err != nil || len(last) == 0 {
		return audit.Head{}, err
	}
	return audit.HeadOf(last[0]), nil
}

// AcceptRestore lets a store be used that was put back, or whose history was sealed
// with a key that is lost: what the history ends with there is where it goes on. It
// is recorded as a run, and everybody is decided anew.
func (e *Engine) AcceptRestore(ctx context.Context, o RunOptions) (audit.Head, error) {
	if e.o.Vault == nil {
		return audit.Head{}, errNoVault
	}
	l, err := e.takeLease(ctx)
	if err != nil {
		return audit.Head{}, err
	}
	defer l.release()
	c, err := history(l.ctx, e.o.Store, e.o.Vault, false)
	var refused *HistoryError
	switch {
	case err == nil:
		return audit.Head{}, fmt.Errorf("%w: the store is the one that was sealed last, there is nothing to accept", ErrRefused)
	case !errors.As(err, &refused):
		return audit.Head{}, err
	}
	if c.key, err = e.o.Vault.Key(true); err != nil {
		return audit.Head{}, &HistoryError{Text: err.Error()}
	}
	if c.last != nil && !c.key.Made(*c.last) {
		last := *c.last
		last.Seal = nil // a seal of another key is vouched for by nothing of ours
		c.last = &last
	}
	run, err := e.newRun(l.ctx, "accept-restore", o, l.current().Token)
	if err != nil {
		return audit.Head{}, err
	}
	if err := e.o.Store.Unsettle(l.ctx, l.current()); err != nil {
		return audit.Head{}, fmt.Errorf("have everybody decided anew: %w", err)
	}
	if err := e.takeBack(l, run); err != nil {
		return audit.Head{}, err
	}
	run.Status, run.FinishedAt, run.Message = state.RunDone, run.StartedAt, "accepted: "+refused.Text
	if err := e.o.Store.SaveRun(l.ctx, run); err != nil {
		return audit.Head{}, fmt.Errorf("record what was accepted: %w", err)
	}
	if err := e.o.Vault.SetHead(audit.Head{}); err != nil {
		return audit.Head{}, err
	}
	for _, name := range []string{rebuiltMark, state.MarkRestored} {
		if err := e.o.Store.SetMark(l.ctx, l.current(), state.Mark{Name: name}); err != nil {
			return audit.Head{}, fmt.Errorf("note that what was put back is accepted: %w", err)
		}
	}
	u, err := e.o.Store.Unsealed(l.ctx, sealAtOnce)
	if err != nil {
		return audit.Head{}, fmt.Errorf("read what is to be sealed: %w", err)
	}
	if err := e.append(l.ctx, l.current(), c, run.ID, u); err != nil {
		return audit.Head{}, err
	}
	last, err := e.o.Store.AuditBatches(l.ctx, state.BatchFilter{Limit: 1})
	if err != nil || len(last) == 0 {
		return audit.Head{}, fmt.Errorf("read the end of the history: %w", err)
	}
	head := audit.HeadOf(last[0])
	e.log.InfoContext(ctx, "restore accepted", "run", run.ID, "audit_batch", head.Batch, "audit_seal", head.Seal.String())
	return head, nil
}

// doubt adds to what a plan has to say that the store was put back.
func (e *Engine) doubt(ctx context.Context, rep *Report) error {
	if e.o.Vault == nil {
		return nil
	}
	err := History(ctx, e.o.Store, e.o.Vault, false)
	if refused, ok := errors.AsType[*HistoryError](err); ok {
		rep.Problems = append(rep.Problems, "nothing can be carried out: "+refused.Text)
		return nil
	}
	return err
}
