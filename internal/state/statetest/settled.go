package statetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

func heads(t *testing.T, open Factory) {
	t.Helper()
	open.test(t, "Heads/of no links are none", func(t *testing.T, s state.Store) {
		require.Empty(t, allHeads(t, s))
	})
	open.test(t, "Heads/say what the links say", func(t *testing.T, s state.Store) {
		off, bare, elsewhere := link(2), link(3), contributor(4, 1)
		off.Observed.DeleteAt = 1_700_000_000_999
		off.Recheck, off.Undone = time.Time{}, 0
		bare.Observed, bare.Written = nil, time.Time{}
		elsewhere.Key.Source = "branch"
		put(t, s, link(1), off, bare, elsewhere)
		require.Equal(t, headsOf(elsewhere, link(1), off, bare), allHeads(t, s))
		require.Equal(t, []bool{true, true, false, false}, flags(allHeads(t, s), func(h state.LinkHead) bool { return h.Active }))
		require.Equal(t, []bool{true, true, true, false}, flags(allHeads(t, s), func(h state.LinkHead) bool { return h.Observed }))
	})
	open.test(t, "Heads/follow what is written of an account", func(t *testing.T, s state.Store) {
		l := begin(t, s, "01a")
		off, unseen := link(2), link(2)
		off.Observed.DeleteAt = 1
		unseen.Observed = nil
		for i, next := range []identity.Link{link(2), off, unseen, off, link(2)} {
			require.NoError(t, s.PutLinks(t.Context(), l, []identity.Link{next}))
			require.Equal(t, headsOf(next), allHeads(t, s), "put %d", i)
		}
		for i, next := range []identity.Link{off, unseen, link(2)} {
			require.NoError(t, s.RecordOp(t.Context(), l, withLink(ref("01a", 1, i), next)))
			require.Equal(t, headsOf(next), allHeads(t, s), "recorded %d", i)
		}
	})
	open.test(t, "Heads/tell keys apart byte by byte", func(t *testing.T, s state.Store) {
		var want []identity.Key
		var all []identity.Link
		for i, anchor := range []string{"A", "B", "a", "a ", "a-b", "aB", "ab", "ä", "ß", "ss"} {
			for j, source := range []string{"Corp", "corp", "corp ", "öst"} {
				l := link(10*i + j)
				l.Key = identity.Key{Source: source, Anchor: anchor}
				want, all = append(want, l.Key), append(all, l)
			}
		}
		put(t, s, all...)
		slices.SortFunc(want, identity.Key.Compare)
		got := make([]identity.Key, 0, len(want))
		for _, h := range allHeads(t, s) {
			got = append(got, h.Key)
		}
		require.Equal(t, want, got)
	})
	open.test(t, "Heads/end with the caller's error, as it is", func(t *testing.T, s state.Store) {
		put(t, s, linksOf(0, 20)...)
		enough := errors.New("enough")
		n := 0
		err := s.Heads(t.Context(), func(state.LinkHead) error {
			if n++; n == 7 {
				return enough
			}
			return nil
		})
		require.Equal(t, enough, err)
		require.Equal(t, 7, n)
		require.Len(t, allHeads(t, s), 20, "and the next reading is whole")
	})
	open.test(t, "Heads/end with the context", func(t *testing.T, s state.Store) {
		put(t, s, linksOf(0, 20)...)
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		err := s.Heads(ctx, func(state.LinkHead) error {
			if n++; n == 7 {
				cancel()
			}
			return nil
		})
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, 7, n)
		require.Len(t, allHeads(t, s), 20, "and the next reading is whole")
	})
}

