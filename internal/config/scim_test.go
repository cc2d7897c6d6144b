package config_test

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
)

const pushed = `version: 1
mattermost: {url: https://chat.example.com, token: "${TOKEN}"}
state: {url: "sqlite:/var/lib/mmsync/state.db"}
sources:
  - name: okta
    type: scim
`

func TestSCIM_defaults(t *testing.T) {
	t.Parallel()
	c := parse(t, pushed)
	require.Equal(t, config.SCIM{
		BasePath: "/scim/v2", InlineTimeout: 3 * time.Second, Status: config.StatusAlways,
		Limits: config.SCIMLimits{Body: 4 << 20, PatchOperations: 1000, BulkOperations: 1000, Page: 1000, RequestsPerSecond: 50, Burst: 200},
		OAuth:  config.OAuth{TokenLifetime: time.Hour},
	}, c.SCIM)
	s := c.Sources[0]
	require.Nil(t, s.LDAP)
	require.Equal(t, config.SCIMSource{Profile: "lenient", MattermostConflicts: "hold"}, *s.SCIM)
	require.Equal(t, "attr.id", s.Mapping.ID.Text)
	require.Equal(t, `lower(attr.userName.split("@")[0])`, s.Mapping.Username.Text)
	require.Empty(t, s.Mapping.Nickname, "not owned")
	require.Contains(t, s.SelfEditable, config.Expr{Text: "nickName"})

	c = parse(t, pushed+"    self_editable: []\n    jwt: {issuer: https://login.example.com, audience: a, discovery: true}\n")
	require.Empty(t, c.Sources[0].SelfEditable)
	require.Equal(t, config.JWT{
		Issuer: "https://login.example.com", Audience: []string{"a"}, Discovery: true, Algorithms: []string{"RS256"}, Scopes: []string{"users", "groups"},
	}, *c.Sources[0].SCIM.JWT)
}

// Adding a source beside it must not rename everybody the provider has pushed.
func TestSCIM_the_mapping_is_its_own_whatever_stands_beside_it(t *testing.T) {
	t.Parallel()
	own := "    okta: {username_attribute: attr.nickName, position_attribute: \"\"}\n"
	alone := parse(t, pushed+"mapping:\n  sources:\n"+own).Sources[0].Mapping
	beside := parse(t, replace(t, "mapping:\n", "  - {name: okta, type: scim}\nmapping:\n")+"  sources:\n"+own)
	texts := func(a config.Attributes) []string {
		return []string{a.ID.Text, a.Username.Text, a.Email.Text, a.FirstName.Text, a.LastName.Text, a.Position.Text, a.Locale.Text, a.Timezone.Text}
	}
	require.Equal(t, []string{
		"attr.id", "attr.nickName", "attr.email", "attr.givenName", "attr.familyName", "", "orValue(attr.preferredLanguage, attr.locale)", "attr.timezone",
	}, texts(alone))
	require.Equal(t, texts(alone), texts(beside.Sources[1].Mapping))
	require.Equal(t, "attr.mail", beside.Sources[0].Mapping.Email.Text)
}

func TestSCIM_Effective_shows_the_mapping_in_force(t *testing.T) {
	t.Parallel()
	c := parse(t, pushed+"    quirks: {path_case: false}\n    jwt: {issuer: https://login.example.com, audience: a, discovery: true, claims: {tid: 1}}\nmapping: {sources: {okta: {nickname_attribute: \"\"}}}\nscim: {listen: \"127.0.0.1:8443\", limits: {body: 800KiB}}\n")
	first, err := c.Effective()
	require.NoError(t, err)
	for _, line := range []string{
		"    okta:\n      id_attribute: attr.id\n", "      nickname_attribute: \"\"\n", "    path_case: false\n", "      tid: '1'\n", "    body: 800KiB\n",
		"  public_url: http://127.0.0.1:8443\n", "  mattermost_conflicts: hold\n", "    token_lifetime: 1h\n",
	} {
		require.Contains(t, string(first), line)
	}
	again := parse(t, strings.ReplaceAll(string(first), "<secret>", "sqlite:/x/y"))
	second, err := again.Effective()
	require.NoError(t, err)
	require.Equal(t, string(first), string(second))
}

func TestSCIM_Digest_is_about_who_is_changed_not_who_may_push(t *testing.T) {
	t.Parallel()
	base := digest(t, parse(t, pushed))
	require.Equal(t, base, digest(t, parse(t, pushed+"scim: {listen: \"127.0.0.1:1\"}\n")))
	require.Equal(t, base, digest(t, parse(t, pushed+"    jwt: {issuer: i, audience: a, jwks_url: https://x}\n")))
	require.NotEqual(t, base, digest(t, parse(t, pushed+"    disabled_when: attr.userType == \"x\"\n")))
	require.NotEqual(t, base, digest(t, parse(t, pushed+"mapping: {sources: {okta: {locale: \"\"}}}\n")))
}

func TestSCIM_plain_http_only_where_nobody_listens(t *testing.T) {
	t.Parallel()
	for _, listener := range []string{
		`{listen: "127.0.0.1:8080"}`, `{listen: "localhost:8080"}`, `{listen: "[::1]:8080"}`,
		`{listen: ":8080", public_url: https://sync.example.com/, allow_http: true, trusted_proxies: [10.0.0.0/24]}`,
	} {
		c := parse(t, pushed+"scim: "+listener+"\n")
		require.NotEmpty(t, c.SCIM.PublicURL)
		require.Empty(t, c.Warnings())
	}
}

func TestSCIM_TLS_is_looked_at_when_the_file_is_read(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pair := pemCertificate(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tls.pem"), pair, 0o600))
	text := pushed + "    jwt: {issuer: i, audience: a, jwks_url: https://x}\nscim:\n  listen: :8443\n  public_url: https://sync.example.com\n  tls: {cert_file: tls.pem, key_file: tls.pem}\n"
	c, err := config.Parse(filepath.Join(dir, "config.yaml"), []byte(text), env)
	require.NoError(t, err, render(t, err))
	require.Equal(t, config.TLS{CertFile: filepath.Join(dir, "tls.pem"), KeyFile: filepath.Join(dir, "tls.pem"), MinVersion: "1.2"}, *c.SCIM.TLS)
	require.Equal(t, []config.SecretFile{{Path: "scim.tls.key_file", File: filepath.Join(dir, "tls.pem")}}, c.SecretFiles())
	_, err = tls.X509KeyPair(pair, pair)
	require.NoError(t, err)
}

func TestSCIM_Warnings(t *testing.T) {
	t.Parallel()
	list := parse(t, pushed).Warnings()
	require.Len(t, list, 1)
	require.Contains(t, list[0].Msg, "nothing can be pushed to source okta")
	list = parse(t, minimal+"scim: {listen: \"127.0.0.1:8080\"}\n").Warnings()
	require.Len(t, list, 1)
	require.Equal(t, "scim.listen", list[0].Path)
}

func TestSize_reads_what_it_writes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Size{"4MiB": 4 << 20, "800 KiB": 800 << 10, "65536": 64 << 10, "70000": 70_000} {
		c := parse(t, pushed+"scim: {limits: {body: "+text+"}}\n")
		require.Equal(t, want, c.SCIM.Limits.Body)
		again := parse(t, pushed+"scim: {limits: {body: "+want.String()+"}}\n")
		require.Equal(t, want, again.SCIM.Limits.Body)
	}
}
