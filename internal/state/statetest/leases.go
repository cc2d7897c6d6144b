package statetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

const shortTTL = 50 * time.Millisecond

func leases(t *testing.T, open Factory) {
	t.Helper()
	open.test(t, "Now/is UTC with microseconds", func(t *testing.T, s state.Store) {
		now, err := s.Now(t.Context())
		require.NoError(t, err)
		require.Equal(t, time.UTC, now.Location())
		require.Equal(t, now, now.Truncate(time.Microsecond))
		require.WithinDuration(t, time.Now(), now, time.Minute)
	})
	open.test(t, "AcquireLease/expires by the store's clock", func(t *testing.T, s state.Store) {
		before, err := s.Now(t.Context())
		require.NoError(t, err)
		l := acquire(t, s)
		after, err := s.Now(t.Context())
		require.NoError(t, err)
		require.Positive(t, l.Token)
		require.Equal(t, "host:1:abc", l.Holder)
		require.Equal(t, leaseName, l.Name)
		require.False(t, l.Expires.Before(before.Add(longTTL)) || l.Expires.After(after.Add(longTTL)), "%s", l.Expires)
		require.Equal(t, time.UTC, l.Expires.Location())
	})
	open.test(t, "AcquireLease/is refused while another holds it, and names the holder", func(t *testing.T, s state.Store) {
		acquire(t, s)
		_, err := s.AcquireLease(t.Context(), leaseName, "other", longTTL)
		require.ErrorIs(t, err, state.ErrHeld)
		require.ErrorContains(t, err, "host:1:abc")
	})
	open.test(t, "AcquireLease/the same holder gets it again with a new token", func(t *testing.T, s state.Store) {
		first := acquire(t, s)
		second := acquire(t, s)
		require.Greater(t, second.Token, first.Token)
		require.ErrorIs(t, s.SetMark(t.Context(), first, state.Mark{Name: "m"}), state.ErrFenced)
		require.NoError(t, s.SetMark(t.Context(), second, state.Mark{Name: "m"}))
	})
	open.test(t, "HeldLease/names the holder, and nobody before, after a release and after its time", func(t *testing.T, s state.Store) {
		_, ok, err := s.HeldLease(t.Context(), leaseName)
		require.NoError(t, err)
		require.False(t, ok)
		l := acquire(t, s)
		held, ok, err := s.HeldLease(t.Context(), leaseName)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, l, held)
		_, ok, err = s.HeldLease(t.Context(), "another")
		require.NoError(t, err)
		require.False(t, ok)
		require.NoError(t, s.ReleaseLease(t.Context(), l))
		_, ok, err = s.HeldLease(t.Context(), leaseName)
		require.NoError(t, err)
		require.False(t, ok)
		_, err = s.AcquireLease(t.Context(), leaseName, "short", shortTTL)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			_, ok, err := s.HeldLease(t.Context(), leaseName)
			return err == nil && !ok
		}, time.Minute, shortTTL)
	})
	open.test(t, "AcquireLease/another holder takes an expired one over", takeover)
	open.test(t, "AcquireLease/names are apart, tokens are not", func(t *testing.T, s state.Store) {
		a := acquire(t, s)
		b, err := s.AcquireLease(t.Context(), "other name", "somebody", longTTL)
		require.NoError(t, err)
		require.Greater(t, b.Token, a.Token)
		a.Token = b.Token
		require.ErrorIs(t, s.SetMark(t.Context(), a, state.Mark{Name: "m"}), state.ErrFenced, "a token of another name")
	})
	open.test(t, "AcquireLease/refuses a lease without name, holder or time", func(t *testing.T, s state.Store) {
		for _, l := range []struct {
			name, holder string
			ttl          time.Duration
		}{{"", "h", longTTL}, {"n", "", longTTL}, {"n", "h", 0}, {"n", "h", -longTTL}} {
			_, err := s.AcquireLease(t.Context(), l.name, l.holder, l.ttl)
			require.ErrorIs(t, err, state.ErrInvalid)
		}
	})
	open.test(t, "RenewLease/extends from now and keeps the token", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		longer, err := s.RenewLease(t.Context(), l, 2*longTTL)
		require.NoError(t, err)
		require.Equal(t, l.Token, longer.Token)
		require.Greater(t, longer.Expires.Sub(l.Expires), longTTL/2)
	})
	open.test(t, "RenewLease/a paused holder keeps a lease that nobody took", func(t *testing.T, s state.Store) {
		l, err := s.AcquireLease(t.Context(), leaseName, "paused", time.Millisecond)
		require.NoError(t, err)
		waitUntilAfter(t, s, l.Expires)
		require.NoError(t, s.SetMark(t.Context(), l, state.Mark{Name: "m"}))
		_, err = s.RenewLease(t.Context(), l, longTTL)
		require.NoError(t, err)
	})
	open.test(t, "ReleaseLease/frees it at once and fences the former holder", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		require.NoError(t, s.ReleaseLease(t.Context(), l))
		require.ErrorIs(t, s.SetMark(t.Context(), l, state.Mark{Name: "m"}), state.ErrFenced)
		_, err := s.RenewLease(t.Context(), l, longTTL)
		require.ErrorIs(t, err, state.ErrFenced)
		next, err := s.AcquireLease(t.Context(), leaseName, "other", longTTL)
		require.NoError(t, err)
		require.Greater(t, next.Token, l.Token)
		require.NoError(t, s.ReleaseLease(t.Context(), l), "releasing a lost one is no error")
		require.NoError(t, s.SetMark(t.Context(), next, state.Mark{Name: "m"}), "and does not touch the successor's")
	})
	open.test(t, "Lease/a lost one is refused by every method, and nothing is written", fenced)
}

