package statetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

func due(t testing.TB, s state.Store) []state.Due {
	t.Helper()
	got, err := s.Due(t.Context(), 0)
	require.NoError(t, err)
	return got
}

func dueOf(t testing.TB, s state.Store, keys ...identity.Key) []state.Due {
	t.Helper()
	got, err := s.DueOf(t.Context(), keys)
	require.NoError(t, err)
	return got
}

func markDue(t testing.TB, s state.Store, marks ...state.DueMark) {
	t.Helper()
	require.NoError(t, s.MarkDue(t.Context(), marks))
}

func wants(n int) state.DueMark { return state.DueMark{Key: key(n)} }

func leaves(n int) state.DueMark { return state.DueMark{Key: key(n), Leaver: true} }

func dues(t *testing.T, open Factory) {
	t.Helper()
	open.test(t, "MarkDue/a mark has a revision and the store's time", func(t *testing.T, s state.Store) {
		before, err := s.Now(t.Context())
		require.NoError(t, err)
		markDue(t, s, wants(2), leaves(1), wants(1))
		got := dueOf(t, s, key(1), key(2), key(3))
		require.Len(t, got, 2)
		require.Equal(t, []state.DueMark{leaves(1), wants(2)}, []state.DueMark{got[0].DueMark, got[1].DueMark})
		for _, d := range got {
			require.Positive(t, d.Revision)
			require.False(t, d.Since.Before(before), "%s", d.Since)
			require.Equal(t, state.Due{DueMark: d.DueMark, Revision: d.Revision, Since: d.Since}, d)
		}
		require.NoError(t, s.MarkDue(t.Context(), nil))
		require.Empty(t, dueOf(t, s))
	})
	open.test(t, "MarkDue/again raises the revision and keeps the first time", func(t *testing.T, s state.Store) {
		markDue(t, s, leaves(1), wants(2))
		first := dueOf(t, s, key(1), key(2))
		markDue(t, s, wants(1), leaves(2))
		second := dueOf(t, s, key(1), key(2))
		for i := range second {
			require.Greater(t, second[i].Revision, max(first[0].Revision, first[1].Revision))
			require.Equal(t, first[i].Since, second[i].Since)
			require.True(t, second[i].Leaver, "whoever is to leave stays so until it is done")
		}
	})
	open.test(t, "MarkDue/a revision never comes twice", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		var last int64
		for range 5 {
			markDue(t, s, wants(1))
			got := dueOf(t, s, key(1))
			require.Greater(t, got[0].Revision, last)
			last = got[0].Revision
			require.NoError(t, s.Done(t.Context(), l, got))
			require.Empty(t, due(t, s))
		}
	})
	open.test(t, "MarkDue/with a write of a resource", marksWithWrite)
	open.test(t, "Due/leavers first, then whoever waits longest", dueOrder)
	open.test(t, "Done/a mark that came later stays", doneKeepsLater)
	open.test(t, "PutOff/until then, unless marked again", putsOff)
	open.test(t, "WakeDue/for one reason, and nobody who is held", wakes)
	open.test(t, "PutOff/held until marked again, and counted from then on", heldUntilMarked)
	open.test(t, "Done/only with the lease", dueFenced)
}

func marksWithWrite(t *testing.T, s state.Store) {
	k := func(id string) identity.Key { return identity.Key{Source: pushed, Anchor: id} }
	w := userWrite(1)
	w.Due = []state.DueMark{{Key: k(w.ID)}, {Key: k("b")}, {Key: k(w.ID), Leaver: true}}
	r := write(t, s, w)
	first := due(t, s)
	require.Len(t, first, 2)
	require.Equal(t, state.DueMark{Key: k(w.ID), Leaver: true}, first[0].DueMark)
	require.Equal(t, r.Modified, first[0].Since)
	w.Due = w.Due[:1]
	write(t, s, next(r, w))
	second := due(t, s)
	require.Greater(t, second[0].Revision, first[0].Revision)
	require.Equal(t, first[0].Since, second[0].Since)
	require.Equal(t, first[1], second[1])
	_, err := s.WriteResource(t.Context(), next(r, w))
	require.ErrorIs(t, err, state.ErrConflict)
	require.Equal(t, second, due(t, s), "what is not written marks nobody")
}

