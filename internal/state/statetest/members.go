package statetest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/state"
)

func membershipsOf(t testing.TB, s state.Store, members ...string) []state.Member {
	t.Helper()
	got, err := s.Memberships(t.Context(), pushed, members)
	require.NoError(t, err)
	return got
}

func groups(t *testing.T, open Factory) {
	t.Helper()
	open.test(t, "Members/who joins is one, whether it exists or not", func(t *testing.T, s state.Store) {
		nested := state.Member{ID: "g2", Type: group}
		unsaid := state.Member{ID: "later"}
		write(t, s, groupWrite("g1", unsaid, member("a"), nested, member("a")))
		write(t, s, groupWrite("g2", member("a")))
		require.Equal(t, of("g1", member("a"), nested, unsaid), membersOf(t, s, "g1"))
		require.Equal(t, append(of("g1", member("a"), nested, unsaid), of("g2", member("a"))...), membersOf(t, s, "g2", "g1", "g3"))
		require.Empty(t, membersOf(t, s))
		require.Equal(t, append(of("g1", member("a")), of("g2", member("a"))...), membershipsOf(t, s, "a"))
		require.Equal(t, append(of("g1", nested), of("g1", unsaid)...), membershipsOf(t, s, "later", "g2"))
		require.Len(t, membershipsOf(t, s), 4)
		other, err := s.Members(t.Context(), "other", []string{"g1"})
		require.NoError(t, err)
		require.Empty(t, other)
	})
	open.test(t, "Members/joining again and leaving twice are nothing", func(t *testing.T, s state.Store) {
		w := groupWrite("g1", member("a"), member("b"), member("c"))
		r := write(t, s, w)
		w.Join = []state.Member{{ID: "a", Display: "other"}, member("d"), {ID: "b", Display: "other"}}
		w.Leave = []state.Member{{ID: "c"}, {ID: "none"}, {ID: "c"}, {ID: "b"}}
		r = write(t, s, next(r, w))
		require.Equal(t, of("g1", member("a"), member("b"), member("d")), membersOf(t, s, "g1"), "who leaves and joins stays")
		w.Join = nil
		r = write(t, s, next(r, w))
		require.Equal(t, of("g1", member("a"), member("d")), membersOf(t, s, "g1"))
		require.Equal(t, int64(3), r.Version)
	})
	open.test(t, "Members/stay when the group is renamed", func(t *testing.T, s state.Store) {
		r := write(t, s, groupWrite("g1", member("a")))
		w := next(r, groupWrite("g1"))
		w.Body, w.Values = []byte(`{"displayName":"new"}`), []state.IndexedValue{{Attr: "displayName", Value: "new"}}
		write(t, s, w)
		require.Equal(t, of("g1", member("a")), membersOf(t, s, "g1"))
		require.Equal(t, []string{"g1"}, resourceIDs(resources(t, s, state.ResourceFilter{Source: pushed, Type: group, Attr: "displayName", Value: "new"})))
	})
	open.test(t, "Members/all leave, and those who join are as they join", func(t *testing.T, s state.Store) {
		write(t, s, groupWrite("g2", member("a"), member("x")))
		r := write(t, s, groupWrite("g1", member("a"), member("b"), member("c")))
		w := next(r, groupWrite("g1", state.Member{ID: "b", Display: "anew"}, member("c"), member("d")))
		w.LeaveAll, w.Leave = true, []state.Member{{ID: "d"}}
		r = write(t, s, w)
		require.Equal(t, of("g1", state.Member{ID: "b", Display: "anew"}, member("c"), member("d")), membersOf(t, s, "g1"))
		w = next(r, groupWrite("g1"))
		w.LeaveAll = true
		write(t, s, w)
		require.Empty(t, membersOf(t, s, "g1"))
		require.Len(t, membersOf(t, s, "g2"), 2)
	})
	open.test(t, "Members/ten thousand come and go in one write", func(t *testing.T, s state.Store) {
		const n = 10_000
		all := make([]state.Member, n)
		for i := range all {
			all[i] = member(fmt.Sprintf("m%06d", i))
		}
		r := write(t, s, groupWrite("g1", all...))
		require.Equal(t, of("g1", all...), membersOf(t, s, "g1"))
		w := next(r, groupWrite("g1"))
		w.Leave = all[n/4:]
		r = write(t, s, w)
		require.Equal(t, of("g1", all[:n/4]...), membersOf(t, s, "g1"))
		w = next(r, groupWrite("g1", all[n/2:]...))
		w.LeaveAll = true
		write(t, s, w)
		require.Equal(t, of("g1", all[n/2:]...), membersOf(t, s, "g1"))
		require.Len(t, membershipsOf(t, s), n/2)
	})
}
