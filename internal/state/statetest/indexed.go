package statetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

func keepsValues(t *testing.T, s state.Store) {
	a := write(t, s, userWrite(1))
	keep := state.ResourceWrite{Resource: a, Expect: a.Version, KeepValues: true}
	keep.Body = []byte(`{"active":false}`)
	b := write(t, s, keep)
	require.Equal(t, keep.Body, b.Body)
	require.Equal(t, []state.Resource{b}, resources(t, s, state.ResourceFilter{Attr: "userName", Value: "user.000001"}))
	require.Equal(t, []string{a.ID}, found(t, s, "externalId", "E000001"))
	another := userWrite(2)
	another.Values[0].Value = "user.000001"
	_, err := s.WriteResource(t.Context(), another)
	require.ErrorIs(t, err, state.ErrTaken)

	_, err = s.WriteResource(t.Context(), keep)
	require.ErrorIs(t, err, state.ErrConflict, "the version has been replaced")
	for name, w := range map[string]state.ResourceWrite{
		"there is none to keep from": {Resource: userWrite(3).Resource, KeepValues: true},
		"both are asked for":         {Resource: b, Expect: b.Version, KeepValues: true, Values: userWrite(1).Values},
	} {
		_, err := s.WriteResource(t.Context(), w)
		require.ErrorIs(t, err, state.ErrInvalid, name)
	}
	gone := state.ResourceWrite{Resource: b, Expect: b.Version, KeepValues: true}
	gone.Deleted = time.Now()
	write(t, s, gone)
	require.Empty(t, found(t, s, "externalId", "E000001"), "what is gone has none")
	write(t, s, another)
}

func resourcesWithDue(t *testing.T, s state.Store) {
	key := func(r state.Resource) identity.Key { return identity.Key{Source: pushed, Anchor: r.ID} }
	first := userWrite(1)
	first.Due = []state.DueMark{{Key: identity.Key{Source: pushed, Anchor: first.ID}, Leaver: true}}
	a, b := write(t, s, first), write(t, s, userWrite(2))
	require.NoError(t, s.MarkDue(t.Context(), []state.DueMark{{Key: identity.Key{Source: "another", Anchor: b.ID}}}))
	due, err := s.DueOf(t.Context(), []identity.Key{key(a)})
	require.NoError(t, err)
	require.Len(t, due, 1)
	with := a
	with.Due = &due[0]
	for name, f := range map[string]state.ResourceFilter{
		"all":         {},
		"of an id":    {IDs: []string{a.ID}},
		"of ids":      {IDs: []string{a.ID, b.ID}},
		"of a value":  {Attr: "userName", Value: "user.000001"},
		"of a page":   {Limit: 1},
		"and deleted": {Deleted: true},
	} {
		f.Source, f.Type, f.WithDue = pushed, user, true
		want := []state.Resource{with}
		if name == "all" || name == "of ids" || name == "and deleted" {
			want = append(want, b)
		}
		require.Equal(t, want, resources(t, s, f), name)
		f.WithDue = false
		want[0] = a
		require.Equal(t, want, resources(t, s, f), name+", not asked")
	}
	require.Equal(t, []state.Resource{b}, resources(t, s, state.ResourceFilter{Source: pushed, Type: user, Attr: "userName", Value: "user.000002", WithDue: true}))
}
