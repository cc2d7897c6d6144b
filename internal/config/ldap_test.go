package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
)

func TestParse_connections(t *testing.T) {
	t.Parallel()
	pair := pemCertificate(t)
	for name, c := range map[string]struct{ lines, security string }{
		"TLS follows from the address": {"connection_url: ldaps://dc1.example.com", "tls"},
		"a domain":                     {"connection_url: srv://dc._msdcs.example.com, connection_security: starttls", "starttls"},
		"a domain and a server":        {"connection_url: [srv://example.com, ldaps://dc1.example.com], connection_security: tls", "tls"},
		"a socket":                     {"connection_url: ldapi:///run/slapd/ldapi", ""},
	} {
		for bind, lines := range map[string]string{
			"simple":   "bind_username: cn=x, bind_password: stub",
			"external": "bind_method: external, certificate_file: /c.pem, private_key_file: /c.pem",
		} {
			l := config.Loader{ReadFile: func(string) ([]byte, error) { return pair, nil }}
			got, err := l.Parse("config.yaml", []byte(`version: 1
mattermost: {url: "https://chat.example.com", token: stub}
state: {url: "sqlite:/var/lib/mmsync/state.db"}
sources:
  - {name: corp, type: ldap, base_dn: "dc=example,dc=com", user_filter: "(uid=*)", `+c.lines+", "+lines+`}
mapping: {defaults: {id_attribute: attr.entryUUID, username_attribute: attr.uid, email_attribute: attr.mail}}
`))
			require.NoError(t, err, "%s, %s", name, bind)
			require.Equal(t, c.security, got.Sources[0].LDAP.ConnectionSecurity, name)
			require.Equal(t, bind, got.Sources[0].LDAP.BindMethod)
			require.Len(t, got.SecretFiles(), map[string]int{"simple": 0, "external": 1}[bind])
		}
	}
}
