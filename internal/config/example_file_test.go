package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
)

const examplePath = "../../config.example.yaml"

// exampleLoader reads the example as it stands, with a stub in place of every
// file it names.
func exampleLoader() config.Loader {
	return config.Loader{
		Env: env,
		ReadFile: func(name string) ([]byte, error) {
			if name == examplePath {
				return os.ReadFile(name)
			}
			return []byte(strings.Repeat("stub", 16) + "\n"), nil
		},
	}
}

func TestExample_loads(t *testing.T) {
	t.Parallel()
	c, err := exampleLoader().Load(examplePath)
	require.NoError(t, err, render(t, err))
	require.Equal(t, "corp", c.Sources[0].Name)
	require.Equal(t, []config.SecretFile{
		{Path: "mattermost.token_file", File: "/run/secrets/mmsync_mattermost_token"},
		{Path: "sources[0].bind_password_file", File: "/run/secrets/mmsync_bind_password"},
	}, c.SecretFiles())
}

// shown matches a key that is commented out; instead, the ones of them that
// cannot stand beside what is in force.
var (
	shown   = regexp.MustCompile(`^(\s*)# ((?: {2})*(?:- )?\{?[a-z_]+:(?: .*)?)$`)
	instead = regexp.MustCompile(`^\s*# (token|url|url_file|proxy_url_file|listen_url_file|bind_password):|^\s*#\s+discovery: false`)
)

func TestExample_what_is_commented_out_works(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(examplePath)
	require.NoError(t, err)
	lines := strings.Split(string(data), "\n")
	count := 0
	for i, line := range lines {
		if m := shown.FindStringSubmatch(line); m != nil && !instead.MatchString(line) {
			lines[i] = m[1] + m[2]
			count++
		}
	}
	require.Greater(t, count, 25)
	l := exampleLoader()
	certificate := pemCertificate(t)
	l.ReadFile = func(name string) ([]byte, error) {
		if strings.HasSuffix(name, ".pem") {
			return certificate, nil
		}
		if strings.HasSuffix(name, "_url") {
			return []byte("https://hooks.example.com/x\n"), nil
		}
		return []byte(strings.Repeat("stub", 16) + "\n"), nil
	}
	c, err := l.Parse("config.yaml", []byte(strings.Join(lines, "\n")))
	require.NoError(t, err, render(t, err))
	require.Len(t, c.Sources, 3)
	require.NotNil(t, c.Sources[2].SCIM.JWT)
	require.Equal(t, "/etc/mmsync/tls-key.pem", c.SCIM.TLS.KeyFile)
	require.Len(t, c.Matching, 3)
	require.True(t, c.Mattermost.ProxyURL.IsSet())
	require.Equal(t, "saml", c.Auth.Policy[0].Service)
	require.Empty(t, c.Warnings())
	require.Equal(t, "attr.badge_id", c.Sources[1].Mapping.ID.Text)
}

// pemCertificate gives a certificate and its key in one file.
func pemCertificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...)
}

func TestExample_every_key_of_the_schema_stands_in_it(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(examplePath)
	require.NoError(t, err)
	for _, key := range schema(reflect.TypeFor[config.Config]()) {
		pattern := regexp.MustCompile(`(?m)(^|[\s{,])` + key + `:`)
		require.True(t, pattern.Match(data), "config.example.yaml does not show %s", key)
	}
}

// schema lists every key the yaml tags name, sections and secret files included.
func schema(t reflect.Type) []string {
	var keys []string
	switch {
	case t == reflect.TypeFor[config.Secret]() || t == reflect.TypeFor[config.Expr]():
		return nil
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Map || t.Kind() == reflect.Pointer:
		return schema(t.Elem())
	case t == reflect.TypeFor[config.Source]():
		keys = append(schema(reflect.TypeFor[config.LDAP]()), schema(reflect.TypeFor[config.File]())...)
		keys = append(keys, schema(reflect.TypeFor[config.SCIMSource]())...)
	case t.Kind() != reflect.Struct:
		return nil
	}
	for f := range t.Fields() {
		key, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key == "" || key == "-" {
			continue
		}
		keys = append(keys, key)
		if slices.Contains(strings.Split(options, ","), "file") {
			keys = append(keys, key+"_file")
		}
		keys = append(keys, schema(f.Type)...)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
