package statetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

const (
	pushed = "hr"
	user   = "User"
	group  = "Group"
)

// userWrite makes a new user with a unique name and another value.
func userWrite(n int) state.ResourceWrite {
	return state.ResourceWrite{
		Resource: state.Resource{Source: pushed, Type: user, ID: fmt.Sprintf("u%06d", n), Body: fmt.Appendf(nil, `{"userName":"User.%06d"}`, n)},
		Values: []state.IndexedValue{
			{Attr: "userName", Value: fmt.Sprintf("user.%06d", n), Unique: true},
			{Attr: "externalId", Value: fmt.Sprintf("E%06d", n)},
		},
	}
}

func groupWrite(id string, members ...state.Member) state.ResourceWrite {
	return state.ResourceWrite{
		Resource: state.Resource{Source: pushed, Type: group, ID: id, Body: []byte(`{"displayName":"` + id + `"}`)},
		Values:   []state.IndexedValue{{Attr: "displayName", Value: id}},
		Join:     members,
	}
}

func member(id string) state.Member { return state.Member{ID: id, Type: user, Display: "Zoë " + id} }

// of gives members as they are kept.
func of(group string, members ...state.Member) []state.Member {
	out := slices.Clone(members)
	for i := range out {
		out[i].Group = group
	}
	return out
}

func write(t testing.TB, s state.Store, w state.ResourceWrite) state.Resource {
	t.Helper()
	r, err := s.WriteResource(t.Context(), w)
	require.NoError(t, err)
	return r
}

// next gives w as the write that replaces r.
func next(r state.Resource, w state.ResourceWrite) state.ResourceWrite {
	w.Expect = r.Version
	return w
}

func remove(t testing.TB, s state.Store, r state.Resource) state.Resource {
	t.Helper()
	r.Deleted = time.Now()
	return write(t, s, state.ResourceWrite{Resource: r, Expect: r.Version})
}

func resources(t testing.TB, s state.Store, f state.ResourceFilter) []state.Resource {
	t.Helper()
	if f.Source == "" {
		f.Source, f.Type = pushed, user
	}
	got, err := s.Resources(t.Context(), f)
	require.NoError(t, err)
	if f.Skip == 0 && f.Limit == 0 && f.AfterCreated.IsZero() {
		n, err := s.CountResources(t.Context(), f)
		require.NoError(t, err)
		require.Equal(t, len(got), n)
	}
	return got
}

func found(t testing.TB, s state.Store, attr, value string) []string {
	t.Helper()
	return resourceIDs(resources(t, s, state.ResourceFilter{Attr: attr, Value: value}))
}

func resourceIDs(list []state.Resource) []string {
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	return ids
}

func membersOf(t testing.TB, s state.Store, groups ...string) []state.Member {
	t.Helper()
	got, err := s.Members(t.Context(), pushed, groups)
	require.NoError(t, err)
	return got
}

