package statetest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

func sizes(t *testing.T, open Factory) {
	t.Helper()
	t.Run("Links/a hundred thousand come back", func(t *testing.T) {
		if testing.Short() {
			t.Skip("-short")
		}
		t.Parallel()
		s := open(t)
		want := linksOf(0, many)
		put(t, s, want...)
		got := allLinks(t, s)
		require.Len(t, got, len(want))
		for i := range want {
			if got[i].Key != want[i].Key || got[i].Observed.Auth != want[i].Observed.Auth {
				require.Equal(t, want[i], got[i])
			}
		}
		require.Equal(t, want[7_777:7_902], got[7_777:7_902])
		keys := make([]identity.Key, 0, many/2)
		ids := make([]string, 0, many/2)
		for n := 0; n < many; n += 2 {
			keys, ids = append(keys, key(n)), append(ids, accountID(n))
		}
		got, err := s.Links(t.Context(), state.LinkFilter{Keys: keys, AccountIDs: ids})
		require.NoError(t, err)
		require.Len(t, got, many/2, "long filters")
	})
	t.Run("Settle/a hundred thousand are noted", func(t *testing.T) {
		if testing.Short() {
			t.Skip("-short")
		}
		t.Parallel()
		s := open(t)
		links := linksOf(0, many)
		put(t, s, links...)
		marks := marksOf(many)
		settle(t, s, marks...)
		want := headsOf(links...)
		for i := range want {
			want[i].Settled = marks[i].Digest
		}
		got := allHeads(t, s)
		require.Len(t, got, len(want))
		for i := range want {
			if got[i] != want[i] {
				require.Equal(t, want[i], got[i])
			}
		}
	})
}

// marksOf settles the first n links, each under a digest of its own.
func marksOf(n int) []state.SettledMark {
	marks := make([]state.SettledMark, n)
	for i := range marks {
		marks[i] = mark(i, 1)
		binary.BigEndian.PutUint32(marks[i].Digest[4:], uint32(i)) //nolint:gosec // small
	}
	return marks
}

// Bench measures what grows with the number of people, and what every API call
// waits for.
func Bench(b *testing.B, open Factory) {
	b.Helper()
	const some = 20_000
	links := linksOf(0, max(many, some))
	b.Run("PutLinks20k", func(b *testing.B) {
		s := open(b)
		l := acquire(b, s)
		for b.Loop() {
			require.NoError(b, s.PutLinks(b.Context(), l, links[:some]))
		}
	})
	b.Run("Links100k", func(b *testing.B) {
		s := open(b)
		put(b, s, links...)
		for b.Loop() {
			require.Len(b, allLinks(b, s), len(links))
		}
	})
	b.Run("Heads100k", func(b *testing.B) { benchHeads(b, open, links) })
	b.Run("Settle100k", func(b *testing.B) { benchSettle(b, open, links) })
	b.Run("Seal1000Ops", func(b *testing.B) { sealBench(b, open) })
	b.Run("LinksOfOneKey", func(b *testing.B) {
		s := open(b)
		put(b, s, links...)
		for b.Loop() {
			got, err := s.Links(b.Context(), state.LinkFilter{Keys: []identity.Key{key(4711)}})
			require.NoError(b, err)
			require.Len(b, got, 1)
		}
	})
	b.Run("BeginRun50k", func(b *testing.B) {
		s := open(b)
		l := acquire(b, s)
		var p plan.Plan
		for n := range 50_000 {
			p.Decisions = append(p.Decisions, deactivation(n))
		}
		n := 0
		for b.Loop() {
			require.NoError(b, s.BeginRun(b.Context(), l, run(fmt.Sprintf("%06d", n), l), p, state.SightingChanges{}))
			n++
		}
	})
	b.Run("ReplaceIndex100k", func(b *testing.B) {
		s := open(b)
		l := acquire(b, s)
		accounts := make([]state.IndexedAccount, many)
		for n := range accounts {
			a := account(n)
			accounts[n] = state.IndexedAccount{ID: a.ID, Username: a.Username, Email: a.Email, Auth: a.Auth, Active: true, SeenAt: at(1)}
		}
		for b.Loop() {
			require.NoError(b, s.ReplaceIndex(b.Context(), l, accounts))
		}
	})
	b.Run("SentAndRecorded", func(b *testing.B) { benchCalls(b, open, 1) })
	b.Run("SentAndRecordedBy4", func(b *testing.B) { benchCalls(b, open, 4) })
}

// benchHeads measures what every run begins with, after an audit has settled
// most links.
func benchHeads(b *testing.B, open Factory, links []identity.Link) {
	b.Helper()
	s := open(b)
	putShuffled(b, s, links)
	settle(b, s, marksOf(len(links))...)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		require.NoError(b, s.Heads(b.Context(), func(state.LinkHead) error { n++; return nil }))
		require.Equal(b, len(links), n)
	}
}

// putShuffled writes links in another order than that of their Keys, which in
// most directories are random.
func putShuffled(b *testing.B, s state.Store, links []identity.Link) {
	b.Helper()
	shuffled := slices.Clone(links)
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same order each time
	r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	put(b, s, shuffled...)
}

// benchSettle measures what an audit ends with.
func benchSettle(b *testing.B, open Factory, links []identity.Link) {
	b.Helper()
	s := open(b)
	putShuffled(b, s, links)
	l := acquire(b, s)
	marks := marksOf(len(links))
	for b.Loop() {
		require.NoError(b, s.Unsettle(b.Context(), l))
		require.NoError(b, s.Settle(b.Context(), l, marks))
	}
}

// benchCalls measures the two writes around one API call.
func benchCalls(b *testing.B, open Factory, parallel int) {
	b.Helper()
	s := open(b)
	l := acquire(b, s)
	var p plan.Plan
	for n := range b.N {
		p.Decisions = append(p.Decisions, deactivation(n))
	}
	require.NoError(b, s.BeginRun(b.Context(), l, run("01a", l), p, state.SightingChanges{}))
	next := make(chan int)
	errs := make(chan error, parallel)
	b.ResetTimer()
	for range parallel {
		go func() {
			for n := range next {
				if err := s.MarkSent(b.Context(), l, ref("01a", n, 0), at(20)); err != nil {
					errs <- err
					return
				}
				if err := s.RecordOp(b.Context(), l, withLink(ref("01a", n, 0), link(n))); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for n := range b.N {
		next <- n
	}
	close(next)
	for range parallel {
		require.NoError(b, <-errs)
	}
}