func settles(t *testing.T, open Factory) {
	t.Helper()
	open.test(t, "Settle/is noted for the keys named, and again", func(t *testing.T, s state.Store) {
		put(t, s, linksOf(1, 5)...)
		settle(t, s, mark(1, 7), mark(3, 8))
		require.Equal(t, []state.Digest{digest(7), {}, digest(8), {}}, settled(t, s))
		settle(t, s, mark(3, 9), mark(4, 7))
		require.Equal(t, []state.Digest{digest(7), {}, digest(9), digest(7)}, settled(t, s))
		settle(t, s)
		require.Equal(t, []state.Digest{digest(7), {}, digest(9), digest(7)}, settled(t, s))
		require.Equal(t, linksOf(1, 5), allLinks(t, s), "the links are as they were")
	})
	open.test(t, "Settle/keeps up with the place, and changes nothing else", func(t *testing.T, s state.Store) {
		put(t, s, linksOf(1, 4)...)
		settle(t, s, mark(1, 7), mark(2, 7))
		moved := mark(1, 7)
		moved.Ref = "uid=p1,ou=Elsewhere,dc=test"
		settle(t, s, moved, mark(2, 8))
		want := linksOf(1, 4)
		want[0].Ref = moved.Ref
		require.Equal(t, want, allLinks(t, s))
		require.Equal(t, []state.Digest{digest(7), digest(8), {}}, settled(t, s))
		require.NoError(t, s.Unsettle(t.Context(), acquire(t, s)))
		require.Equal(t, headsOf(want...), allHeads(t, s), "the heads have moved with their links")
	})
	open.test(t, "Settle/passes over keys without a link", func(t *testing.T, s state.Store) {
		put(t, s, link(1))
		stranger := mark(1, 7)
		stranger.Key.Source = "branch"
		settle(t, s, stranger, mark(2, 7))
		require.Equal(t, headsOf(link(1)), allHeads(t, s))
		put(t, s, link(2))
		require.Equal(t, []state.Digest{{}, {}}, settled(t, s), "and remembers nothing of them")
	})
	open.test(t, "Settle/refuses what marks nothing", func(t *testing.T, s state.Store) {
		put(t, s, link(1), link(2))
		l := acquire(t, s)
		for name, bad := range map[string]state.SettledMark{
			"no digest": {Key: key(2)},
			"twice":     mark(1, 8),
			"no anchor": {Key: identity.Key{Source: "corp"}, Digest: digest(7)},
			"no source": {Key: identity.Key{Anchor: "a"}, Digest: digest(7)},
			"bad ref":   {Key: key(2), Digest: digest(7), Ref: "a\x00"},
			"a NUL":     {Key: identity.Key{Source: "corp", Anchor: "a\x00"}, Digest: digest(7)},
		} {
			require.ErrorIs(t, s.Settle(t.Context(), l, []state.SettledMark{mark(1, 7), bad}), state.ErrInvalid, name)
		}
		require.Equal(t, []state.Digest{{}, {}}, settled(t, s))
	})
	open.test(t, "Settle/every byte of a digest comes back", func(t *testing.T, s state.Store) {
		put(t, s, linksOf(0, 256)...)
		marks := make([]state.SettledMark, 256)
		want := make([]state.Digest, 256)
		for i := range marks {
			for j := range want[i] {
				want[i][j] = byte(i + j)
			}
			marks[i] = state.SettledMark{Key: key(i), Digest: want[i]}
		}
		settle(t, s, marks...)
		require.Equal(t, want, settled(t, s))
	})
	open.test(t, "Settle/ends with PutLinks, of the keys written", func(t *testing.T, s state.Store) {
		put(t, s, linksOf(1, 4)...)
		settle(t, s, mark(1, 7), mark(2, 7), mark(3, 7))
		put(t, s, link(2), link(9))
		require.Equal(t, []state.Digest{digest(7), {}, digest(7), {}}, settled(t, s), "though nothing changed")
		swapped, other := link(1), link(2)
		swapped.AccountID, other.AccountID = other.AccountID, swapped.AccountID
		put(t, s, swapped, other)
		require.Equal(t, []state.Digest{{}, {}, digest(7), {}}, settled(t, s))
	})
	open.test(t, "Settle/stays if a write of the link fails", func(t *testing.T, s state.Store) {
		put(t, s, link(1), link(2))
		settle(t, s, mark(1, 7), mark(2, 7))
		thief := link(2)
		thief.AccountID = accountID(1)
		require.ErrorIs(t, s.PutLinks(t.Context(), acquire(t, s), []identity.Link{thief}), state.ErrConflict)
		require.Equal(t, []state.Digest{digest(7), digest(7)}, settled(t, s))
	})
	open.test(t, "Settle/ends with RecordOp, of the link written", func(t *testing.T, s state.Store) {
		put(t, s, linksOf(1, 4)...)
		l := begin(t, s, "01a")
		require.NoError(t, s.Settle(t.Context(), l, []state.SettledMark{mark(1, 7), mark(2, 7), mark(3, 7)}))
		require.NoError(t, s.RecordOp(t.Context(), l, outcome(ref("01a", 1, 0), state.OpFailed)))
		require.Equal(t, []state.Digest{digest(7), digest(7), digest(7)}, settled(t, s), "without a link it stays")
		require.NoError(t, s.RecordOp(t.Context(), l, withLink(ref("01a", 1, 1), link(2))))
		require.Equal(t, []state.Digest{digest(7), {}, digest(7)}, settled(t, s))
		unlinked := outcome(ref("01a", 0, 0), state.OpDone)
		unlinked.Unlink = true
		require.NoError(t, s.RecordOp(t.Context(), l, unlinked))
		require.Equal(t, []state.Digest{{}, digest(7)}, settled(t, s))
		require.NoError(t, s.PutLinks(t.Context(), l, []identity.Link{link(1)}))
		require.Equal(t, []state.Digest{{}, {}, digest(7)}, settled(t, s), "and does not come back with its key")
	})
	open.test(t, "Unsettle/takes every note away", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		require.NoError(t, s.Unsettle(t.Context(), l), "of none at all")
		other := link(3)
		other.Key.Source = "branch"
		put(t, s, link(1), link(2), other)
		settle(t, s, mark(1, 7), state.SettledMark{Key: other.Key, Digest: digest(8)})
		require.NoError(t, s.Unsettle(t.Context(), acquire(t, s)))
		require.Equal(t, headsOf(other, link(1), link(2)), allHeads(t, s))
		require.Equal(t, []identity.Link{other, link(1), link(2)}, allLinks(t, s), "the links are as they were")
	})
	open.test(t, "Settle/a lost lease settles and unsettles nothing", func(t *testing.T, s state.Store) {
		put(t, s, link(1), link(2))
		settle(t, s, mark(1, 7))
		require.NoError(t, s.ReleaseLease(t.Context(), acquire(t, s)))
		lost, current := succeed(t, s)
		for _, l := range []state.Lease{lost, {}} {
			require.ErrorIs(t, s.Settle(t.Context(), l, []state.SettledMark{mark(1, 8), mark(2, 8)}), state.ErrFenced)
			require.ErrorIs(t, s.Unsettle(t.Context(), l), state.ErrFenced)
			require.ErrorIs(t, s.Settle(t.Context(), l, nil), state.ErrFenced)
		}
		require.Equal(t, []state.Digest{digest(7), {}}, settled(t, s))
		require.NoError(t, s.Settle(t.Context(), current, []state.SettledMark{mark(1, 8)}))
		require.NoError(t, s.Unsettle(t.Context(), current))
	})
	open.test(t, "Settle/a cancelled one settles and unsettles nothing", func(t *testing.T, s state.Store) {
		put(t, s, link(1), link(2))
		settle(t, s, mark(1, 7))
		l := acquire(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, s.Settle(ctx, l, []state.SettledMark{mark(1, 8), mark(2, 8)}), context.Canceled)
		require.ErrorIs(t, s.Unsettle(ctx, l), context.Canceled)
		require.Equal(t, []state.Digest{digest(7), {}}, settled(t, s))
	})
	open.test(t, "Settle/one whose time ends in the middle settles all or nothing", func(t *testing.T, s state.Store) {
		const some = 5000
		put(t, s, linksOf(0, some)...)
		l := acquire(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Millisecond)
		defer cancel()
		want := make([]state.Digest, some)
		if err := s.Settle(ctx, l, marksOf(some)); err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		} else {
			for i, m := range marksOf(some) {
				want[i] = m.Digest
			}
		}
		require.Equal(t, want, settled(t, s))
	})
}