func pushes(t *testing.T, open Factory) {
	t.Helper()
	open.test(t, "WriteResource/a new one comes back as it was written", createsResource)
	open.test(t, "WriteResource/a version is replaced once", replacesResource)
	open.test(t, "WriteResource/only what exists in the version is replaced", refusesVersions)
	open.test(t, "WriteResource/a unique value is one resource's", uniqueValues)
	open.test(t, "WriteResource/values are kept with the version that has them", keepsValues)
	open.test(t, "Resources/with what is due of each", resourcesWithDue)
	open.test(t, "WriteResource/a value moves only when it is free", func(t *testing.T, s state.Store) {
		a, b := write(t, s, userWrite(1)), write(t, s, userWrite(2))
		wanted := next(b, userWrite(2))
		wanted.Values[0].Value = "user.000001"
		_, err := s.WriteResource(t.Context(), wanted)
		require.ErrorIs(t, err, state.ErrTaken)
		require.Equal(t, []state.Resource{a, b}, resources(t, s, state.ResourceFilter{}), "nothing changed")
		free := next(a, userWrite(1))
		free.Values[0].Value = "somebody.else"
		write(t, s, free)
		write(t, s, wanted)
		require.Equal(t, []string{b.ID}, found(t, s, "userName", "user.000001"))
		require.Empty(t, found(t, s, "userName", "user.000002"))
	})
	open.test(t, "WriteResource/a value becomes unique and common again", func(t *testing.T, s state.Store) {
		a, b := userWrite(1), userWrite(2)
		b.Values = append(b.Values, state.IndexedValue{Attr: "externalId", Value: "E000001"})
		r := write(t, s, a)
		write(t, s, b)
		a.Values[1].Unique = true
		r = write(t, s, next(r, a))
		b.ID, b.Values = "u3", []state.IndexedValue{{Attr: "externalId", Value: "E000001"}}
		write(t, s, b)
		require.Len(t, found(t, s, "externalId", "E000001"), 3, "those that are not unique stand beside it")
		b.ID, b.Values[0].Unique = "u4", true
		_, err := s.WriteResource(t.Context(), b)
		require.ErrorIs(t, err, state.ErrTaken)
		a.Values[1].Unique = false
		write(t, s, next(r, a))
		write(t, s, b)
	})
	open.test(t, "WriteResource/what is taken away leaves a tombstone", tombstones)
	open.test(t, "WriteResource/what cannot be kept is refused", refusesWrites)
	open.test(t, "Resources/pages follow each other", pages)
	open.test(t, "Resources/filters all have to match", filters)
	open.test(t, "EachResource/gives tombstones too, and stops when told", eachResources)
	open.test(t, "ForgetPerson/a tombstone says nothing about them any more", forgetsResource)
}

func createsResource(t *testing.T, s state.Store) {
	before, err := s.Now(t.Context())
	require.NoError(t, err)
	w := userWrite(1)
	w.Body = []byte(` {"a" : "<&> 日本 \u0000 ` + strings.Repeat("x", 10_000) + `" } `)
	w.Created, w.Modified, w.Version = at(1), at(2), 9 // not the caller's to say
	r := write(t, s, w)
	after, err := s.Now(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(1), r.Version)
	require.Equal(t, r.Created, r.Modified)
	require.False(t, r.Created.Before(before) || r.Created.After(after), "by the store's clock: %s", r.Created)
	require.Equal(t, time.UTC, r.Created.Location())
	require.Equal(t, w.Body, r.Body)
	require.Equal(t, []state.Resource{r}, resources(t, s, state.ResourceFilter{}))
	require.Equal(t, []string{r.ID}, found(t, s, "userName", "user.000001"))
	require.Equal(t, []string{r.ID}, found(t, s, "externalId", "E000001"))
	require.Empty(t, found(t, s, "userName", "User.000001"), "the store does not fold")
	require.Empty(t, found(t, s, "externalId", "user.000001"))
}

func replacesResource(t *testing.T, s state.Store) {
	first := write(t, s, userWrite(1))
	w := next(first, userWrite(1))
	w.Body = []byte(`{"active":false}`)
	w.Values = []state.IndexedValue{{Attr: "userName", Value: "user.000001", Unique: true}, {Attr: "externalId", Value: "other"}, {Attr: "manager", Value: ""}}
	second := write(t, s, w)
	require.Equal(t, int64(2), second.Version)
	require.Equal(t, first.Created, second.Created)
	require.False(t, second.Modified.Before(first.Modified))
	require.Equal(t, []state.Resource{second}, resources(t, s, state.ResourceFilter{}))
	require.Empty(t, found(t, s, "externalId", "E000001"))
	require.Equal(t, []string{first.ID}, found(t, s, "externalId", "other"))
	require.Equal(t, []string{first.ID}, found(t, s, "userName", "user.000001"))
	require.Equal(t, []string{first.ID}, found(t, s, "manager", ""))
	_, err := s.WriteResource(t.Context(), w)
	require.ErrorIs(t, err, state.ErrConflict)
	w.Expect, w.Values = 2, nil
	third := write(t, s, w)
	require.Equal(t, int64(3), third.Version)
	require.Empty(t, found(t, s, "userName", "user.000001"))
	write(t, s, userWrite(1001)) // others are as they were
	require.Equal(t, []string{"u001001"}, found(t, s, "userName", "user.001001"))
}

