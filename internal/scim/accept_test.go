package scim_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
)

// accepts takes a body leniently and compares what is kept, and the quirks used.
func accepts(t *testing.T, rt *scim.ResourceType, body, want string, quirks ...scim.Quirk) {
	t.Helper()
	var used tally
	got, err := rt.Accept(object(t, body), nil, scim.AllLenient(), used.note)
	require.NoError(t, err)
	require.Equal(t, object(t, want), got)
	require.ElementsMatch(t, quirks, used)
	strict, err := rt.Accept(object(t, body), nil, nil, nil)
	if len(quirks) == 0 {
		require.NoError(t, err)
		require.Equal(t, got, strict)
		return
	}
	require.Error(t, err)
}

func TestQuirk_E14(t *testing.T) {
	t.Parallel()
	accepts(t, scim.UserType(), `{"schemas":["`+core+`","`+ent+`"],"externalId":"ext-pia","userName":"pia.moreau@example.org","active":true,
		"displayName":"Pia Moreau","emails":[{"primary":true,"type":"work","value":"pia.moreau@example.org"}],"meta":{"resourceType":"User"},
		"name":{"formatted":"Pia Moreau","familyName":"Moreau","givenName":"Pia"},"roles":[]}`,
		`{"externalId":"ext-pia","userName":"pia.moreau@example.org","active":true,"displayName":"Pia Moreau",
		"emails":[{"primary":true,"type":"work","value":"pia.moreau@example.org"}],
		"name":{"formatted":"Pia Moreau","familyName":"Moreau","givenName":"Pia"}}`)
}

func TestShow_user(t *testing.T) {
	t.Parallel()
	got := scim.UserType().Show(u1(t), base, scim.Projection{})
	require.Equal(t, object(t, `{"schemas":["`+core+`","`+ent+`"],"id":"u1","userName":"nora.lind@example.org","externalId":"ext-nora","active":true,
			"name":{"givenName":"Nora","familyName":"Lind"},
			"emails":[{"type":"work","primary":true,"value":"nora.lind@example.org"}],
			"`+ent+`":{"department":"Docks","employeeNumber":"4711"},
			"meta":{"resourceType":"User","created":"2026-03-01T09:00:00Z","lastModified":"2026-03-02T09:00:00Z",
			"location":"`+base+`/Users/u1","version":"W/\"1\""}}`), got)
}