// headsOf gives the heads of links that are not settled.
func headsOf(links ...identity.Link) []state.LinkHead {
	out := make([]state.LinkHead, 0, len(links))
	for i := range links {
		l := &links[i]
		out = append(out, state.LinkHead{
			Key: l.Key, AccountID: l.AccountID, Part: l.Part, Ref: l.Ref, Observed: l.Observed != nil,
			Active: l.Observed != nil && l.Observed.Active(), Written: l.Written, Recheck: l.Recheck,
		})
	}
	return out
}

func allHeads(t testing.TB, s state.Store) []state.LinkHead {
	t.Helper()
	var out []state.LinkHead
	require.NoError(t, s.Heads(t.Context(), func(h state.LinkHead) error {
		out = append(out, h)
		return nil
	}))
	slices.SortFunc(out, func(a, b state.LinkHead) int { return a.Key.Compare(b.Key) })
	return out
}

func flags(heads []state.LinkHead, of func(state.LinkHead) bool) []bool {
	out := make([]bool, 0, len(heads))
	for _, h := range heads {
		out = append(out, of(h))
	}
	return out
}

// settled gives the notes of all links, by Key.
func settled(t testing.TB, s state.Store) []state.Digest {
	t.Helper()
	var out []state.Digest
	for _, h := range allHeads(t, s) {
		out = append(out, h.Settled)
	}
	return out
}

func digest(n byte) state.Digest { return state.Digest{n, 0, 0xff, 15: n} }

func mark(n int, d byte) state.SettledMark { return state.SettledMark{Key: key(n), Digest: digest(d)} }

func settle(t testing.TB, s state.Store, marks ...state.SettledMark) {
	t.Helper()
	require.NoError(t, s.Settle(t.Context(), acquire(t, s), marks))
}