func refusesVersions(t *testing.T, s state.Store) {
	r := write(t, s, userWrite(1))
	refused := func(w state.ResourceWrite, want error) {
		t.Helper()
		w.Values = []state.IndexedValue{{Attr: "userName", Value: "changed", Unique: true}}
		w.Join, w.Due = []state.Member{member("x")}, []state.DueMark{{Key: identity.Key{Source: pushed, Anchor: "x"}}}
		_, err := s.WriteResource(t.Context(), w)
		require.ErrorIs(t, err, want)
	}
	refused(userWrite(1), state.ErrConflict)
	w := next(r, userWrite(1))
	w.Expect = 2
	refused(w, state.ErrConflict)
	w = next(r, userWrite(2))
	refused(w, state.ErrNotFound)
	w = next(r, userWrite(1))
	w.Type = group
	refused(w, state.ErrNotFound)
	w.Expect = 0 // one id, one resource of the source
	refused(w, state.ErrConflict)
	w = next(r, userWrite(1))
	w.Source = "other"
	w.Due = nil
	_, err := s.WriteResource(t.Context(), w)
	require.ErrorIs(t, err, state.ErrNotFound)
	require.Equal(t, []state.Resource{r}, resources(t, s, state.ResourceFilter{}))
	require.Equal(t, []string{r.ID}, found(t, s, "userName", "user.000001"))
	require.Empty(t, membersOf(t, s, r.ID))
	require.Empty(t, due(t, s))
}

func uniqueValues(t *testing.T, s state.Store) {
	r := write(t, s, userWrite(1))
	w := userWrite(2)
	w.Values = append(w.Values, state.IndexedValue{Attr: "emails", Value: "secret@example.org", Unique: true})
	second := write(t, s, w)
	w.ID = "u3"
	w.Values = w.Values[2:]
	_, err := s.WriteResource(t.Context(), w)
	require.ErrorIs(t, err, state.ErrTaken)
	require.ErrorContains(t, err, "emails")
	require.NotContains(t, err.Error(), "secret")

	same := userWrite(3)
	same.Values = slices.Clone(userWrite(1).Values)
	_, err = s.WriteResource(t.Context(), same)
	require.ErrorIs(t, err, state.ErrTaken)
	require.ErrorContains(t, err, "userName")
	elsewhere := same
	elsewhere.Source = "other"
	write(t, s, elsewhere)
	otherType := same
	otherType.Type, otherType.ID = group, "g1"
	write(t, s, otherType)
	require.Equal(t, []state.Resource{r, second}, resources(t, s, state.ResourceFilter{}))
	remove(t, s, r)
	write(t, s, same)
	require.Equal(t, []string{same.ID}, found(t, s, "userName", "user.000001"))
}

func tombstones(t *testing.T, s state.Store) {
	u := write(t, s, userWrite(1))
	write(t, s, groupWrite("g1", member(u.ID)))
	g := write(t, s, groupWrite("g2", member(u.ID), member("x")))
	gone := u
	gone.Deleted, gone.Body = at(1), []byte(`{"who":"it was"}`)
	w := next(u, userWrite(1))
	w.Resource, w.Join = gone, []state.Member{member("y")}
	w.Due = []state.DueMark{{Key: identity.Key{Source: pushed, Anchor: u.ID}, Leaver: true}}
	r := write(t, s, w)
	require.Equal(t, int64(2), r.Version)
	require.Equal(t, r.Modified, r.Deleted, "by the store's clock")
	require.Equal(t, u.Created, r.Created)
	require.Len(t, due(t, s), 1)

	require.Empty(t, resources(t, s, state.ResourceFilter{}))
	require.Equal(t, []state.Resource{r}, resources(t, s, state.ResourceFilter{Deleted: true}))
	require.Equal(t, []state.Resource{r}, resources(t, s, state.ResourceFilter{Deleted: true, IDs: []string{u.ID}}))
	require.Empty(t, resources(t, s, state.ResourceFilter{Deleted: true, Attr: "userName", Value: "user.000001"}))
	require.Equal(t, of("g1", member(u.ID)), membersOf(t, s, "g1", u.ID), "it is still a member, and has none")
	for _, expect := range []int64{0, 1, 2} {
		again := userWrite(1)
		again.Expect = expect
		_, err := s.WriteResource(t.Context(), again)
		if expect == 0 {
			require.ErrorIs(t, err, state.ErrConflict)
		} else {
			require.ErrorIs(t, err, state.ErrNotFound)
		}
	}
	remove(t, s, g)
	require.Empty(t, membersOf(t, s, "g2"))
	require.Len(t, membersOf(t, s, "g1"), 1)
	require.Equal(t, []string{"g1"}, resourceIDs(resources(t, s, state.ResourceFilter{Source: pushed, Type: group, Member: u.ID})))
}

