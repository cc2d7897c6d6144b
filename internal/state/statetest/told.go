package statetest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/state"
)

// told gives what a sink was told, with every field set.
func told(sink, key string) state.Told {
	return state.Told{Sink: sink, Key: key, Kind: "guard_tripped", Severity: "alarm", Text: "“5” are held & wait", People: 5, Since: at(1), At: at(7)}
}

func allTold(t testing.TB, s state.Store) []state.Told {
	t.Helper()
	list, err := s.Told(t.Context())
	require.NoError(t, err)
	return list
}

func tells(t *testing.T, open Factory) {
	t.Helper()
	open.test(t, "Tell/what is written is read, by sink and key", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		require.Empty(t, allTold(t, s))
		require.NoError(t, s.Tell(t.Context(), l, []state.Told{told("ops", "b"), told("mail", "b"), told("ops", "a"), told("Ops", "z")}, nil))
		require.Equal(t, []state.Told{told("Ops", "z"), told("mail", "b"), told("ops", "a"), told("ops", "b")}, allTold(t, s))
	})
	open.test(t, "Tell/again replaces, and what is over goes", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		require.NoError(t, s.Tell(t.Context(), l, []state.Told{told("mail", "a"), told("ops", "a"), told("ops", "b")}, nil))
		again := told("ops", "b")
		again.At, again.Text, again.Kind, again.Severity, again.People = at(9), "another text", "expiring", "warn", 0
		require.NoError(t, s.Tell(t.Context(), l, []state.Told{again}, []state.Told{{Sink: "ops", Key: "a"}, {Sink: "ops", Key: "never"}}))
		require.Equal(t, []state.Told{told("mail", "a"), again}, allTold(t, s))
		require.NoError(t, s.Tell(t.Context(), l, nil, nil))
	})
	open.test(t, "Tell/under a lease that was lost nothing is written", func(t *testing.T, s state.Store) {
		lost, current := succeed(t, s)
		require.NoError(t, s.Tell(t.Context(), current, []state.Told{told("ops", "a")}, nil))
		for _, l := range []state.Lease{lost, {}} {
			require.ErrorIs(t, s.Tell(t.Context(), l, []state.Told{told("ops", "b")}, []state.Told{told("ops", "a")}), state.ErrFenced)
		}
		require.Equal(t, []state.Told{told("ops", "a")}, allTold(t, s))
	})
	open.test(t, "Tell/what cannot be kept refuses all", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		for name, spoil := range map[string]func(*state.Told){
			"no sink":       func(x *state.Told) { x.Sink = "" },
			"no key":        func(x *state.Told) { x.Key = "" },
			"a long key":    func(x *state.Told) { x.Key = strings.Repeat("k", state.MaxKeyBytes+1) },
			"no first time": func(x *state.Told) { x.Since = time.Time{} },
			"no time":       func(x *state.Told) { x.At = time.Time{} },
			"not UTF-8":     func(x *state.Told) { x.Text = "caf\xe9" },
			"twice":         func(x *state.Told) { x.Key = "a" },
		} {
			x := told("ops", "b")
			spoil(&x)
			require.ErrorIs(t, s.Tell(t.Context(), l, []state.Told{told("ops", "a"), x}, nil), state.ErrInvalid, name)
		}
		require.ErrorIs(t, s.Tell(t.Context(), l, []state.Told{told("ops", "a")}, []state.Told{told("ops", "a")}), state.ErrInvalid)
		require.Empty(t, allTold(t, s))
	})
	open.test(t, "Waiting/whoever is marked for long, whatever for", waitingFor)
}

func waitingFor(t *testing.T, s state.Store) {
	l := acquire(t, s)
	ctx := t.Context()
	markDue(t, s, wants(1), leaves(2), wants(3), wants(4))
	now, err := s.Now(ctx)
	require.NoError(t, err)
	of := dueOf(t, s, key(1), key(3), key(4))
	of[0].Held, of[0].Reason = true, "needs_approval"
	of[1].After = now.Add(time.Hour)
	of[2].After, of[2].Reason = now.Add(time.Hour), state.DueApplied
	require.NoError(t, s.PutOff(ctx, l, of))

	early, err := s.Waiting(ctx, now.Add(-time.Hour), 0)
	require.NoError(t, err)
	require.Empty(t, early)
	list, err := s.Waiting(ctx, now.Add(time.Minute), 0)
	require.NoError(t, err)
	require.Equal(t, []state.DueMark{leaves(2), wants(1), wants(3)}, []state.DueMark{list[0].DueMark, list[1].DueMark, list[2].DueMark})
	require.Len(t, list, 3)
	require.Equal(t, dueOf(t, s, key(2), key(1), key(3))[0], list[1], "held ones come with why")
	few, err := s.Waiting(ctx, now.Add(time.Minute), 1)
	require.NoError(t, err)
	require.Equal(t, list[:1], few)
}