// waitUntilAfter asks the store's clock until it is past t.
func waitUntilAfter(t *testing.T, s state.Store, when time.Time) {
	t.Helper()
	require.Eventually(t, func() bool {
		now, err := s.Now(t.Context())
		return err == nil && now.After(when)
	}, time.Minute, 5*time.Millisecond)
}

func takeover(t *testing.T, s state.Store) {
	lost, err := s.AcquireLease(t.Context(), leaseName, "first", shortTTL)
	require.NoError(t, err)
	waitUntilAfter(t, s, lost.Expires)
	next, err := s.AcquireLease(t.Context(), leaseName, "second", longTTL)
	require.NoError(t, err)
	require.Greater(t, next.Token, lost.Token)
	_, err = s.RenewLease(t.Context(), lost, longTTL)
	require.ErrorIs(t, err, state.ErrFenced)
	require.ErrorIs(t, s.SetMark(t.Context(), lost, state.Mark{Name: "m"}), state.ErrFenced)
	_, err = s.AcquireLease(t.Context(), leaseName, "first", longTTL)
	require.ErrorIs(t, err, state.ErrHeld)
}

func fenced(t *testing.T, s state.Store) {
	begin(t, s, "run1")
	lost, current := succeed(t, s)
	ctx := t.Context()
	stale := run("run2", lost)
	l := link(1)
	done := outcome(ref("run1", 0, 0), state.OpDone)
	done.Link = &l
	writes := map[string]func(state.Lease) error{
		"PutLinks": func(l state.Lease) error { return s.PutLinks(ctx, l, []identity.Link{link(1)}) },
		"BeginRun": func(l state.Lease) error {
			r := run("run2", l)
			return s.BeginRun(ctx, l, r, plan.Plan{Decisions: []plan.Decision{deactivation(5)}},
				state.SightingChanges{Missed: []state.Sighting{{Key: key(9)}}})
		},
		"Settle":        func(l state.Lease) error { return s.Settle(ctx, l, []state.SettledMark{mark(1, 7)}) },
		"Unsettle":      func(l state.Lease) error { return s.Unsettle(ctx, l) },
		"MarkSent":      func(l state.Lease) error { return s.MarkSent(ctx, l, ref("run1", 0, 0), at(1)) },
		"RecordOp":      func(l state.Lease) error { return s.RecordOp(ctx, l, done) },
		"InterruptRuns": func(l state.Lease) error { _, err := s.InterruptRuns(ctx, l); return err },
		"SetMark":       func(l state.Lease) error { return s.SetMark(ctx, l, state.Mark{Name: "m", Value: 7}) },
		"SetReadMark":   func(l state.Lease) error { return s.SetReadMark(ctx, l, "", readMark("corp", "1")) },
		"ReplaceIndex":  func(l state.Lease) error { return s.ReplaceIndex(ctx, l, []state.IndexedAccount{{ID: "a"}}) },
		"Protect":       func(l state.Lease) error { return s.Protect(ctx, l, []state.ProtectedAccount{{ID: "a"}}) },
	}
	unknown := current
	unknown.Token += 1000
	for name, write := range writes {
		require.ErrorIs(t, write(lost), state.ErrFenced, name)
		require.ErrorIs(t, write(state.Lease{}), state.ErrFenced, "%s with no lease", name)
		require.ErrorIs(t, write(unknown), state.ErrFenced, "%s with a token never given", name)
	}
	require.ErrorIs(t, s.SaveRun(ctx, stale), state.ErrFenced)

	requireEmptyBut(t, s, "run1")
	for _, name := range []string{"PutLinks", "BeginRun", "MarkSent", "RecordOp", "InterruptRuns", "SetMark", "SetReadMark", "ReplaceIndex", "Protect", "Settle", "Unsettle"} {
		require.NoError(t, writes[name](current), name)
	}
}

// requireEmptyBut checks that nothing is stored but a fresh run of thePlan.
func requireEmptyBut(t *testing.T, s state.Store, id string) {
	t.Helper()
	ctx := t.Context()
	links, err := s.Links(ctx, state.LinkFilter{})
	require.NoError(t, err)
	require.Empty(t, links)
	runs, err := s.Runs(ctx, state.RunFilter{})
	require.NoError(t, err)
	require.Len(t, runs, 1)
	require.Equal(t, id, runs[0].ID)
	require.Equal(t, state.RunApplying, runs[0].Status)
	ops, err := s.Ops(ctx, state.OpFilter{})
	require.NoError(t, err)
	for _, o := range ops {
		require.Equal(t, id, o.Ref.Run)
		require.Equal(t, state.OpPending, o.Status)
	}
	sightings, err := s.Sightings(ctx, "corp")
	require.NoError(t, err)
	require.Empty(t, sightings)
	mark, err := s.Mark(ctx, "m")
	require.NoError(t, err)
	require.Zero(t, mark)
	index, err := s.Index(ctx, state.IndexFilter{})
	require.NoError(t, err)
	require.Empty(t, index)
	protected, err := s.Protected(ctx)
	require.NoError(t, err)
	require.Empty(t, protected)
}
