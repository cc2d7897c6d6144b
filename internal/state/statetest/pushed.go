package statetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/state"
)

// The statements are understood by both databases: what is a type to one is a
// number's to the other.
const (
	seedResources = `
with recursive n (i) as (select 1 union all select i + 1 from n where i < $1)
insert into scim_resources (source, type, id, version, body, created_at, modified_at)
select 'hr', 'User', 'u' || cast(1000000 + i as text), 1, '{"userName":"User.' || cast(i as text) || '"}',
    cast($2 as timestamptz), cast($2 as timestamptz)
from n`
	seedNames = `
insert into scim_values (source, type, id, attr, value, is_unique)
select source, type, id, 'userName', 'user.' || id, cast($1 as boolean) from scim_resources`
	seedDepartments = `
insert into scim_values (source, type, id, attr, value, is_unique)
select source, type, id, 'department', 'Everybody', cast($1 as boolean) from scim_resources`
	seedMembers = `
insert into scim_members (source, group_id, member_id, type, display)
select source, 'everybody', id, type, 'Zoë ' || id from scim_resources`
)

// Many is how many people a test of plans needs: a hundred thousand, and fewer where
// the race detector watches.
const Many = many

// Seed puts n users beside each other whose names are unique, all of one department
// and of one group, and none of them due.
func Seed(t testing.TB, s state.Store, n int) {
	t.Helper()
	raw, ok := s.(interface {
		Exec(t testing.TB, statement string, args ...any)
		Instant(at time.Time) any
	})
	require.True(t, ok, "the store takes statements for tests")
	raw.Exec(t, seedResources, n, raw.Instant(at(1)))
	raw.Exec(t, seedNames, true)
	raw.Exec(t, seedDepartments, false)
	raw.Exec(t, seedMembers)
	write(t, s, groupWrite("everybody"))
}

// Lookups are filters that find a few of the users that Seed made.
func Lookups() []state.ResourceFilter {
	return []state.ResourceFilter{
		{Source: pushed, Type: user, Attr: "userName", Value: "user.u1000007"},
		{Source: pushed, Type: user, Attr: "userName", Value: "user.nobody"},
		{Source: pushed, Type: user, Attr: "userName", Value: "user.u1000007", Deleted: true},
		{Source: pushed, Type: group, Member: "u1000007"},
		{Source: pushed, Type: group, Attr: "displayName", Value: "everybody"},
		{Source: pushed, Type: user, IDs: []string{"u1000007", "u1000008"}},
	}
}

func pushedSizes(t *testing.T, open Factory) {
	t.Helper()
	t.Run("Resources/a hundred thousand are listed", func(t *testing.T) {
		if testing.Short() {
			t.Skip("-short")
		}
		t.Parallel()
		s := open(t)
		Seed(t, s, many)
		all := resources(t, s, state.ResourceFilter{})
		require.Len(t, all, many)
		paged := page(t, s, 5000)
		require.Len(t, paged, many)
		each := 0
		require.NoError(t, s.EachResource(t.Context(), pushed, user, func(state.Resource) error {
			each++
			return nil
		}))
		require.Equal(t, many, each)
		for i := range all {
			if all[i].ID != paged[i].ID || i > 0 && all[i].ID <= all[i-1].ID {
				require.Equal(t, all[i], paged[i], "in order of their ids, being of one moment")
			}
		}
		require.Equal(t, all[many-3:many-1], resources(t, s, state.ResourceFilter{
			Source: pushed, Type: user, Attr: "department", Value: "Everybody", Skip: many - 3, Limit: 2,
		}))
		require.Len(t, membersOf(t, s, "everybody"), many)
		require.Len(t, membershipsOf(t, s), many)
	})
}

// BenchLookups measures what a client asks before most writes, among a hundred
// thousand users.
func BenchLookups(b *testing.B, open Factory) {
	b.Helper()
	s := open(b)
	Seed(b, s, 100_000)
	run := func(name string, f state.ResourceFilter, found int) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				got, err := s.Resources(b.Context(), f)
				require.NoError(b, err)
				require.Len(b, got, found)
			}
		})
	}
	names := Lookups()
	run("ByUniqueValue", names[0], 1)
	run("ByMember", names[3], 1)
	run("PageOf100", state.ResourceFilter{Source: pushed, Type: user, Limit: 100}, 100)
	run("PageAfter50000", state.ResourceFilter{
		Source: pushed, Type: user, Limit: 100, AfterCreated: at(1), AfterID: "u1050000",
	}, 100)
	run("PageSkipping50000", state.ResourceFilter{Source: pushed, Type: user, Limit: 100, Skip: 50_000}, 100)
	b.Run("Count", func(b *testing.B) {
		for b.Loop() {
			n, err := s.CountResources(b.Context(), state.ResourceFilter{Source: pushed, Type: user})
			require.NoError(b, err)
			require.Equal(b, 100_000, n)
		}
	})
}
