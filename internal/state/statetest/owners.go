package statetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

func owners(t *testing.T, open Factory) {
	t.Helper()
	open.test(t, "PutLinks/a second owner is refused by name, all or nothing", func(t *testing.T, s state.Store) {
		put(t, s, link(1))
		thief := link(2)
		thief.AccountID = accountID(1)
		err := s.PutLinks(t.Context(), acquire(t, s), []identity.Link{link(3), thief, link(4)})
		require.ErrorIs(t, err, state.ErrConflict)
		require.ErrorContains(t, err, accountID(1))
		require.ErrorContains(t, err, "belongs to corp/anchor-000001")
		require.Equal(t, []identity.Link{link(1)}, allLinks(t, s))
		requirePast(t, s, accountID(3))
	})
	open.test(t, "PutLinks/two owners in one list are refused", func(t *testing.T, s state.Store) {
		twin := link(2)
		twin.AccountID = accountID(1)
		err := s.PutLinks(t.Context(), acquire(t, s), []identity.Link{link(1), twin})
		require.ErrorIs(t, err, state.ErrConflict)
		require.Empty(t, allLinks(t, s))
	})
	open.test(t, "PutLinks/any number may contribute beside the owner", func(t *testing.T, s state.Store) {
		second, third := contributor(2, 1), contributor(3, 1)
		put(t, s, second, link(1), third)
		require.Equal(t, []identity.Link{link(1), second, third}, allLinks(t, s))
		heir := link(2)
		heir.AccountID = accountID(1)
		require.ErrorIs(t, s.PutLinks(t.Context(), acquire(t, s), []identity.Link{heir}), state.ErrConflict)
		put(t, s, heir, contributor(1, 1))
		require.Equal(t, []identity.Link{contributor(1, 1), heir, third}, allLinks(t, s), "handed over in one call, heir first")
	})
	open.test(t, "PutLinks/two keys may swap their accounts", func(t *testing.T, s state.Store) {
		put(t, s, link(1), link(2))
		a, b := link(1), link(2)
		a.AccountID, b.AccountID = b.AccountID, a.AccountID
		put(t, s, a, b)
		require.Equal(t, []identity.Link{a, b}, allLinks(t, s))
	})
	open.test(t, "PutLinks/a failed swap leaves the owners as they were", func(t *testing.T, s state.Store) {
		put(t, s, link(1), link(2), link(3))
		a, b := link(1), link(2)
		a.AccountID, b.AccountID = accountID(2), accountID(3)
		require.ErrorIs(t, s.PutLinks(t.Context(), acquire(t, s), []identity.Link{a, b}), state.ErrConflict)
		require.Equal(t, []identity.Link{link(1), link(2), link(3)}, allLinks(t, s))
	})
	open.test(t, "PastLinks/remember every key an account was ever linked to", func(t *testing.T, s state.Store) {
		first := link(1)
		put(t, s, first)
		later := first
		later.UpdatedAt = at(400)
		put(t, s, later, contributor(3, 1))
		moved := link(1)
		moved.AccountID, moved.UpdatedAt = accountID(9), at(401)
		put(t, s, moved)
		heir := link(2)
		heir.AccountID = accountID(1)
		put(t, s, heir)
		requirePast(t, s, accountID(1),
			state.PastLink{Key: key(1), AccountID: accountID(1), Since: first.UpdatedAt},
			state.PastLink{Key: key(2), AccountID: accountID(1), Since: heir.UpdatedAt},
			state.PastLink{Key: key(3), AccountID: accountID(1), Since: contributor(3, 1).UpdatedAt})
		both, err := s.PastLinks(t.Context(), []string{accountID(9), accountID(1), "none"})
		require.NoError(t, err)
		require.Len(t, both, 4)
		require.Equal(t, accountID(9), both[3].AccountID)
		requirePast(t, s, "none")
		none, err := s.PastLinks(t.Context(), nil)
		require.NoError(t, err)
		require.Empty(t, none)
	})
}

func contributor(n, account int) identity.Link {
	l := link(n)
	l.AccountID, l.Part = accountID(account), identity.Contributor
	l.Applied.Owned = identity.AttributesOf(identity.Position, identity.Locale)
	return l
}

func requirePast(t *testing.T, s state.Store, account string, want ...state.PastLink) {
	t.Helper()
	got, err := s.PastLinks(t.Context(), []string{account})
	require.NoError(t, err)
	require.Equal(t, want, got)
}
