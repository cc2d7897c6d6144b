package statetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

func refused(t *testing.T, open Factory) {
	t.Helper()
	match := func(anchor, account string, minutes int) state.RefusedMatch {
		return state.RefusedMatch{
			Key: identity.Key{Source: "corp", Anchor: anchor}, AccountID: account,
			Reason: "asked \"him\", <ok>", MadeBy: "root@host", MadeAt: at(minutes),
		}
	}
	list := func(t *testing.T, s state.Store) []state.RefusedMatch {
		t.Helper()
		got, err := s.RefusedMatches(t.Context())
		require.NoError(t, err)
		return got
	}
	open.test(t, "RefuseMatches/come back by key and account, the last word counts", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		require.Empty(t, list(t, s))
		require.NoError(t, s.RefuseMatches(t.Context(), l, nil))
		require.NoError(t, s.RefuseMatches(t.Context(), l, []state.RefusedMatch{match("b", "2", 1), match("b", "1", 1), match("B", "1", 1), match("a", "1", 1)}))
		again := match("b", "1", 9)
		again.Reason, again.MadeBy = "looked again", "ann@host"
		require.NoError(t, s.RefuseMatches(t.Context(), l, []state.RefusedMatch{again, {Key: identity.Key{Source: "ad", Anchor: "z"}, AccountID: "1"}}))
		require.Equal(t, []state.RefusedMatch{
			{Key: identity.Key{Source: "ad", Anchor: "z"}, AccountID: "1"}, match("B", "1", 1), match("a", "1", 1), again, match("b", "2", 1),
		}, list(t, s))
	})
	open.test(t, "AllowMatches/takes back what is named, and nothing else", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		require.NoError(t, s.RefuseMatches(t.Context(), l, []state.RefusedMatch{match("a", "1", 1), match("a", "2", 1), match("b", "1", 1)}))
		require.NoError(t, s.AllowMatches(t.Context(), l, []state.RefusedMatch{match("a", "1", 7), match("c", "1", 7)}))
		require.Equal(t, []state.RefusedMatch{match("a", "2", 1), match("b", "1", 1)}, list(t, s))
	})
	open.test(t, "RefuseMatches/what cannot be kept is refused as a whole", func(t *testing.T, s state.Store) {
		lost, l := succeed(t, s)
		require.ErrorIs(t, s.RefuseMatches(t.Context(), lost, []state.RefusedMatch{match("a", "1", 1)}), state.ErrFenced)
		require.ErrorIs(t, s.RefuseMatches(t.Context(), l, []state.RefusedMatch{match("a", "1", 1), match("a", "1", 2)}), state.ErrInvalid)
		require.ErrorIs(t, s.RefuseMatches(t.Context(), l, []state.RefusedMatch{match("a", "1", 1), match("b", "", 2)}), state.ErrInvalid)
		bad := match("b", "1", 1)
		bad.Reason = "nul\x00"
		require.ErrorIs(t, s.RefuseMatches(t.Context(), l, []state.RefusedMatch{match("a", "1", 1), bad}), state.ErrInvalid)
		require.Empty(t, list(t, s))
		require.NoError(t, s.RefuseMatches(t.Context(), l, []state.RefusedMatch{match("a", "1", 1)}))
		require.ErrorIs(t, s.AllowMatches(t.Context(), lost, []state.RefusedMatch{match("a", "1", 1)}), state.ErrFenced)
		require.Len(t, list(t, s), 1)
	})
}
