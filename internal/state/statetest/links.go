package statetest

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

func links(t *testing.T, open Factory) {
	t.Helper()
	open.test(t, "PutLinks/every field comes back", func(t *testing.T, s state.Store) {
		full := link(1)
		bare := identity.Link{Key: key(2), AccountID: accountID(2), Part: identity.Owner}
		put(t, s, full, bare)
		require.Equal(t, []identity.Link{full, bare}, allLinks(t, s))
	})
	open.test(t, "PutLinks/times come back in UTC with microseconds", func(t *testing.T, s state.Store) {
		l := link(1)
		l.Written = time.Date(2026, 7, 1, 12, 0, 0, 999_999_999, time.FixedZone("CEST", 7200))
		put(t, s, l)
		require.Equal(t, time.Date(2026, 7, 1, 10, 0, 0, 999_999_000, time.UTC), allLinks(t, s)[0].Written)
	})
	open.test(t, "PutLinks/keys and ids compare byte by byte", func(t *testing.T, s state.Store) {
		var want []identity.Link
		for i, anchor := range []string{"A", "B", "a", "a ", "a-b", "aB", "ab", "ä", "ß", "ss"} {
			l := link(i)
			l.Key.Anchor = anchor
			want = append(want, l)
		}
		slices.SortFunc(want, func(a, b identity.Link) int { return a.Key.Compare(b.Key) })
		shuffled := slices.Clone(want)
		slices.Reverse(shuffled)
		put(t, s, shuffled...)
		require.Equal(t, want, allLinks(t, s))
		upper, lower := link(100), link(101)
		upper.AccountID, lower.AccountID = "ABC", "abc"
		put(t, s, upper, lower)
		got, err := s.Links(t.Context(), state.LinkFilter{AccountIDs: []string{"abc"}})
		require.NoError(t, err)
		require.Equal(t, []identity.Link{lower}, got)
	})
	open.test(t, "PutLinks/an update changes all but CreatedAt", func(t *testing.T, s state.Store) {
		put(t, s, link(1))
		changed := identity.Link{
			Key: key(1), AccountID: "elsewhere", Part: identity.Contributor, Origin: identity.OriginOperator, Ref: "new ref",
			CreatedAt: at(500), UpdatedAt: at(501),
		}
		put(t, s, changed)
		changed.CreatedAt = link(1).CreatedAt
		require.Equal(t, []identity.Link{changed}, allLinks(t, s))
	})
	open.test(t, "PutLinks/no links is no error", func(t *testing.T, s state.Store) {
		put(t, s)
		require.Empty(t, allLinks(t, s))
	})
	open.test(t, "PutLinks/refuses what is no link", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		for name, spoil := range map[string]func(*identity.Link){
			"no source":  func(l *identity.Link) { l.Key.Source = "" },
			"no anchor":  func(l *identity.Link) { l.Key.Anchor = "" },
			"no account": func(l *identity.Link) { l.AccountID = "" },
			"no part":    func(l *identity.Link) { l.Part = "" },
		} {
			bad := link(2)
			spoil(&bad)
			require.ErrorIs(t, s.PutLinks(t.Context(), l, []identity.Link{link(1), bad}), state.ErrInvalid, name)
		}
		require.ErrorIs(t, s.PutLinks(t.Context(), l, []identity.Link{link(1), link(1)}), state.ErrInvalid, "twice")
		require.Empty(t, allLinks(t, s))
	})
	open.test(t, "Links/filters by source, key and account, all of them", func(t *testing.T, s state.Store) {
		other := link(2)
		other.Key.Source, other.Undone, other.DeactivatedAt = "branch", 4, 1_700_000_000_791
		put(t, s, link(1), other, link(3))
		for name, c := range map[string]struct {
			f    state.LinkFilter
			want []identity.Link
		}{
			"all":                {state.LinkFilter{}, []identity.Link{other, link(1), link(3)}},
			"source":             {state.LinkFilter{Source: "corp"}, []identity.Link{link(1), link(3)}},
			"keys":               {state.LinkFilter{Keys: []identity.Key{key(3), other.Key, key(9)}}, []identity.Link{other, link(3)}},
			"key of other":       {state.LinkFilter{Keys: []identity.Key{key(2)}}, nil},
			"accounts":           {state.LinkFilter{AccountIDs: []string{accountID(3), accountID(2), "none"}}, []identity.Link{other, link(3)}},
			"undone":             {state.LinkFilter{Undone: 4}, []identity.Link{other}},
			"undone so often":    {state.LinkFilter{Undone: 5}, nil},
			"off since":          {state.LinkFilter{OffSince: 1_700_000_000_790}, []identity.Link{other}},
			"off since then":     {state.LinkFilter{OffSince: 1_700_000_000_789}, []identity.Link{other, link(1), link(3)}},
			"off since later":    {state.LinkFilter{OffSince: 1_700_000_000_792}, nil},
			"off and account":    {state.LinkFilter{OffSince: 1_700_000_000_789, AccountIDs: []string{accountID(1)}}, []identity.Link{link(1)}},
			"source and account": {state.LinkFilter{Source: "branch", AccountIDs: []string{accountID(1), accountID(2)}}, []identity.Link{other}},
			"key and account":    {state.LinkFilter{Keys: []identity.Key{key(1)}, AccountIDs: []string{accountID(3)}}, nil},
			"empty lists":        {state.LinkFilter{Keys: []identity.Key{}, AccountIDs: []string{}}, []identity.Link{other, link(1), link(3)}},
		} {
			got, err := s.Links(t.Context(), c.f)
			require.NoError(t, err, name)
			require.Equal(t, c.want, got, name)
		}
	})
}

func put(t testing.TB, s state.Store, links ...identity.Link) {
	t.Helper()
	require.NoError(t, s.PutLinks(t.Context(), acquire(t, s), links))
}

func allLinks(t testing.TB, s state.Store) []identity.Link {
	t.Helper()
	got, err := s.Links(t.Context(), state.LinkFilter{})
	require.NoError(t, err)
	return got
}
