package daemon_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/daemon"
)

const examplePath = "../../config.example.yaml"

// shown matches a key that is commented out in the example; instead, those that
// cannot stand beside what is in force, or name a file that is read.
var (
	shown   = regexp.MustCompile(`^(\s*)# ((?: {2})*(?:- )?\{?[a-z_]+:(?: .*)?)$`)
	instead = regexp.MustCompile(`^\s*# (token|url|url_file|proxy_url_file|listen_url_file|bind_password|ca_file|certificate_file|private_key_file):|^\s*#\s+(tls|cert_file|key_file|min_version|discovery|ca_file):`)
)

func env(name string) (string, bool) {
	value, ok := map[string]string{
		"MMSYNC_TOKEN": "stub", "MMSYNC_STATE_URL": "postgres://mmsync:stub@db.example.com/mmsync", "MMSYNC_BIND_PASSWORD": "stub",
	}[name]
	return value, ok
}

// parse reads a configuration with a stub in place of every file it names.
func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	l := config.Loader{Env: env, ReadFile: func(name string) ([]byte, error) {
		if strings.HasSuffix(name, "_url") {
			return []byte("https://hooks.example.com/stub\n"), nil
		}
		return []byte(strings.Repeat("stub", 16) + "\n"), nil
	}}
	c, err := l.Parse("config.yaml", []byte(text))
	require.NoError(t, err)
	return c
}

func TestCheck_exampleCompiles(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(examplePath)
	require.NoError(t, err)
	require.NoError(t, daemon.Check(parse(t, string(data))), "as it stands")

	lines := strings.Split(string(data), "\n")
	count := 0
	for i, line := range lines {
		if m := shown.FindStringSubmatch(line); m != nil && !instead.MatchString(line) {
			lines[i] = m[1] + m[2]
			count++
		}
	}
	require.Greater(t, count, 25)
	c := parse(t, strings.Join(lines, "\n"))
	require.Len(t, c.Sources, 3)
	require.NoError(t, daemon.Check(c), "with what is commented out")
	require.NotEmpty(t, c.Roles)
	require.Equal(t, `attr.department == "IT"`, c.Roles[0].When.Text)
}

const broken = `version: 1
mattermost: {url: "https://chat.example.com", token: stub}
state: {url: "sqlite:/var/lib/mmsync/state.db"}
sources:
  - name: hr
    type: file
    path: people.csv
    disabled_when: attr.status
  - name: corp
    type: ldap
    connection_url: [ldaps://dc1.example.com]
    bind_username: cn=mmsync,dc=example,dc=com
    bind_password: stub
    base_dn: dc=example,dc=com
    user_filter: (objectClass=person)
mapping:
  defaults:
    id_attribute: attr.id
    username_attribute: lower(attr.login
    email_attribute: attr.mail
  sources:
    corp:
      username_attribute: attr.uid
      email_attribute: lwoer(attr.mail)
`

func TestCheck_faults(t *testing.T) {
	t.Parallel()
	err := daemon.Check(parse(t, broken))
	var got []string
	for _, e := range config.Errors(err) {
		require.Equal(t, "config.yaml", e.File)
		require.Positive(t, e.Line, e.Msg)
		require.Positive(t, e.Col, e.Msg)
		got = append(got, e.Path)
	}
	require.Equal(t, []string{
		"sources[0].disabled_when", "mapping.defaults.username_attribute", "mapping.sources.corp.email_attribute",
	}, got, "each fault at the key where the expression was written: %v", err)
	require.Equal(t, []int{8, 19, 24}, []int{config.Errors(err)[0].Line, config.Errors(err)[1].Line, config.Errors(err)[2].Line})
}

func TestStoreFile(t *testing.T) {
	t.Parallel()
	path, ok := daemon.StoreFile(parse(t, broken))
	require.True(t, ok)
	require.Equal(t, "/var/lib/mmsync/state.db", path)
	_, ok = daemon.StoreFile(parse(t, strings.Replace(broken, "sqlite:/var/lib/mmsync/state.db", "postgres://db.example.com/mmsync", 1)))
	require.False(t, ok, "a database elsewhere is no file")
}
