package statetest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

const workers = 8

func concurrency(t *testing.T, open Factory) {
	t.Helper()
	open.test(t, "RecordOp/eight workers close every op once", manyWorkers)
	open.test(t, "RecordOp/of eight that close one op, one does", func(t *testing.T, s state.Store) {
		l := begin(t, s, "01a")
		var won, conflicts atomic.Int32
		race(t, func() error {
			err := s.RecordOp(t.Context(), l, withLink(ref("01a", 1, 0), link(2)))
			return tally(err, state.ErrConflict, &won, &conflicts)
		})
		require.Equal(t, int32(1), won.Load())
		require.Equal(t, int32(workers-1), conflicts.Load())
	})
	open.test(t, "PutLinks/of eight keys that want one account, one gets it", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		var won, conflicts, n atomic.Int32
		race(t, func() error {
			mine := link(int(n.Add(1)))
			mine.AccountID = "wanted"
			return tally(s.PutLinks(t.Context(), l, []identity.Link{mine}), state.ErrConflict, &won, &conflicts)
		})
		require.Equal(t, int32(1), won.Load())
		require.Len(t, allLinks(t, s), 1)
	})
	open.test(t, "AcquireLease/of eight holders, one gets it", func(t *testing.T, s state.Store) {
		var won, held, n atomic.Int32
		race(t, func() error {
			_, err := s.AcquireLease(t.Context(), leaseName, fmt.Sprint("holder", n.Add(1)), longTTL)
			return tally(err, state.ErrHeld, &won, &held)
		})
		require.Equal(t, int32(1), won.Load())
	})
	open.test(t, "Bind/of eight servers, one is bound", func(t *testing.T, s state.Store) {
		var won, refused, n atomic.Int32
		race(t, func() error {
			_, err := s.Bind(t.Context(), state.Binding{Name: "mattermost", ID: fmt.Sprint("server", n.Add(1)), At: at(1)})
			return tally(err, state.ErrConflict, &won, &refused)
		})
		require.Equal(t, int32(1), won.Load())
	})
	open.test(t, "Context/a cancelled one writes nothing and reads nothing", cancelled)
}

// race runs f eight times at once.
func race(t *testing.T, f func() error) {
	t.Helper()
	var g errgroup.Group
	for range workers {
		g.Go(f)
	}
	require.NoError(t, g.Wait())
}

// tally counts an outcome that was to be expected and gives any other back.
func tally(err, expected error, won, lost *atomic.Int32) error {
	switch {
	case err == nil:
		won.Add(1)
	case errors.Is(err, expected):
		lost.Add(1)
	default:
		return err
	}
	return nil
}

