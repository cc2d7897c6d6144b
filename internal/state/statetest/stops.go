package statetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

// stop gives one about a person, with every field set.
func stop(id string) state.Stop {
	return state.Stop{
		ID: id, Kind: state.StopHold, Key: key(1), Reason: "audit & “inspection”", MadeBy: "root@host", Run: "run1",
		MadeAt: at(1), Expires: at(9), EndedAt: at(5), EndedBy: "ann@host",
	}
}

// inForce gives one that has not ended.
func inForce(id string, k identity.Key) state.Stop {
	return state.Stop{ID: id, Kind: state.StopHold, Key: k, MadeBy: "root@host", MadeAt: at(1)}
}

func stopIDs(t testing.TB, s state.Store, f state.StopFilter) []string {
	t.Helper()
	list, err := s.Stops(t.Context(), f)
	require.NoError(t, err)
	ids := []string{}
	for _, x := range list {
		ids = append(ids, x.ID)
	}
	return ids
}

func stops(t *testing.T, open Factory) {
	t.Helper()
	keep := func(t *testing.T) func([]state.Stop, state.Store) {
		return func(list []state.Stop, s state.Store) { require.NoError(t, s.PutStops(t.Context(), list)) }
	}
	open.test(t, "PutStops/what is written is read, without a lease", func(t *testing.T, s state.Store) {
		plain := state.Stop{ID: "b", Kind: state.StopOff, Key: key(2), MadeAt: at(2)}
		all := state.Stop{ID: "c", Kind: state.StopHold, MadeAt: at(3)}
		keep(t)([]state.Stop{all, stop("a"), plain}, s)
		got, err := s.Stops(t.Context(), state.StopFilter{})
		require.NoError(t, err)
		require.Equal(t, []state.Stop{stop("a"), plain, all}, got)
	})
	open.test(t, "PutStops/while somebody holds the lease as well", func(t *testing.T, s state.Store) {
		l := begin(t, s, "run1")
		keep(t)([]state.Stop{inForce("a", identity.Key{})}, s)
		require.NoError(t, s.MarkSent(t.Context(), l, ref("run1", 0, 0), at(2)))
	})
	open.test(t, "PutStops/one that exists refuses all", func(t *testing.T, s state.Store) {
		keep(t)([]state.Stop{stop("a")}, s)
		require.ErrorIs(t, s.PutStops(t.Context(), []state.Stop{stop("b"), stop("a")}), state.ErrConflict)
		require.Equal(t, []string{"a"}, stopIDs(t, s, state.StopFilter{}))
	})
	open.test(t, "PutStops/what means nothing is refused", func(t *testing.T, s state.Store) {
		for name, spoil := range map[string]func(*state.Stop){
			"no id":               func(x *state.Stop) { x.ID = "" },
			"no time":             func(x *state.Stop) { x.MadeAt = time.Time{} },
			"another kind":        func(x *state.Stop) { x.Kind = "pause" },
			"anchor alone":        func(x *state.Stop) { x.Key.Source = "" },
			"off for a source":    func(x *state.Stop) { x.Kind, x.Key.Anchor = state.StopOff, "" },
			"a reason not UTF-8":  func(x *state.Stop) { x.Reason = "caf\xe9" },
			"an anchor too long":  func(x *state.Stop) { x.Key.Anchor = string(make([]byte, state.MaxKeyBytes+1)) },
			"a NUL byte in by":    func(x *state.Stop) { x.MadeBy = "a\x00" },
			"the same in one run": func(x *state.Stop) { x.ID = "other" },
		} {
			x := stop("a")
			spoil(&x)
			require.ErrorIs(t, s.PutStops(t.Context(), []state.Stop{stop("other"), x}), state.ErrInvalid, name)
		}
		require.Empty(t, stopIDs(t, s, state.StopFilter{}))
		require.NoError(t, s.PutStops(t.Context(), nil))
	})
	open.test(t, "Stops/a person is under his own, his source's and those for everybody", func(t *testing.T, s state.Store) {
		keep(t)([]state.Stop{
			inForce("all", identity.Key{}), inForce("corp", identity.Key{Source: "corp"}), inForce("hr", identity.Key{Source: "hr"}),
			inForce("one", key(1)), inForce("two", key(2)), inForce("same anchor", identity.Key{Source: "hr", Anchor: key(1).Anchor}),
		}, s)
		require.Equal(t, []string{"all", "corp", "one"}, stopIDs(t, s, state.StopFilter{About: key(1)}))
		require.Equal(t, []string{"all", "corp"}, stopIDs(t, s, state.StopFilter{About: key(3)}))
		_, err := s.Stops(t.Context(), state.StopFilter{About: identity.Key{Source: "corp"}})
		require.ErrorIs(t, err, state.ErrInvalid)
	})
	open.test(t, "Stops/by id, kind, run and whether they were ended", func(t *testing.T, s state.Store) {
		off := inForce("off", key(2))
		off.Kind = state.StopOff
		keep(t)([]state.Stop{stop("ended"), inForce("open", key(1)), off}, s)
		require.Equal(t, []string{"off", "open"}, stopIDs(t, s, state.StopFilter{Open: true}))
		require.Equal(t, []string{"off"}, stopIDs(t, s, state.StopFilter{Kind: state.StopOff}))
		require.Equal(t, []string{"ended"}, stopIDs(t, s, state.StopFilter{Run: "run1"}))
		require.Equal(t, []string{"ended", "off"}, stopIDs(t, s, state.StopFilter{IDs: []string{"off", "ended", "none"}}))
		require.Empty(t, stopIDs(t, s, state.StopFilter{Run: "run1", Open: true}))
	})
	open.test(t, "EndStops/ends the open ones, once", func(t *testing.T, s state.Store) {
		keep(t)([]state.Stop{stop("ended"), inForce("open", key(1)), inForce("other", key(2))}, s)
		require.NoError(t, s.EndStops(t.Context(), []string{"ended", "open"}, "bob@host", at(7)))
		require.NoError(t, s.EndStops(t.Context(), []string{"open"}, "late@host", at(8)))
		got, err := s.Stops(t.Context(), state.StopFilter{})
		require.NoError(t, err)
		want := inForce("open", key(1))
		want.EndedAt, want.EndedBy = at(7), "bob@host"
		require.Equal(t, []state.Stop{stop("ended"), want, inForce("other", key(2))}, got)
	})
	open.test(t, "EndStops/one that does not exist ends none", func(t *testing.T, s state.Store) {
		keep(t)([]state.Stop{inForce("open", key(1))}, s)
		require.ErrorIs(t, s.EndStops(t.Context(), []string{"open", "none"}, "bob@host", at(7)), state.ErrNotFound)
		require.ErrorIs(t, s.EndStops(t.Context(), []string{"open", "open"}, "bob@host", at(7)), state.ErrInvalid)
		require.ErrorIs(t, s.EndStops(t.Context(), []string{"open"}, "bob@host", time.Time{}), state.ErrInvalid)
		require.NoError(t, s.EndStops(t.Context(), nil, "bob@host", at(7)))
		require.Equal(t, []string{"open"}, stopIDs(t, s, state.StopFilter{Open: true}))
	})
}
