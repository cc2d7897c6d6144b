package statetest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

// page walks over all users, each time from where the page before ended.
func page(t testing.TB, s state.Store, size int) []state.Resource {
	t.Helper()
	var out []state.Resource
	f := state.ResourceFilter{Source: pushed, Type: user, Limit: size}
	for {
		got := resources(t, s, f)
		if len(got) == 0 {
			return out
		}
		require.LessOrEqual(t, len(got), size)
		out = append(out, got...)
		f.AfterCreated, f.AfterID = got[len(got)-1].Created, got[len(got)-1].ID
	}
}

func pages(t *testing.T, s state.Store) {
	const n = 25
	var want []state.Resource
	for i := range n {
		want = append(want, write(t, s, userWrite(n-i))) // created in another order than that of ids
		write(t, s, groupWrite(fmt.Sprint("g", i)))
	}
	require.Equal(t, want, resources(t, s, state.ResourceFilter{}))
	require.Equal(t, want, page(t, s, 7))
	require.Equal(t, want, page(t, s, n))
	for skip := 0; skip < n+5; skip += 5 {
		got := resources(t, s, state.ResourceFilter{Source: pushed, Type: user, Skip: skip, Limit: 5})
		require.Equal(t, append([]state.Resource{}, want[min(skip, n):min(skip+5, n)]...), append([]state.Resource{}, got...))
	}
	require.Equal(t, want[20:], resources(t, s, state.ResourceFilter{Skip: 20}))

	want[3] = write(t, s, next(want[3], userWrite(n-3)))
	require.Equal(t, want, page(t, s, 4), "a change does not move it")
	remove(t, s, want[5])
	want = append(want[:5], want[6:]...)
	require.Equal(t, want, page(t, s, 4))
}

func filters(t *testing.T, s state.Store) {
	var all []state.Resource
	for i := range 6 {
		w := userWrite(i)
		w.Values = append(w.Values, state.IndexedValue{Attr: "department", Value: fmt.Sprint(i % 2)})
		all = append(all, write(t, s, w))
	}
	odd := []state.Resource{all[1], all[3], all[5]}
	require.Equal(t, odd, resources(t, s, state.ResourceFilter{Attr: "department", Value: "1"}))
	require.Equal(t, odd[1:2], resources(t, s, state.ResourceFilter{Attr: "department", Value: "1", IDs: []string{all[3].ID, all[2].ID, "none"}}))
	require.Equal(t, odd[1:2], resources(t, s, state.ResourceFilter{Attr: "department", Value: "1", Skip: 1, Limit: 1}))
	require.Equal(t, odd[2:], resources(t, s, state.ResourceFilter{
		Attr: "department", Value: "1", AfterCreated: all[3].Created, AfterID: all[3].ID,
	}))
	require.Empty(t, resources(t, s, state.ResourceFilter{Source: "other", Type: user}))
	require.Empty(t, resources(t, s, state.ResourceFilter{Source: pushed, Type: group, Attr: "department", Value: "1"}))
	write(t, s, groupWrite("g1", member(all[1].ID), member("nobody")))
	write(t, s, groupWrite("g2", member(all[1].ID), member("g1")))
	groupsOf := func(member string) []string {
		return resourceIDs(resources(t, s, state.ResourceFilter{Source: pushed, Type: group, Member: member}))
	}
	require.Equal(t, []string{"g1", "g2"}, groupsOf(all[1].ID))
	require.Equal(t, []string{"g2"}, groupsOf("g1"))
	require.Equal(t, []string{"g1"}, groupsOf("nobody"))
	require.Empty(t, groupsOf("g2"))
}

func eachResources(t *testing.T, s state.Store) {
	want := map[string]state.Resource{}
	for i := range 40 {
		r := write(t, s, userWrite(i))
		if i%3 == 0 {
			r = remove(t, s, r)
		}
		want[r.ID] = r
	}
	write(t, s, groupWrite("g1"))
	got := map[string]state.Resource{}
	require.NoError(t, s.EachResource(t.Context(), pushed, user, func(r state.Resource) error {
		got[r.ID] = r
		return nil
	}))
	require.Equal(t, want, got)
	n, stop := 0, errors.New("stop")
	err := s.EachResource(t.Context(), pushed, user, func(state.Resource) error {
		n++
		return stop
	})
	require.Equal(t, stop, err)
	require.Equal(t, 1, n)
	write(t, s, userWrite(100)) // nothing is held any more
}

func forgetsResource(t *testing.T, s state.Store) {
	l := acquire(t, s)
	u, stays := write(t, s, userWrite(1)), write(t, s, userWrite(2))
	write(t, s, groupWrite("g1", member(u.ID), member(stays.ID)))
	anchor := func(r state.Resource) identity.Key { return identity.Key{Source: pushed, Anchor: r.ID} }
	forget := func(r state.Resource) {
		require.NoError(t, s.ForgetPerson(t.Context(), l, state.Forgetting{Keys: []identity.Key{anchor(r)}}))
	}
	r := remove(t, s, u)
	forget(u)
	forget(stays)
	r.Body = []byte("{}")
	require.Equal(t, []state.Resource{r, stays}, resources(t, s, state.ResourceFilter{Deleted: true}), "what exists is as its source says")
	require.Equal(t, of("g1", state.Member{ID: u.ID, Type: user}, member(stays.ID)), membersOf(t, s, "g1"))
}
