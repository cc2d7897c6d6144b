package statetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

func outcomes(t *testing.T, open Factory) {
	t.Helper()
	open.test(t, "MarkSent/notes time and token, under one lease only", func(t *testing.T, s state.Store) {
		begin(t, s, "01a")
		l := acquire(t, s)
		require.NoError(t, s.MarkSent(t.Context(), l, ref("01a", 0, 0), at(20)))
		require.NoError(t, s.MarkSent(t.Context(), l, ref("01a", 0, 0), at(21)), "it had not left")
		next := acquire(t, s)
		require.ErrorIs(t, s.MarkSent(t.Context(), next, ref("01a", 0, 0), at(22)), state.ErrConflict)
		o := listOps(t, s, state.OpFilter{Run: "01a"})[0]
		require.Equal(t, state.OpSent, o.Status)
		require.Equal(t, at(21), o.SentAt)
		require.Equal(t, l.Token, o.Token)
		require.Equal(t, state.OpPending, listOps(t, s, state.OpFilter{Run: "01a"})[1].Status)
	})
	open.test(t, "MarkSent/notes when by the store's clock as well, whatever the server's says", func(t *testing.T, s state.Store) {
		l := begin(t, s, "01a")
		marked := func() time.Time {
			list := listOps(t, s, state.OpFilter{Run: "01a"})
			require.Zero(t, list[1].MarkedAt, "one that is pending was not marked")
			return list[0].MarkedAt
		}
		require.Zero(t, marked())
		var last time.Time
		for n := range 2 {
			before, err := s.Now(t.Context())
			require.NoError(t, err)
			require.NoError(t, s.MarkSent(t.Context(), l, ref("01a", 0, 0), at(20)))
			after, err := s.Now(t.Context())
			require.NoError(t, err)
			at := marked()
			require.WithinRange(t, at, before, after)
			require.True(t, at.After(last), "mark %d is a new one", n+1)
			last = at
			time.Sleep(time.Millisecond) // so that the next mark has another time
		}
		require.NoError(t, s.RecordOp(t.Context(), l, outcome(ref("01a", 0, 0), state.OpDone)))
		require.Equal(t, last, marked(), "what came of it does not change when it was sent")
	})
	open.test(t, "MarkSent/an op that is not there, or no time", func(t *testing.T, s state.Store) {
		l := begin(t, s, "01a")
		require.ErrorIs(t, s.MarkSent(t.Context(), l, ref("01a", 2, 0), at(1)), state.ErrNotFound)
		require.ErrorIs(t, s.MarkSent(t.Context(), l, ref("nope", 0, 0), at(1)), state.ErrNotFound)
		require.ErrorIs(t, s.MarkSent(t.Context(), l, ref("01a", 0, 0), time.Time{}), state.ErrInvalid)
		require.ErrorIs(t, s.RecordOp(t.Context(), l, outcome(ref("01a", 2, 0), state.OpDone)), state.ErrNotFound)
	})
	open.test(t, "RecordOp/every field comes back", func(t *testing.T, s state.Store) {
		l := begin(t, s, "01a")
		require.NoError(t, s.MarkSent(t.Context(), l, ref("01a", 1, 0), at(20)))
		o := outcome(ref("01a", 1, 0), state.OpDone)
		o.AccountID, o.Before, o.After, o.Error = accountID(2), account(1), account(2), `it said "no"`
		require.NoError(t, s.RecordOp(t.Context(), l, o))
		got := listOps(t, s, state.OpFilter{AccountID: accountID(2)})
		require.Len(t, got, 1)
		require.Equal(t, state.OpDone, got[0].Status)
		require.Equal(t, o.At, got[0].ClosedAt)
		require.Equal(t, at(20), got[0].SentAt)
		require.Equal(t, l.Token, got[0].Token)
		require.Equal(t, account(1), got[0].Before)
		require.Equal(t, account(2), got[0].After)
		require.Equal(t, o.Error, got[0].Error)
	})
	open.test(t, "RecordOp/closes once, from pending or sent", closings)
	open.test(t, "RecordOp/refuses what closes nothing", func(t *testing.T, s state.Store) {
		l := begin(t, s, "01a")
		for _, status := range []state.OpStatus{state.OpPending, state.OpSent, ""} {
			require.ErrorIs(t, s.RecordOp(t.Context(), l, outcome(ref("01a", 0, 0), status)), state.ErrInvalid)
		}
		timeless := outcome(ref("01a", 0, 0), state.OpDone)
		timeless.At = time.Time{}
		require.ErrorIs(t, s.RecordOp(t.Context(), l, timeless), state.ErrInvalid)
	})
	open.test(t, "RecordOp/an empty account keeps the planned one", func(t *testing.T, s state.Store) {
		l := begin(t, s, "01a")
		require.NoError(t, s.RecordOp(t.Context(), l, outcome(ref("01a", 0, 0), state.OpDone)))
		require.Equal(t, accountID(1), listOps(t, s, state.OpFilter{})[0].AccountID)
	})
	open.test(t, "RecordOp/puts the link with it", func(t *testing.T, s state.Store) {
		l := begin(t, s, "01a")
		o := withLink(ref("01a", 1, 0), link(2))
		require.NoError(t, s.RecordOp(t.Context(), l, o))
		require.Equal(t, []identity.Link{link(2)}, allLinks(t, s))
		requirePast(t, s, accountID(2), state.PastLink{Key: key(2), AccountID: accountID(2), Since: link(2).UpdatedAt})
		again := link(2)
		again.CreatedAt, again.UpdatedAt = at(700), at(701)
		require.NoError(t, s.RecordOp(t.Context(), l, withLink(ref("01a", 1, 1), again)))
		again.CreatedAt = link(2).CreatedAt
		require.Equal(t, []identity.Link{again}, allLinks(t, s), "CreatedAt stays")
	})
	open.test(t, "RecordOp/stays open if the link conflicts", func(t *testing.T, s state.Store) {
		put(t, s, link(5))
		l := begin(t, s, "01a")
		thief := link(2)
		thief.AccountID = accountID(5)
		o := withLink(ref("01a", 1, 0), thief)
		err := s.RecordOp(t.Context(), l, o)
		require.ErrorIs(t, err, state.ErrConflict)
		require.ErrorContains(t, err, "belongs to corp/anchor-000005")
		require.Equal(t, []identity.Link{link(5)}, allLinks(t, s))
		for _, o := range listOps(t, s, state.OpFilter{}) {
			require.Equal(t, state.OpPending, o.Status)
		}
	})
	open.test(t, "RecordOp/puts no link if the op is closed", func(t *testing.T, s state.Store) {
		l := begin(t, s, "01a")
		require.NoError(t, s.RecordOp(t.Context(), l, outcome(ref("01a", 1, 0), state.OpFailed)))
		require.ErrorIs(t, s.RecordOp(t.Context(), l, withLink(ref("01a", 1, 0), link(2))), state.ErrConflict)
		require.Empty(t, allLinks(t, s))
	})
	open.test(t, "RecordOp/unlinks the op's key and no other", func(t *testing.T, s state.Store) {
		put(t, s, link(1), link(2))
		l := begin(t, s, "01a")
		o := outcome(ref("01a", 0, 0), state.OpDone)
		o.Unlink = true
		require.NoError(t, s.RecordOp(t.Context(), l, o))
		require.Equal(t, []identity.Link{link(2)}, allLinks(t, s))
		requirePast(t, s, accountID(1), state.PastLink{Key: key(1), AccountID: accountID(1), Since: link(1).UpdatedAt})
		again := outcome(ref("01a", 0, 1), state.OpDone)
		again.Unlink = true
		require.NoError(t, s.RecordOp(t.Context(), l, again), "a link that is gone already is no error")
	})
	open.test(t, "RecordOp/unlinks before it links", func(t *testing.T, s state.Store) {
		put(t, s, link(1))
		l := begin(t, s, "01a")
		heir := link(9)
		heir.AccountID = accountID(1)
		o := withLink(ref("01a", 0, 0), heir)
		o.Unlink = true
		require.NoError(t, s.RecordOp(t.Context(), l, o))
		require.Equal(t, []identity.Link{heir}, allLinks(t, s))
	})
}

