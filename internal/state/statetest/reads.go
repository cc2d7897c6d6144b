package statetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

func reads(t *testing.T, open Factory) {
	t.Helper()
	open.test(t, "RecordRead/comes back newest first, per source and window", func(t *testing.T, s state.Store) {
		first := state.Read{Source: "corp", At: at(1), Entries: 100, Faults: 2, Complete: true, Took: 1234567891}
		second := state.Read{Source: "corp", At: at(2), Entries: 40, Doubt: "size limit: ask for paging", Took: time.Millisecond}
		for _, r := range []state.Read{second, first, {Source: "branch", At: at(3)}} {
			require.NoError(t, s.RecordRead(t.Context(), r))
		}
		for since, want := range map[time.Time][]state.Read{
			{}:                             {second, first},
			at(1):                          {second, first},
			at(1).Add(time.Microsecond):    {second},
			at(2).Add(time.Millisecond):    nil,
			at(1).Add(-100 * 24 * 365 * 1): {second, first},
		} {
			got, err := s.Reads(t.Context(), "corp", since)
			require.NoError(t, err)
			require.Equal(t, want, got, "%s", since)
		}
	})
	open.test(t, "RecordRead/two at one time are two, the later first", func(t *testing.T, s state.Store) {
		for n := range 3 {
			require.NoError(t, s.RecordRead(t.Context(), state.Read{Source: "corp", At: at(1), Entries: n}))
		}
		got, err := s.Reads(t.Context(), "corp", at(0))
		require.NoError(t, err)
		require.Len(t, got, 3)
		require.Equal(t, 2, got[0].Entries)
	})
	open.test(t, "RecordRead/needs source and time", func(t *testing.T, s state.Store) {
		require.ErrorIs(t, s.RecordRead(t.Context(), state.Read{At: at(1)}), state.ErrInvalid)
		require.ErrorIs(t, s.RecordRead(t.Context(), state.Read{Source: "corp"}), state.ErrInvalid)
	})
	open.test(t, "Sightings/are put, replaced and cleared by a run", func(t *testing.T, s state.Store) {
		branch := state.Sighting{Key: identity.Key{Source: "branch", Anchor: "x"}, Since: at(1), Reads: 1, LastRead: at(1)}
		one := state.Sighting{Key: key(1), Since: at(1), Reads: 1, LastRead: at(1)}
		two := state.Sighting{Key: key(2), Since: at(2), Reads: 1, LastRead: at(2)}
		sight(t, s, "01a", state.SightingChanges{Missed: []state.Sighting{two, branch, one}})
		require.Equal(t, []state.Sighting{one, two}, sightings(t, s, "corp"))
		require.Equal(t, []state.Sighting{branch}, sightings(t, s, "branch"))

		one.Reads, one.LastRead = 2, at(15)
		sight(t, s, "01b", state.SightingChanges{Missed: []state.Sighting{one}, Seen: []identity.Key{key(2), key(77)}})
		require.Equal(t, []state.Sighting{one}, sightings(t, s, "corp"))
		sight(t, s, "01c", state.SightingChanges{})
		require.Equal(t, []state.Sighting{one}, sightings(t, s, "corp"), "what is not named stays")
		require.Equal(t, []state.Sighting{branch}, sightings(t, s, "branch"))
	})
	open.test(t, "Sightings/a key cannot be missed and seen", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		err := s.BeginRun(t.Context(), l, run("01a", l), plan.Plan{},
			state.SightingChanges{Missed: []state.Sighting{{Key: key(1)}}, Seen: []identity.Key{key(1)}})
		require.ErrorIs(t, err, state.ErrInvalid)
	})
}

func sight(t *testing.T, s state.Store, id string, c state.SightingChanges) {
	t.Helper()
	l := acquire(t, s)
	require.NoError(t, s.BeginRun(t.Context(), l, run(id, l), plan.Plan{}, c))
}

func sightings(t *testing.T, s state.Store, source string) []state.Sighting {
	t.Helper()
	got, err := s.Sightings(t.Context(), source)
	require.NoError(t, err)
	return got
}
