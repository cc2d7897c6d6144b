package statetest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/state"
)

func readMark(source, mark string) state.ReadMark {
	return state.ReadMark{Source: source, Mark: mark, FullAt: at(1), Rules: [32]byte{1, 31: 9}, Linked: 12, Again: []string{"a,b", `c"d`}, At: at(2)}
}

func readMarks(t *testing.T, open Factory) {
	t.Helper()
	of := func(t *testing.T, s state.Store, source string) state.ReadMark {
		t.Helper()
		m, err := s.ReadMark(t.Context(), source)
		require.NoError(t, err)
		return m
	}
	open.test(t, "SetReadMark/comes back, one for each source", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		corp, branch := readMark("corp", "usn 1"), state.ReadMark{Source: "branch", Mark: "usn 9", FullAt: at(3), At: at(4)}
		require.NoError(t, s.SetReadMark(t.Context(), l, "", corp))
		require.NoError(t, s.SetReadMark(t.Context(), l, "", branch))
		require.Equal(t, corp, of(t, s, "corp"))
		require.Equal(t, branch, of(t, s, "branch"))
		require.Zero(t, of(t, s, "other"))
	})
	open.test(t, "SetReadMark/moves only from where it is", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		first, second := readMark("corp", "usn 1"), readMark("corp", "usn 2")
		require.ErrorIs(t, s.SetReadMark(t.Context(), l, "usn 0", first), state.ErrConflict)
		require.NoError(t, s.SetReadMark(t.Context(), l, "", first))
		require.ErrorIs(t, s.SetReadMark(t.Context(), l, "", second), state.ErrConflict)
		require.ErrorIs(t, s.SetReadMark(t.Context(), l, "usn 2", second), state.ErrConflict)
		require.Equal(t, first, of(t, s, "corp"))
		require.NoError(t, s.SetReadMark(t.Context(), l, "usn 1", second))
		require.Equal(t, second, of(t, s, "corp"))
	})
	open.test(t, "SetReadMark/without a mark takes it away", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		require.NoError(t, s.SetReadMark(t.Context(), l, "", readMark("corp", "1")))
		require.ErrorIs(t, s.SetReadMark(t.Context(), l, "2", state.ReadMark{Source: "corp"}), state.ErrConflict)
		require.NoError(t, s.SetReadMark(t.Context(), l, "1", state.ReadMark{Source: "corp"}))
		require.Zero(t, of(t, s, "corp"))
		require.NoError(t, s.SetReadMark(t.Context(), l, "", state.ReadMark{Source: "corp"}), "twice")
	})
	open.test(t, "SetReadMark/is refused for what cannot be kept", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		for name, m := range map[string]state.ReadMark{
			"no source":    readMark("", "1"),
			"no full read": {Source: "corp", Mark: "1"},
			"too long":     readMark("corp", strings.Repeat("x", 64<<10+1)),
			"NUL":          readMark("corp", "\x00"),
		} {
			require.ErrorIs(t, s.SetReadMark(t.Context(), l, "", m), state.ErrInvalid, name)
		}
		long := readMark("corp", strings.Repeat("x", 64<<10))
		require.NoError(t, s.SetReadMark(t.Context(), l, "", long))
		require.Equal(t, long, of(t, s, "corp"))
	})
}
