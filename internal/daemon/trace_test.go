package daemon

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/explain"
	"github.com/mmsync/mmsync/internal/sources"
)

func TestShown(t *testing.T) {
	t.Parallel()
	var rec sources.Record
	for _, name := range []string{"userPassword", "unicodePwd", "sambaNTPassword", "ms-Mcs-AdmPwd", "krbPrincipalKey", "msDS-KeyCredentialLink", "ipaNTHash", "api_token", "pwdHistory", "authPassword"} {
		rec.Add(name, "hush")
	}
	rec.Add("jpegPhoto", "\xff\xd8\xff", "\x00\x01")
	rec.Add("description", strings.Repeat("ä", 100))
	rec.Add("memberOf", "a", "b", "c", "d", "e")
	rec.Add("uid", "ann")
	rec.Add("pwdLastSet", "133")
	rec.Add("empty")
	list := shown(rec, []string{"UID"})
	by := map[string]explain.Attribute{}
	for _, a := range list {
		by[a.Name] = a
		require.NotContains(t, a.Values, "hush", a.Name)
	}
	require.Equal(t, explain.Attribute{Name: "uid", Values: []string{"ann"}, Used: true}, list[0], "what the mapping reads comes first")
	require.Equal(t, explain.Attribute{Name: "jpegPhoto", Kept: "5 bytes that are no text"}, by["jpegPhoto"])
	require.Equal(t, []string{strings.Repeat("ä", 80) + "…"}, by["description"].Values)
	require.Equal(t, explain.Attribute{Name: "memberOf", Values: []string{"a", "b", "c"}, Kept: "and 2 more"}, by["memberOf"])
	require.Equal(t, []string{"133"}, by["pwdLastSet"].Values)
	require.Empty(t, by["empty"].Kept)
}
