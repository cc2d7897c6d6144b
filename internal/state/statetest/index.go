package statetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

func index(t *testing.T, open Factory) {
	t.Helper()
	open.test(t, "Bind/the first wins, another is refused with what is bound", func(t *testing.T, s state.Store) {
		first := state.Binding{Name: "mattermost", ID: "telemetry1", Note: "https://chat.example.org", At: at(1)}
		got, err := s.Bind(t.Context(), first)
		require.NoError(t, err)
		require.Equal(t, first, got)
		got, err = s.Bind(t.Context(), state.Binding{Name: "mattermost", ID: "telemetry1", Note: "https://new.example.org", At: at(2)})
		require.NoError(t, err)
		require.Equal(t, first, got, "the stored one")
		got, err = s.Bind(t.Context(), state.Binding{Name: "mattermost", ID: "Telemetry1", Note: "https://test.example.org", At: at(3)})
		require.ErrorIs(t, err, state.ErrConflict)
		require.ErrorContains(t, err, "https://chat.example.org")
		require.Equal(t, first, got)
		bound, err := s.Bound(t.Context(), "mattermost")
		require.NoError(t, err)
		require.Equal(t, first, bound)
		bound, err = s.Bound(t.Context(), "source/corp")
		require.NoError(t, err)
		require.Zero(t, bound, "asking binds nothing")
		require.ErrorIs(t, s.Unbind(t.Context(), state.Lease{}, "mattermost"), state.ErrFenced)
		lease, err := s.AcquireLease(t.Context(), "reconcile", "rebinder", time.Minute)
		require.NoError(t, err)
		require.NoError(t, s.Unbind(t.Context(), lease, "source/corp"), "nothing bound")
		require.NoError(t, s.Unbind(t.Context(), lease, "mattermost"))
		bound, err = s.Bound(t.Context(), "mattermost")
		require.NoError(t, err)
		require.Zero(t, bound)
		_, err = s.Bind(t.Context(), first)
		require.NoError(t, err)
		_, err = s.Bind(t.Context(), state.Binding{Name: "source/corp", ID: "dc=example", At: at(3)})
		require.NoError(t, err)
		_, err = s.Bind(t.Context(), state.Binding{Name: "source/corp"})
		require.ErrorIs(t, err, state.ErrInvalid)
	})
	open.test(t, "Mark/zero until set, then the last one", func(t *testing.T, s state.Store) {
		got, err := s.Mark(t.Context(), "users")
		require.NoError(t, err)
		require.Equal(t, state.Mark{}, got)
		l := acquire(t, s)
		for _, m := range []state.Mark{
			{Name: "users", Value: 1_700_000_000_000, ServerDate: at(1), At: at(2)},
			{Name: "users", Value: -1},
			{Name: "users", Value: 5, ServerDate: at(3), At: at(4)},
		} {
			require.NoError(t, s.SetMark(t.Context(), l, m))
			got, err = s.Mark(t.Context(), "users")
			require.NoError(t, err)
			require.Equal(t, m, got)
		}
		got, err = s.Mark(t.Context(), "Users")
		require.NoError(t, err)
		require.Zero(t, got)
	})
	open.test(t, "Index/is replaced as a whole and filtered", indexed)
	open.test(t, "ReplaceIndex/an id twice is refused and the old index stays", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		require.NoError(t, s.ReplaceIndex(t.Context(), l, []state.IndexedAccount{{ID: "a"}}))
		require.ErrorIs(t, s.ReplaceIndex(t.Context(), l, []state.IndexedAccount{{ID: "b"}, {ID: "b"}}), state.ErrInvalid)
		got, err := s.Index(t.Context(), state.IndexFilter{})
		require.NoError(t, err)
		require.Equal(t, []state.IndexedAccount{{ID: "a"}}, got)
	})
	open.test(t, "Protect/known accounts keep their Since", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		require.NoError(t, s.Protect(t.Context(), l, []state.ProtectedAccount{{ID: "b", Pattern: "admin*", Since: at(1)}}))
		require.NoError(t, s.Protect(t.Context(), l, []state.ProtectedAccount{
			{ID: "b", Pattern: "root*", Since: at(9)}, {ID: "a", Pattern: "root*", Since: at(9)}, {ID: "B", Since: at(9)},
		}))
		got, err := s.Protected(t.Context())
		require.NoError(t, err)
		require.Equal(t, []state.ProtectedAccount{
			{ID: "B", Since: at(9)}, {ID: "a", Pattern: "root*", Since: at(9)}, {ID: "b", Pattern: "root*", Since: at(1)},
		}, got)
		require.ErrorIs(t, s.Protect(t.Context(), l, []state.ProtectedAccount{{Pattern: "x"}}), state.ErrInvalid)
	})
}

func indexed(t *testing.T, s state.Store) {
	l := acquire(t, s)
	require.NoError(t, s.ReplaceIndex(t.Context(), l, []state.IndexedAccount{{ID: "old"}}))
	a := state.IndexedAccount{
		ID: "a", Username: "Ann", Email: "ann@example.org", Auth: identity.Auth{Service: "saml", Data: "ANN"},
		Active: true, Admin: true, SeenAt: at(1),
	}
	b := state.IndexedAccount{ID: "b", Username: "bot", Bot: true, Remote: true, OwnerID: "a", Auth: identity.Auth{Service: "ldap", Data: "ann"}}
	c := state.IndexedAccount{ID: "c", Username: "plain", SeenAt: at(2)}
	require.NoError(t, s.ReplaceIndex(t.Context(), l, []state.IndexedAccount{c, a, b}))
	for name, q := range map[string]struct {
		f    state.IndexFilter
		want []state.IndexedAccount
	}{
		"all":                       {state.IndexFilter{}, []state.IndexedAccount{a, b, c}},
		"ids":                       {state.IndexFilter{IDs: []string{"c", "a", "old"}}, []state.IndexedAccount{a, c}},
		"auth":                      {state.IndexFilter{Auth: []identity.Auth{{Service: "saml", Data: "ANN"}}}, []state.IndexedAccount{a}},
		"auth is case exact":        {state.IndexFilter{Auth: []identity.Auth{{Service: "saml", Data: "ann"}}}, nil},
		"any auth":                  {state.IndexFilter{Auth: []identity.Auth{{Service: "ldap", Data: "ann"}, {Service: "saml", Data: "ANN"}}}, []state.IndexedAccount{a, b}},
		"auth of password accounts": {state.IndexFilter{Auth: []identity.Auth{{}}}, []state.IndexedAccount{c}},
		"both must match":           {state.IndexFilter{IDs: []string{"a", "b"}, Auth: []identity.Auth{b.Auth}}, []state.IndexedAccount{b}},
	} {
		got, err := s.Index(t.Context(), q.f)
		require.NoError(t, err, name)
		require.Equal(t, q.want, got, name)
	}
	require.NoError(t, s.ReplaceIndex(t.Context(), l, nil))
	got, err := s.Index(t.Context(), state.IndexFilter{})
	require.NoError(t, err)
	require.Empty(t, got)
}
