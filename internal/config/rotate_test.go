package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
)

// A secret that is mounted into a container is a link to a link to a folder, which is
// swapped as a whole. Whatever reads a secret gets what is there at that moment.
func TestSecret_Value_a_mounted_secret_is_swapped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mount := func(version, token, proxy, password, url string) {
		t.Helper()
		at := filepath.Join(dir, version)
		require.NoError(t, os.Mkdir(at, 0o700))
		for name, text := range map[string]string{"token": token, "proxy": proxy, "password": password, "url": url} {
			require.NoError(t, os.WriteFile(filepath.Join(at, name), []byte(text), 0o600))
		}
		require.NoError(t, os.Symlink(version, filepath.Join(dir, "..data_tmp")))
		require.NoError(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	mount("..1", "t1", "http://u:one@proxy.test:1", "p1", "postgres://u:one@db.test/x")
	for _, name := range []string{"token", "proxy", "password", "url"} {
		require.NoError(t, os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)))
	}
	path := filepath.Join(dir, "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(`version: 1
mattermost: {url: "https://chat.example.com", token_file: token, proxy_url_file: proxy}
state: {url_file: url}
sources:
  - {name: corp, type: ldap, connection_url: ["ldaps://dc.example.com"], bind_username: cn=reader, bind_password_file: password, base_dn: dc=example, user_filter: (a=b)}
mapping: {defaults: {id_attribute: attr.id, username_attribute: attr.uid, email_attribute: attr.mail}}
`), 0o600))
	c, err := config.Load(path, env)
	require.NoError(t, err, render(t, err))
	require.Len(t, c.SecretFiles(), 4)
	values := func() (out []string) {
		for _, s := range []config.Secret{c.Mattermost.Token, c.Mattermost.ProxyURL, c.Sources[0].LDAP.BindPassword, c.State.URL} {
			v, err := s.Value()
			require.NoError(t, err)
			out = append(out, v)
		}
		return out
	}
	require.Equal(t, []string{"t1", "http://u:one@proxy.test:1", "p1", "postgres://u:one@db.test/x"}, values())
	mount("..2", "t2", "http://u:two@proxy.test:1", "p2", "postgres://u:two@db.test/x")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "..1")))
	require.Equal(t, []string{"t2", "http://u:two@proxy.test:1", "p2", "postgres://u:two@db.test/x"}, values())
}