func refusesWrites(t *testing.T, s state.Store) {
	long := strings.Repeat("x", 256)
	for name, spoil := range map[string]func(*state.ResourceWrite){
		"no source":         func(w *state.ResourceWrite) { w.Source = "" },
		"no type":           func(w *state.ResourceWrite) { w.Type = "" },
		"no id":             func(w *state.ResourceWrite) { w.ID = "" },
		"a long id":         func(w *state.ResourceWrite) { w.ID = long },
		"a NUL in the id":   func(w *state.ResourceWrite) { w.ID = "a\x00" },
		"a NUL in the body": func(w *state.ResourceWrite) { w.Body = []byte("a\x00") },
		"a lone byte":       func(w *state.ResourceWrite) { w.Body = []byte("caf\xe9") },
		"a value":           func(w *state.ResourceWrite) { w.Values[0].Value = "caf\xe9" },
		"a long value":      func(w *state.ResourceWrite) { w.Values[0].Value = strings.Repeat("x", state.MaxValueBytes+1) },
		"no attribute":      func(w *state.ResourceWrite) { w.Values[0].Attr = "" },
		"a member":          func(w *state.ResourceWrite) { w.Join = []state.Member{{ID: "x"}, {ID: "a\x00"}} },
		"a member's name":   func(w *state.ResourceWrite) { w.Join = []state.Member{{ID: "a", Display: "\xff"}} },
		"no member":         func(w *state.ResourceWrite) { w.Leave = []state.Member{{}} },
		"another's member":  func(w *state.ResourceWrite) { w.Join = []state.Member{{Group: "another", ID: "x"}} },
		"a version":         func(w *state.ResourceWrite) { w.Expect = -1 },
		"a mark":            func(w *state.ResourceWrite) { w.Due = []state.DueMark{{Key: identity.Key{Source: pushed}}} },
		"another's mark":    func(w *state.ResourceWrite) { w.Due = []state.DueMark{{Key: key(1)}} },
	} {
		w := userWrite(1)
		spoil(&w)
		_, err := s.WriteResource(t.Context(), w)
		require.ErrorIs(t, err, state.ErrInvalid, name)
	}
	require.Empty(t, resources(t, s, state.ResourceFilter{Deleted: true}))
	for name, f := range map[string]state.ResourceFilter{
		"no source": {Type: user}, "no type": {Source: pushed}, "an id": {Source: pushed, Type: user, IDs: []string{"\x00"}},
		"a value": {Source: pushed, Type: user, Attr: "a", Value: "\xff"}, "less than none": {Source: pushed, Type: user, Limit: -1},
	} {
		_, err := s.Resources(t.Context(), f)
		require.ErrorIs(t, err, state.ErrInvalid, name)
		_, err = s.CountResources(t.Context(), f)
		require.ErrorIs(t, err, state.ErrInvalid, name)
	}
	widest := userWrite(1)
	widest.ID, widest.Source = noise(state.MaxIDBytes), noise(state.MaxKeyBytes)
	widest.Values = []state.IndexedValue{{Attr: noise(state.MaxIDBytes), Value: noise(state.MaxValueBytes), Unique: true}}
	widest.Join = []state.Member{{ID: noise(state.MaxIDBytes)}}
	write(t, s, widest)
}

// noise gives text that cannot be compressed, so that an index really holds it.
func noise(n int) string {
	b := make([]byte, n)
	x := uint32(n) //nolint:gosec // small
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = '!' + byte(x>>24)%90
	}
	return string(b)
}