func manyWorkers(t *testing.T, s state.Store) {
	const decisions = 80
	l := acquire(t, s)
	var p plan.Plan
	for n := range decisions {
		p.Decisions = append(p.Decisions, deactivation(n))
	}
	require.NoError(t, s.BeginRun(t.Context(), l, run("01a", l), p, state.SightingChanges{}))
	var g errgroup.Group
	for w := range workers {
		g.Go(func() error {
			for n := w; n < decisions; n += workers {
				if err := s.MarkSent(t.Context(), l, ref("01a", n, 0), at(20)); err != nil {
					return err
				}
				if err := s.RecordOp(t.Context(), l, withLink(ref("01a", n, 0), link(n))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	g.Go(func() error { // the holder renews beside its workers
		for range 10 {
			if _, err := s.RenewLease(t.Context(), l, longTTL); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, g.Wait())
	require.Equal(t, linksOf(0, decisions), allLinks(t, s))
	require.Equal(t, headsOf(linksOf(0, decisions)...), allHeads(t, s))
	require.Len(t, listOps(t, s, state.OpFilter{Statuses: []state.OpStatus{state.OpDone}}), decisions)
}

func cancelled(t *testing.T, s state.Store) {
	l := begin(t, s, "run1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	errs := map[string]error{
		"SaveRun": s.SaveRun(ctx, run("run2", l)),
		"BeginRun": s.BeginRun(ctx, l, run("run2", l), thePlan(),
			state.SightingChanges{Missed: []state.Sighting{{Key: key(1)}}}),
		"PutLinks":     s.PutLinks(ctx, l, []identity.Link{link(1)}),
		"Settle":       s.Settle(ctx, l, []state.SettledMark{mark(1, 7)}),
		"Unsettle":     s.Unsettle(ctx, l),
		"Heads":        s.Heads(ctx, func(state.LinkHead) error { return nil }),
		"MarkSent":     s.MarkSent(ctx, l, ref("run1", 0, 0), at(1)),
		"RecordOp":     s.RecordOp(ctx, l, withLink(ref("run1", 0, 0), link(1))),
		"RecordRead":   s.RecordRead(ctx, state.Read{Source: "corp", At: at(1)}),
		"SetMark":      s.SetMark(ctx, l, state.Mark{Name: "m", Value: 1}),
		"SetReadMark":  s.SetReadMark(ctx, l, "", readMark("corp", "1")),
		"ReplaceIndex": s.ReplaceIndex(ctx, l, []state.IndexedAccount{{ID: "a"}}),
		"Protect":      s.Protect(ctx, l, []state.ProtectedAccount{{ID: "a"}}),
		"ReleaseLease": s.ReleaseLease(ctx, l),
	}
	errs["ForgetPerson"] = s.ForgetPerson(ctx, l, state.Forgetting{Keys: []identity.Key{key(1)}})
	errs["PruneAudit"] = s.PruneAudit(ctx, l, nil)
	_, errs["Unsealed"] = s.Unsealed(ctx, 10)
	_, errs["AuditRows"] = s.AuditRows(ctx, state.RowFilter{})
	_, errs["AuditBatches"] = s.AuditBatches(ctx, state.BatchFilter{})
	_, errs["Links"] = s.Links(ctx, state.LinkFilter{})
	_, errs["Now"] = s.Now(ctx)
	_, errs["ReadMark"] = s.ReadMark(ctx, "corp")
	_, errs["AcquireLease"] = s.AcquireLease(ctx, "another", "me", longTTL)
	_, errs["RenewLease"] = s.RenewLease(ctx, l, longTTL)
	_, errs["Bind"] = s.Bind(ctx, state.Binding{Name: "x", ID: "y"})
	_, errs["InterruptRuns"] = s.InterruptRuns(ctx, l)
	cancelledPushes(ctx, s, l, errs)
	for name, err := range errs {
		require.ErrorIs(t, err, context.Canceled, name)
	}
	requireEmptyBut(t, s, "run1")
	require.Empty(t, resources(t, s, state.ResourceFilter{Deleted: true}))
	require.Empty(t, due(t, s))
	require.Empty(t, tokensOf(t, s, ""))
	require.NoError(t, s.SetMark(t.Context(), l, state.Mark{Name: "m"}), "the lease is still there")
	bound, err := s.Bind(t.Context(), state.Binding{Name: "x", ID: "z"})
	require.NoError(t, err)
	require.Equal(t, "z", bound.ID)
}

func pairs(t *testing.T, open Pair) {
	t.Helper()
	test := func(name string, f func(t *testing.T, a, b state.Store)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := open(t)
			f(t, a, b)
		})
	}
	test("Pair/what one has written the other reads at once", func(t *testing.T, a, b state.Store) {
		put(t, a, link(1))
		require.Equal(t, []identity.Link{link(1)}, allLinks(t, b))
		begin(t, b, "01a")
		require.Len(t, listOps(t, a, state.OpFilter{}), 5)
	})
	test("Pair/the lease fences across processes", func(t *testing.T, a, b state.Store) {
		lost := begin(t, a, "01a")
		_, err := b.AcquireLease(t.Context(), leaseName, "other", longTTL)
		require.ErrorIs(t, err, state.ErrHeld)
		require.NoError(t, a.ReleaseLease(t.Context(), lost))
		next, err := b.AcquireLease(t.Context(), leaseName, "other", longTTL)
		require.NoError(t, err)
		require.ErrorIs(t, a.MarkSent(t.Context(), lost, ref("01a", 0, 0), at(1)), state.ErrFenced)
		require.NoError(t, b.MarkSent(t.Context(), next, ref("01a", 0, 0), at(1)))
	})
	test("Pair/no write of a lost lease lands after its successor's first", successions)
	test("Pair/both write at once and lose nothing", func(t *testing.T, a, b state.Store) {
		l := acquire(t, a)
		var g errgroup.Group
		for i, s := range []state.Store{a, b} {
			g.Go(func() error {
				for n := range 30 {
					if err := s.PutLinks(t.Context(), l, []identity.Link{link(1000*i + n)}); err != nil {
						return err
					}
				}
				return nil
			})
		}
		require.NoError(t, g.Wait())
		require.Equal(t, append(linksOf(0, 30), linksOf(1000, 1030)...), allLinks(t, b))
		require.Equal(t, headsOf(allLinks(t, b)...), allHeads(t, b))
	})
	test("Pair/what one settles is settled for the other, until it writes", func(t *testing.T, a, b state.Store) {
		put(t, a, link(1), link(2))
		settle(t, b, mark(1, 7), mark(2, 7))
		require.Equal(t, []state.Digest{digest(7), digest(7)}, settled(t, a))
		put(t, a, link(2))
		require.Equal(t, []state.Digest{digest(7), {}}, settled(t, b))
		require.NoError(t, a.Unsettle(t.Context(), acquire(t, a)))
		require.Equal(t, []state.Digest{{}, {}}, settled(t, b))
	})
	pushPairs(test)
	test("Pair/heads are of one moment, and keep nobody from writing", func(t *testing.T, a, b state.Store) {
		put(t, a, linksOf(0, 3000)...)
		l := acquire(t, a)
		n := 0
		require.NoError(t, a.Heads(t.Context(), func(h state.LinkHead) error {
			if n++; n == 1 {
				if err := b.Settle(t.Context(), l, marksOf(3000)); err != nil {
					return err
				}
				return b.PutLinks(t.Context(), l, []identity.Link{link(5000)})
			}
			if h.Settled != (state.Digest{}) {
				return fmt.Errorf("%s is settled already", h.Key)
			}
			return nil
		}))
		require.Equal(t, 3000, n)
		require.Len(t, allHeads(t, a), 3001)
	})
}

// successions hands the lease from one store to the other again and again while
// every former holder goes on writing its own token as a mark. Seen from outside,
// the mark may never fall.
func successions(t *testing.T, a, b state.Store) {
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	began := time.Now()
	current := make(chan state.Lease, 1)
	g, ctx := errgroup.WithContext(ctx)
	for i, s := range []state.Store{a, b} {
		g.Go(func() error { // takes the lease over, always as somebody else
			for n := 0; ctx.Err() == nil; n++ {
				l, err := s.AcquireLease(t.Context(), leaseName, fmt.Sprint(i, "-", n), 5*time.Millisecond)
				if errors.Is(err, state.ErrHeld) {
					continue
				}
				if err != nil {
					return err
				}
				select {
				case <-current:
				default:
				}
				select {
				case current <- l:
				default:
				}
			}
			return nil
		})
		g.Go(func() error {
			var mine state.Lease
			for ctx.Err() == nil {
				select {
				case mine = <-current:
				default:
				}
				err := s.SetMark(t.Context(), mine, state.Mark{Name: "token", Value: mine.Token})
				if err != nil && !errors.Is(err, state.ErrFenced) {
					return err
				}
			}
			return nil
		})
	}
	var last int64
	g.Go(func() error {
		for ctx.Err() == nil {
			m, err := b.Mark(t.Context(), "token")
			if err != nil {
				return err
			}
			if m.Value < last {
				return fmt.Errorf("token %d was written after %d", m.Value, last)
			}
			last = m.Value
			if last > 0 && time.Since(began) > 700*time.Millisecond {
				stop()
			}
		}
		return nil
	})
	require.NoError(t, g.Wait())
	require.Positive(t, last)
}
