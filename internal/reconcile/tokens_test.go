package reconcile_test

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

func TestTokens_only_a_digest_of_the_secret_is_kept(t *testing.T) {
	t.Parallel()
	s := newWorld(t).store()
	defer s.Close()
	made, secret, err := reconcile.CreateToken(t.Context(), s, operator, reconcile.NewToken{
		Source: "okta", Name: "main", Scopes: []string{"users"}, Networks: []string{"192.0.2.0/24"}, Lifetime: time.Hour,
	})
	require.NoError(t, err)
	list, err := s.Tokens(t.Context(), "okta")
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, made.ID, list[0].ID)
	require.Equal(t, sha256.Sum256([]byte(secret)), list[0].Hash)
	require.Equal(t, time.Hour, list[0].ExpiresAt.Sub(list[0].CreatedAt))
	require.Equal(t, "root@host", list[0].CreatedBy)

	runs, err := s.Runs(t.Context(), state.RunFilter{})
	require.NoError(t, err)
	require.Len(t, runs, 1)
	require.Equal(t, []string{"token", "works council", "root@host"}, []string{runs[0].Kind, runs[0].Reason, runs[0].RequestedBy})
	require.Contains(t, runs[0].Message, "created token main ("+made.ID+") of source okta for users from 192.0.2.0/24 until ")
	require.NotContains(t, runs[0].Message, secret)
}

func TestTokens_a_rotated_one_has_the_same_rights_and_life(t *testing.T) {
	t.Parallel()
	s := newWorld(t).store()
	defer s.Close()
	first, _, err := reconcile.CreateToken(t.Context(), s, operator, reconcile.NewToken{
		Source: "okta", Name: "main", Scopes: []string{"groups", "read"}, Networks: []string{"192.0.2.0/24"}, Lifetime: 1000 * time.Hour,
	})
	require.NoError(t, err)
	next, before, secret, err := reconcile.RotateToken(t.Context(), s, operator, "", "main", time.Hour, 0)
	require.NoError(t, err)
	require.Equal(t, first.ID, before.ID)
	require.Equal(t, time.Hour, before.ExpiresAt.Sub(next.CreatedAt))
	require.Equal(t, "main#2", next.Name)
	require.Equal(t, first.Scopes, next.Scopes)
	require.Equal(t, first.Networks, next.Networks)
	require.Equal(t, 1000*time.Hour, next.ExpiresAt.Sub(next.CreatedAt))
	require.Equal(t, sha256.Sum256([]byte(secret)), next.Hash)

	// The youngest was revoked; the one before it was made to expire, which is not
	// how long the next one is to live.
	_, err = reconcile.RevokeToken(t.Context(), s, operator, "okta", next.ID)
	require.NoError(t, err)
	third, before, _, err := reconcile.RotateToken(t.Context(), s, operator, "okta", first.ID, 2*time.Hour, 0)
	require.NoError(t, err)
	require.Equal(t, "main#3", third.Name)
	require.Equal(t, 1000*time.Hour, third.ExpiresAt.Sub(third.CreatedAt))
	require.Equal(t, first.ID, before.ID)
	require.Less(t, before.ExpiresAt.Sub(third.CreatedAt), 2*time.Hour, "an overlap makes nothing live longer")
}

func TestTokens_what_is_refused_changes_nothing(t *testing.T) {
	t.Parallel()
	s := newWorld(t).store()
	defer s.Close()
	for _, source := range []string{"okta", "entra"} {
		_, _, err := reconcile.CreateToken(t.Context(), s, operator, reconcile.NewToken{Source: source, Name: "main"})
		require.NoError(t, err)
	}
	for _, n := range []reconcile.NewToken{
		{Source: "okta", Name: "main"},
		{Source: "okta"},
		{Source: "okta", Name: "a#2"},
		{Source: "okta", Name: "a b"},
		{Source: "okta", Name: "x", Scopes: []string{"admin"}},
		{Source: "okta", Name: "x", Networks: []string{"192.0.2.1"}},
		{Source: "okta", Name: "x", Networks: []string{"192.0.2.1/24"}},
		{Source: "okta", Name: "x", Lifetime: -1},
	} {
		_, secret, err := reconcile.CreateToken(t.Context(), s, operator, n)
		require.ErrorIs(t, err, reconcile.ErrRefused, "%+v", n)
		require.Empty(t, secret)
	}
	for _, name := range []string{"main", "nobody", "main#2"} {
		_, _, _, err := reconcile.RotateToken(t.Context(), s, operator, "", name, 0, 0)
		require.ErrorIs(t, err, reconcile.ErrRefused, name)
		_, err = reconcile.RevokeToken(t.Context(), s, operator, "", name)
		require.ErrorIs(t, err, reconcile.ErrRefused, name)
	}
	list, err := s.Tokens(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, list, 2)
	runs, err := s.Runs(t.Context(), state.RunFilter{})
	require.NoError(t, err)
	require.Len(t, runs, 2)
}

func TestTokens_a_name_is_free_again_once_its_token_is_revoked(t *testing.T) {
	t.Parallel()
	s := newWorld(t).store()
	defer s.Close()
	for range 2 {
		made, _, err := reconcile.CreateToken(t.Context(), s, operator, reconcile.NewToken{Source: "okta", Name: "main"})
		require.NoError(t, err)
		gone, err := reconcile.RevokeToken(t.Context(), s, operator, "", "main")
		require.NoError(t, err)
		require.Equal(t, made.ID, gone.ID)
		require.False(t, gone.RevokedAt.IsZero())
	}
}
