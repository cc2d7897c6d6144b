package daemon_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

func TestExamineTokens_warns_while_there_is_time_to_make_another(t *testing.T) {
	t.Parallel()
	c := parse(t, `version: 1
mattermost: {url: "https://chat.example.com", token: stub}
state: {url: "sqlite:`+t.TempDir()+`/state.db"}
sources: [{name: okta, type: scim}, {name: entra, type: scim, jwt: {issuer: i, audience: a, jwks_url: "https://x"}}]
`)
	store, err := daemon.OpenReady(t.Context(), c)
	require.NoError(t, err)
	defer store.Close()
	now, err := store.Now(t.Context())
	require.NoError(t, err)
	find := func(source string) identity.Finding {
		for _, f := range daemon.ExamineTokens(t.Context(), c, store) {
			if f.Part == "tokens of "+source {
				return f
			}
		}
		t.Fatal("no finding of", source)
		return identity.Finding{}
	}
	add := func(name string, expires, revoked time.Time) {
		require.NoError(t, store.CreateToken(t.Context(), state.Token{
			ID: "t_" + name, Source: "okta", Name: name, Hash: [32]byte{byte(len(name)), name[0]}, CreatedAt: now, ExpiresAt: expires,
		}))
		if !revoked.IsZero() {
			require.NoError(t, store.ChangeToken(t.Context(), state.Token{ID: "t_" + name, ExpiresAt: expires, RevokedAt: revoked}))
		}
	}
	require.Equal(t, identity.LevelOK, find("entra").Level, "its issuer signs tokens")
	require.Contains(t, find("okta").Text, "there is none in force")
	add("expired", now.Add(-time.Hour), time.Time{})
	add("revoked", time.Time{}, now)
	require.Equal(t, identity.LevelWarn, find("okta").Level)
	add("soon", now.Add(10*24*time.Hour), time.Time{})
	require.Equal(t, identity.LevelWarn, find("okta").Level)
	require.Contains(t, find("okta").Text, "the last one, soon, expires on "+now.Add(10*24*time.Hour).UTC().Format("2006-01-02"))
	require.Equal(t, "mmsync token rotate soon --source okta", find("okta").Mend)
	add("later", now.Add(90*24*time.Hour), time.Time{})
	require.Equal(t, identity.Finding{Part: "tokens of okta", Level: identity.LevelOK, Text: "2 in force"}, find("okta"))
}
