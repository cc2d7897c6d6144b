package identity_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
)

func TestMemberships(t *testing.T) {
	t.Parallel()
	type (
		one  = identity.Membership
		many = identity.Memberships
	)
	t.Run("a team stands before its channels, each space once, with the highest right", func(t *testing.T) {
		t.Parallel()
		in := []one{{Space: "eng/dev"}, {Space: "eng"}, {Space: "eng/dev", Admin: true}, {Space: "eng/dev"}, {Space: "a"}}
		require.Equal(t, many{{Space: "a"}, {Space: "eng"}, {Space: "eng/dev", Admin: true}}, identity.NewMemberships(in...))
		require.Equal(t, "eng/dev", in[0].Space, "the operand is left alone")
		require.Empty(t, identity.NewMemberships())
	})
	t.Run("with and without leave their operand alone", func(t *testing.T) {
		t.Parallel()
		m := many{{Space: "a"}, {Space: "c"}}
		require.Equal(t, many{{Space: "a"}, {Space: "b", ID: "1"}, {Space: "c"}}, m.With(one{Space: "b", ID: "1"}))
		require.Equal(t, many{{Space: "a", Admin: true}, {Space: "c"}}, m.With(one{Space: "a", Admin: true}))
		require.Equal(t, many{{Space: "c"}}, m.Without("a"))
		require.True(t, m.Without("x").Equal(m))
		require.Equal(t, many{{Space: "a"}, {Space: "c"}}, m)
		_, found := m.Of("b")
		require.False(t, found)
	})
	t.Run("a channel belongs to its team", func(t *testing.T) {
		t.Parallel()
		team, channel := identity.TeamOf("eng/dev")
		require.Equal(t, "eng", team)
		require.True(t, channel)
		team, channel = identity.TeamOf("eng")
		require.Equal(t, "eng", team)
		require.False(t, channel)
	})
}
