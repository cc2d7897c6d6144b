package sources

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMapper_Trace(t *testing.T) {
	t.Parallel()
	r := basicRules()
	r.DisabledWhen = text(`attr.status == "left"`)
	r.Auth = []AuthRule{
		{Service: "saml", When: text(`attr.kind == "s"`), Data: text("attr.mail")},
		{Service: "openid", Data: text("attr.uid")},
		{Service: "ldap", Data: text("attr.never")},
	}
	r.Roles = []RoleRule{
		{Role: "system_admin", Groups: []string{"CN=Chat-Admins, OU=groups,dc=example,dc=test", "cn=b"}},
		{Role: "system_manager", Groups: []string{"cn=other,dc=x"}, When: text(`attr.title != ""`)},
	}
	m := mustCompile(t, r)
	rec := person()
	rec.Groups = []string{"cn=chat-admins,ou=Groups,dc=example,dc=test"}
	gives := map[string]string{}
	var settings []string
	for _, s := range m.Trace(rec) {
		require.Empty(t, s.Fault, s.Setting)
		settings = append(settings, s.Setting)
		if s.Gives != "" {
			gives[s.Gives] = s.Expr
		}
	}
	require.Equal(t, map[string]string{"openid": "attr.uid", "system_admin": "CN=Chat-Admins, OU=groups,dc=example,dc=test | cn=b"}, gives,
		"the first login rule that is for the person ends the search, as in Identity")
	id, err := m.Identity(rec)
	require.NoError(t, err)
	require.Equal(t, "openid", id.Auth.Service)
	require.Contains(t, settings, "role system_manager")

	rec.GroupsFault = "the groups could not be read"
	var faults []string
	for _, s := range m.Trace(rec) {
		if s.Fault != "" {
			faults = append(faults, s.Fault)
			require.Empty(t, s.Gives)
		}
	}
	require.Equal(t, []string{"the groups could not be read", "the groups could not be read"}, faults)
}
