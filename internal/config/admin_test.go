package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
)

func TestAdmin_defaults(t *testing.T) {
	t.Parallel()
	login := config.Login{Lifetime: 8 * time.Hour}
	require.Equal(t, config.Admin{Login: login}, parse(t, pushed).Admin, "nothing listens unless it is asked for")
	c := parse(t, pushed+"admin: {listen: \"127.0.0.1:9095\", pprof: true}\n")
	require.Equal(t, config.Admin{Listen: "127.0.0.1:9095", PProf: true, Login: login}, c.Admin)
	require.True(t, c.Admin.Local())
	require.False(t, parse(t, pushed+"admin: {listen: \":9095\"}\n").Admin.Local())
}

func TestAdmin_faults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ section, want string }{
		"an address without a port":         {"{listen: localhost}", `10:17: admin.listen: "localhost" is not host:port`},
		"profiles for everybody":            {`{listen: ":9095", pprof: true}`, "10:33: admin.pprof: profiles show what the program is doing"},
		"a token without a listener":        {"{token: 0123456789abcdef0123456789abcdef}", "10:16: admin.token: there is no listener to log in at"},
		"profiles without a listener":       {"{pprof: true}", "10:16: admin.pprof: there is no listener"},
		"the address of identity providers": {`{listen: "127.0.0.1:8443"}`, "10:18: admin.listen: is the address of scim.listen"},
		"half a certificate":                {`{listen: ":9095", tls: {cert_file: a.pem}}`, "admin.tls.key_file: is required"},
		"a certificate that is none":        {`{listen: ":9095", tls: {cert_file: a.pem, key_file: b.pem}}`, "admin.tls.cert_file: file"},
		"another version of TLS":            {`{tls: {cert_file: "", key_file: "", min_version: "1.1"}}`, "admin.tls.min_version"},
		"a key that is not there":           {"{metrics: true}", "10:9: admin.metrics"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Parse("config.yaml", []byte(pushed+`scim: {listen: "127.0.0.1:8443"}
mapping: {}
log: {level: info}
admin: `+c.section+"\n"), env)
			require.Error(t, err)
			var text strings.Builder
			require.NoError(t, config.Render(&text, err))
			require.Contains(t, text.String(), c.want)
		})
	}
}

func TestAdmin_logins_of_several_instances(t *testing.T) {
	t.Parallel()
	const admin = "admin: {listen: \":9095\", public_url: https://mmsync.example.com, token: 0123456789abcdef0123456789abcdef%s}\n"
	of := func(url, more string) []*config.Error {
		text := strings.Replace(pushed, "sqlite:/var/lib/mmsync/state.db", url, 1) + "scim: {listen: 127.0.0.1:8443}\n" + strings.Replace(admin, "%s", more, 1)
		require.Contains(t, text, url)
		return parse(t, text).Warnings()
	}
	const database = "postgres://mmsync@db/mmsync"
	warned := of(database, "")
	require.Len(t, warned, 1)
	require.Contains(t, warned[0].Error(), "admin.public_url: with several instances behind it")
	require.Positive(t, warned[0].Line)
	require.Empty(t, of(database, ", login: {session_key: 0123456789abcdef0123456789abcdef}"))
	require.Empty(t, of("sqlite:/var/lib/mmsync/state.db", ""), "there is one instance")
}
