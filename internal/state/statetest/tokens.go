package statetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/state"
)

func token(id, source, name string, minute int) state.Token {
	return state.Token{
		ID: "t_" + id, Source: source, Name: name, Hash: [32]byte{1, 0, byte(minute), 31: 255},
		Scopes: []string{"users", "read"}, Networks: []string{"10.0.0.0/8", "2001:db8::/32"},
		CreatedAt: at(minute), CreatedBy: "root@host", ExpiresAt: at(minute + 1000),
	}
}

func tokensOf(t testing.TB, s state.Store, source string) []state.Token {
	t.Helper()
	got, err := s.Tokens(t.Context(), source)
	require.NoError(t, err)
	return got
}

func tokens(t *testing.T, open Factory) {
	t.Helper()
	open.test(t, "Tokens/come back as they were written, in order", func(t *testing.T, s state.Store) {
		a, b, c, d := token("a", "hr", "entra", 5), token("b", "hr", "okta", 3), token("c", "hr", "spare", 3), token("d", "crm", "entra", 9)
		d.Scopes, d.Networks, d.ExpiresAt = nil, nil, time.Time{}
		d.UsedAt, d.UsedFrom, d.RevokedAt = at(10), "10.0.0.1", at(11)
		for _, x := range []state.Token{a, c, b, d} {
			require.NoError(t, s.CreateToken(t.Context(), x))
		}
		require.Equal(t, []state.Token{d, b, c, a}, tokensOf(t, s, ""))
		require.Equal(t, []state.Token{b, c, a}, tokensOf(t, s, "hr"))
		require.Empty(t, tokensOf(t, s, "none"))
	})
	open.test(t, "CreateToken/a name is free once it is revoked", func(t *testing.T, s state.Store) {
		a := token("a", "hr", "entra", 1)
		require.NoError(t, s.CreateToken(t.Context(), a))
		b := token("b", "hr", "entra", 2)
		require.ErrorIs(t, s.CreateToken(t.Context(), b), state.ErrTaken)
		require.NoError(t, s.CreateToken(t.Context(), token("c", "crm", "entra", 2)), "in another source")
		require.NoError(t, s.CreateToken(t.Context(), token("d", "hr", "Entra", 2)), "byte by byte")
		require.ErrorIs(t, s.CreateToken(t.Context(), token("a", "hr", "other", 2)), state.ErrConflict)
		a.RevokedAt = at(50)
		require.NoError(t, s.ChangeToken(t.Context(), a))
		require.NoError(t, s.CreateToken(t.Context(), b))
		a.RevokedAt = time.Time{}
		require.ErrorIs(t, s.ChangeToken(t.Context(), a), state.ErrTaken)
		require.Len(t, tokensOf(t, s, "hr"), 3)
		require.Equal(t, at(50), tokensOf(t, s, "hr")[0].RevokedAt)
	})
	open.test(t, "ChangeToken/changes the two times only", func(t *testing.T, s state.Store) {
		a := token("a", "hr", "entra", 1)
		require.NoError(t, s.CreateToken(t.Context(), a))
		changed := a
		changed.ExpiresAt, changed.RevokedAt = time.Time{}, at(7)
		other := changed
		other.Name, other.Hash, other.Scopes = "x", [32]byte{9}, nil
		require.NoError(t, s.ChangeToken(t.Context(), other))
		require.Equal(t, []state.Token{changed}, tokensOf(t, s, "hr"))
		require.ErrorIs(t, s.ChangeToken(t.Context(), token("b", "hr", "entra", 1)), state.ErrNotFound)
	})
	open.test(t, "UseToken/notes the last use", func(t *testing.T, s state.Store) {
		a := token("a", "hr", "entra", 1)
		require.NoError(t, s.CreateToken(t.Context(), a))
		require.NoError(t, s.UseToken(t.Context(), a.ID, "10.0.0.2", at(20)))
		require.NoError(t, s.UseToken(t.Context(), a.ID, "10.0.0.1", at(19)))
		require.NoError(t, s.UseToken(t.Context(), "t_none", "10.0.0.1", at(19)))
		a.UsedAt, a.UsedFrom = at(20), "10.0.0.2"
		require.Equal(t, []state.Token{a}, tokensOf(t, s, "hr"))
	})
	open.test(t, "CreateToken/what cannot be kept is refused", func(t *testing.T, s state.Store) {
		for name, spoil := range map[string]func(*state.Token){
			"no id":     func(x *state.Token) { x.ID = "" },
			"no name":   func(x *state.Token) { x.Name = "" },
			"no source": func(x *state.Token) { x.Source = "" },
			"no hash":   func(x *state.Token) { x.Hash = [32]byte{} },
			"text":      func(x *state.Token) { x.CreatedBy = "\x00" },
			"a scope":   func(x *state.Token) { x.Scopes = []string{"\xff"} },
			"a network": func(x *state.Token) { x.Networks = []string{"\xff"} },
		} {
			x := token("a", "hr", "entra", 1)
			spoil(&x)
			require.ErrorIs(t, s.CreateToken(t.Context(), x), state.ErrInvalid, name)
		}
		require.ErrorIs(t, s.UseToken(t.Context(), "a", "\xff", at(1)), state.ErrInvalid)
		require.Empty(t, tokensOf(t, s, ""))
		now := token("a", "hr", "entra", 1)
		now.CreatedAt = time.Time{}
		require.NoError(t, s.CreateToken(t.Context(), now))
		require.False(t, tokensOf(t, s, "")[0].CreatedAt.IsZero(), "the store's clock")
	})
}