func withLink(r state.OpRef, l identity.Link) state.Outcome {
	o := outcome(r, state.OpDone)
	o.AccountID, o.Link = l.AccountID, &l
	return o
}

func closings(t *testing.T, s state.Store) {
	l := begin(t, s, "01a")
	closed := []state.OpStatus{state.OpDone, state.OpFailed, state.OpSkipped, state.OpObserved, state.OpDropped}
	places := []state.OpRef{ref("01a", 0, 0), ref("01a", 0, 1), ref("01a", 1, 0), ref("01a", 1, 1), ref("01a", 1, 2)}
	for i, status := range closed {
		if i%2 == 0 {
			require.NoError(t, s.MarkSent(t.Context(), l, places[i], at(20)))
		}
		require.NoError(t, s.RecordOp(t.Context(), l, outcome(places[i], status)))
		require.ErrorIs(t, s.RecordOp(t.Context(), l, outcome(places[i], state.OpFailed)), state.ErrConflict)
		require.ErrorIs(t, s.MarkSent(t.Context(), l, places[i], at(21)), state.ErrConflict)
	}
	for i, o := range listOps(t, s, state.OpFilter{}) {
		require.Equal(t, closed[i], o.Status)
		require.Equal(t, at(30), o.ClosedAt)
	}
}