func dueOrder(t *testing.T, s state.Store) {
	n, oldest, err := s.CountDue(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	require.Zero(t, oldest)
	for _, m := range []state.DueMark{wants(5), leaves(4), wants(3), leaves(2), wants(1)} {
		markDue(t, s, m)
	}
	markDue(t, s, wants(5), wants(3))
	var order []state.DueMark
	for _, d := range due(t, s) {
		order = append(order, d.DueMark)
	}
	require.Equal(t, []state.DueMark{leaves(4), leaves(2), wants(5), wants(3), wants(1)}, order)
	some, err := s.Due(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, due(t, s)[:2], some)
	n, oldest, err = s.CountDue(t.Context())
	require.NoError(t, err)
	require.Equal(t, 5, n)
	require.Equal(t, due(t, s)[2].Since, oldest)
}

func doneKeepsLater(t *testing.T, s state.Store) {
	l := acquire(t, s)
	markDue(t, s, wants(1), wants(2), wants(3))
	old := dueOf(t, s, key(1), key(2))
	markDue(t, s, wants(2))
	later := dueOf(t, s, key(2))
	require.NoError(t, s.Done(t.Context(), l, []state.Due{old[1], old[0]}))
	require.Equal(t, later, dueOf(t, s, key(1), key(2)))
	require.NoError(t, s.PutOff(t.Context(), l, old))
	require.Equal(t, later, dueOf(t, s, key(1), key(2)), "nor is it put off")
	require.NoError(t, s.Done(t.Context(), l, later))
	require.NoError(t, s.Done(t.Context(), l, later), "twice is nothing")
	require.NoError(t, s.Done(t.Context(), l, nil))
	require.Equal(t, []identity.Key{key(3)}, []identity.Key{due(t, s)[0].Key})
	require.ErrorIs(t, s.Done(t.Context(), l, []state.Due{later[0], later[0]}), state.ErrInvalid)
}

func putsOff(t *testing.T, s state.Store) {
	l := acquire(t, s)
	now, err := s.Now(t.Context())
	require.NoError(t, err)
	markDue(t, s, wants(1), wants(2), leaves(3))
	got := dueOf(t, s, key(1), key(2), key(3))
	got[0].After, got[0].Note = now.Add(time.Hour), "the server answers 503 <&>"
	got[1].After, got[1].Note = now.Add(-time.Hour), "once"
	require.NoError(t, s.PutOff(t.Context(), l, got[:2]))
	got[0].Attempts, got[1].Attempts = 1, 1
	require.Equal(t, got, dueOf(t, s, key(1), key(2), key(3)))
	require.Equal(t, []state.Due{got[2], got[1]}, due(t, s), "whose time has passed is due")
	n, oldest, err := s.CountDue(t.Context())
	require.NoError(t, err)
	require.Equal(t, 3, n, "put off or not")
	require.Equal(t, got[0].Since, oldest)

	require.NoError(t, s.PutOff(t.Context(), l, got[:1]))
	require.Equal(t, 2, dueOf(t, s, key(1))[0].Attempts)
	markDue(t, s, wants(1))
	again := dueOf(t, s, key(1))[0]
	require.Equal(t, state.Due{DueMark: wants(1), Revision: again.Revision, Since: got[0].Since}, again)
	require.Len(t, due(t, s), 3)
	got[2].Note = "nul\x00"
	require.ErrorIs(t, s.PutOff(t.Context(), l, got[2:]), state.ErrInvalid)
}

func dueFenced(t *testing.T, s state.Store) {
	lost, current := succeed(t, s)
	markDue(t, s, wants(1))
	got := due(t, s)
	require.ErrorIs(t, s.Done(t.Context(), lost, got), state.ErrFenced)
	require.ErrorIs(t, s.PutOff(t.Context(), lost, got), state.ErrFenced)
	require.ErrorIs(t, s.Done(t.Context(), state.Lease{}, got), state.ErrFenced)
	require.Equal(t, got, due(t, s))
	require.NoError(t, s.Done(t.Context(), current, got))
	require.Empty(t, due(t, s))
}

func heldUntilMarked(t *testing.T, s state.Store) {
	l := acquire(t, s)
	markDue(t, s, wants(1), wants(2))
	was := dueOf(t, s, key(1), key(2))
	was[0].Held, was[0].Reason, was[0].Note = true, "guard_tripped", "too many at once"
	was[1].After, was[1].Reason = was[1].Since.Add(time.Hour), state.DueApplied
	require.NoError(t, s.PutOff(t.Context(), l, was))
	require.Empty(t, due(t, s))
	n, _, err := s.CountDue(t.Context())
	require.NoError(t, err)
	require.Zero(t, n, "nothing is to be done about either by itself")
	got := dueOf(t, s, key(1))
	require.True(t, got[0].Held)
	require.Equal(t, []string{"guard_tripped", "too many at once"}, []string{got[0].Reason, got[0].Note})
	markDue(t, s, wants(1), wants(2))
	again := dueOf(t, s, key(1), key(2))
	require.Equal(t, state.Due{DueMark: wants(1), Revision: again[0].Revision, Since: again[0].Since}, again[0])
	require.True(t, again[0].Since.After(was[0].Since), "what was held waits anew")
	require.Equal(t, was[1].Since, again[1].Since)
}

func wakes(t *testing.T, s state.Store) {
	l := acquire(t, s)
	markDue(t, s, wants(1), wants(2), wants(3))
	off := dueOf(t, s, key(1), key(2), key(3))
	for i := range off {
		off[i].After, off[i].Reason = off[i].Since.Add(time.Hour), "on_hold"
	}
	off[1].Reason = "in_grace"
	off[2].After, off[2].Held = time.Time{}, true
	require.NoError(t, s.PutOff(t.Context(), l, off))
	require.NoError(t, s.WakeDue(t.Context(), "on_hold"))
	got := due(t, s)
	require.Len(t, got, 1)
	require.Equal(t, key(1), got[0].Key)
}
