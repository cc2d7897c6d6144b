package state_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

func TestDecode_GivesWhatWasEncoded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		applied := anyApplied().Draw(t, "applied")
		text, err := state.Encode(&applied)
		require.NoError(t, err)
		got, err := state.DecodeApplied([]byte(text))
		require.NoError(t, err)
		require.Equal(t, applied, got)

		account := anyAccount().Draw(t, "account")
		text, err = state.Encode(account)
		require.NoError(t, err)
		back, err := state.DecodeAccount([]byte(text))
		require.NoError(t, err)
		require.Equal(t, account, back)
	})
}

func TestDecode_ReadsWhatOthersWrote(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"id":"x","username":"u","email":"e","roles":["a","b"],"auth":{"service":"s"},"create_at":-1,"update_at":2,"bot":true}`,
		`{ "id" : "x" }`, `{}`, `{"unknown":[1,{"a":null}],"id":"x"}`, `{"id":"\u0041\n\\"}`, `{"roles":[]}`, `{"roles":null}`,
		`{"auth":{}}`, `{"auth":null,"id":null}`, `{"id":"café"}`,
	} {
		var want identity.Account
		require.NoError(t, json.Unmarshal([]byte(text), &want), text)
		got, err := state.DecodeAccount([]byte(text))
		require.NoError(t, err, text)
		require.Equal(t, &want, got, text)
	}
	for _, text := range []string{
		`{`, `{"id"}`, `{"id":"x"}}`, `{"id":"x",}`, `["a"]`, `{"id":1}`, `{"create_at":1-1}`, `{"bot":maybe}`, `"`, `{"id":"x`, `{"roles":["a"}`,
	} {
		_, err := state.DecodeAccount([]byte(text))
		require.Error(t, err, text)
	}
	for _, text := range []string{"", "{", `{"hash":1}`, `{"active":tru}`, `{"profile":[]}`} {
		_, err := state.DecodeApplied([]byte(text))
		require.Error(t, err, text)
	}
	for _, nothing := range []string{"", "null"} {
		got, err := state.DecodeAccount([]byte(nothing))
		require.NoError(t, err)
		require.Nil(t, got)
	}
}

func anyText() *rapid.Generator[string] {
	return rapid.OneOf(rapid.StringMatching(`[a-z.]{0,8}`), rapid.String(), rapid.SampledFrom([]string{`"`, `\`, "<&>", "\u2028", "\x01", "\x00"}))
}

func anyProfile(t *rapid.T) identity.Profile {
	var p identity.Profile
	for _, a := range identity.AllAttributes() {
		p = p.With(a, anyText().Draw(t, string(a)))
	}
	return p
}

func anyAuth(t *rapid.T) identity.Auth {
	return identity.Auth{Service: anyText().Draw(t, "service"), Data: anyText().Draw(t, "data")}
}

func anyRoles() *rapid.Generator[identity.Roles] {
	return rapid.OneOf(
		rapid.SampledFrom([]identity.Roles{nil, {identity.RoleUser}, {identity.RoleAdmin, identity.RoleUser}}),
		rapid.Map(rapid.SliceOfN(anyText(), 1, 4), func(names []string) identity.Roles { return names }))
}

func anyApplied() *rapid.Generator[identity.Applied] {
	return rapid.Custom(func(t *rapid.T) identity.Applied {
		return identity.Applied{
			Profile: anyProfile(t), Roles: anyRoles().Draw(t, "roles"), Auth: anyAuth(t), Active: rapid.Bool().Draw(t, "active"),
			Owned:    identity.Attributes(rapid.Uint16().Draw(t, "owned")),
			Username: anyText().Draw(t, "username"), MatchKey: anyText().Draw(t, "match"), Manager: anyText().Draw(t, "manager"), Hash: anyText().Draw(t, "hash"),
			Custom:  rapid.SampledFrom([]map[string]string{nil, {"a": "b"}, {"Cost centre": "<&>", "é": ""}}).Draw(t, "custom"),
			Picture: anyText().Draw(t, "picture"), PictureAt: rapid.Int64().Draw(t, "picture at"), PictureRefused: anyText().Draw(t, "refused"),
		}
	})
}

func anyAccount() *rapid.Generator[*identity.Account] {
	return rapid.Custom(func(t *rapid.T) *identity.Account {
		return &identity.Account{
			ID: anyText().Draw(t, "id"), Profile: anyProfile(t), Roles: anyRoles().Draw(t, "roles"), Auth: anyAuth(t),
			CreateAt: rapid.Int64().Draw(t, "create"), UpdateAt: rapid.Int64().Draw(t, "update"), DeleteAt: rapid.Int64().Draw(t, "delete"),
			Bot: rapid.Bool().Draw(t, "bot"), Remote: rapid.Bool().Draw(t, "remote"), MagicLink: rapid.Bool().Draw(t, "magic"),
			PictureAt: rapid.Int64().Draw(t, "picture at"),
		}
	})
}
