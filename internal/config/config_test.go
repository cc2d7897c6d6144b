package config_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// canaries are the secrets of the test files: no output may hold one.
var canaries = []string{"hunter2", "hunter3", "t0ken", "pa$$word"}

func env(name string) (string, bool) {
	value, ok := map[string]string{
		"TOKEN":            "t0ken-of-the-environment",
		"PASSWORD":         `pa$$word # "': ${TOKEN}`,
		"MMSYNC_STATE_URL": "postgres://mmsync:hunter2@db/mmsync",
		"EMPTY":            "",
	}[name]
	return value, ok
}

func render(t *testing.T, err error) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, config.Render(&b, err))
	return b.String()
}

func noCanary(t *testing.T, text string) {
	t.Helper()
	for _, c := range canaries {
		if strings.Contains(text, c) {
			t.Fatalf("shows the secret %s:\n%s", c, text)
		}
	}
}

func TestLoad_Invalid(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/invalid-*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			t.Parallel()
			c, err := config.Load(file, env)
			require.Error(t, err)
			require.Nil(t, c)
			require.NotEmpty(t, config.Errors(err))
			got := strings.ReplaceAll(render(t, err), "testdata/", "")
			noCanary(t, got+err.Error())
			golden := strings.TrimSuffix(file, ".yaml") + ".want"
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), got)
		})
	}
}

const minimal = `version: 1
mattermost: {url: https://chat.example.com/sub/, token: "${TOKEN}"}
state: {url: "sqlite:/var/lib/mmsync/state.db"}
sources:
  - name: corp
    type: ldap
    connection_url: ldaps://dc1.example.com
    bind_username: cn=mmsync,dc=example,dc=com
    bind_password: ${PASSWORD}
    base_dn: dc=example,dc=com
    user_filter: (objectClass=person)
mapping:
  defaults:
    id_attribute: attr.entryUUID
    username_attribute: attr.uid
    email_attribute: attr.mail
`

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("/etc/mmsync/config.yaml", []byte(text), env)
	require.NoError(t, err, render(t, err))
	return c
}

// replace puts one text in place of another, which must be in minimal once.
func replace(t *testing.T, is, want string) string {
	t.Helper()
	require.Equal(t, 1, strings.Count(minimal, is), is)
	return strings.Replace(minimal, is, want, 1)
}

func TestParse_defaults(t *testing.T) {
	t.Parallel()
	c := parse(t, minimal)
	require.Equal(t, "https://chat.example.com/sub", c.Mattermost.URL)
	require.Equal(t, 45*time.Second, c.Mattermost.RequestTimeout)
	require.Equal(t, 50, c.Mattermost.RateLimit.PerSecond)
	require.Equal(t, 4, c.Mattermost.MaxInFlight)
	require.Equal(t, []string{"ldaps://dc1.example.com"}, c.Sources[0].LDAP.ConnectionURL)
	require.Equal(t, "tls", c.Sources[0].LDAP.ConnectionSecurity)
	require.Equal(t, 1000, c.Sources[0].LDAP.MaxPageSize)
	require.Nil(t, c.Sources[0].LDAP.Groups)
	require.Equal(t, []config.Match{{By: config.ByAuthData, Adopt: config.AdoptTrue}}, c.Matching)
	require.Equal(t, config.Lifecycle{
		Create:     config.Create{Enabled: true, EmailVerified: true, Welcome: "none"},
		Update:     config.Switch{Enabled: true},
		Deactivate: config.Deactivate{On: []string{"disabled", "missing", "out_of_scope"}, Grace: config.Grace{Missing: 72 * time.Hour, OutOfScope: 24 * time.Hour}, LookAgain: 40 * time.Second, Tokens: config.ThingsKeep, Bots: config.ThingsKeep},
		Reactivate: config.Reactivate{Enabled: true, Tokens: config.ThingsDisable, Memberships: config.MembershipsLeave},
		OnGone:     config.OnGoneAsk,

		PermanentDelete: config.PermanentDelete{After: 365 * 24 * time.Hour, Max: 20},
	}, c.Lifecycle)
	require.Equal(t, 24*time.Hour, c.Guards.Window)
	require.Equal(t, config.Limit{Count: new(50), Percent: new(1.0), MinimumPopulation: 20}, c.Guards.MaxDeactivations)
	require.Equal(t, config.Limit{Count: new(5), MinimumPopulation: 20}, c.Guards.MaxRoleRemovals)
	require.Equal(t, config.Limit{Count: new(5), MinimumPopulation: 20}, c.Guards.MaxRecreations)
	require.Equal(t, config.Limit{Count: new(5), MinimumPopulation: 20}, c.Guards.MaxAdminGrants)
	for _, l := range []config.Limit{c.Guards.MaxRenames, c.Guards.MaxEmailChanges, c.Guards.MaxAuthChanges} {
		require.Equal(t, config.Limit{Count: new(50), Percent: new(5.0), MinimumPopulation: 20}, l)
	}
	require.Equal(t, config.Limit{Count: new(500), Percent: new(10.0), MinimumPopulation: 20}, c.Guards.MaxCreates)
	require.Equal(t, config.Limit{Count: new(500), Percent: new(30.0), MinimumPopulation: 20}, c.Guards.MaxUpdates)
	require.Equal(t, config.OnTripHold, c.Guards.OnTrip)
	require.Equal(t, 45*time.Minute, c.Mattermost.SinceOverlap)
	require.Equal(t, config.Auth{MigrateExisting: config.MigrateExisting{RevokeSessions: true}}, c.Auth)
	require.InDelta(t, 80, c.Guards.MinSourceEntries.PercentOfLast, 0)
	require.Equal(t, 1, c.Guards.Protect.NeverBelow)
	require.Equal(t, config.Log{Level: "info", Format: "auto"}, c.Log)
}

func TestParse_a_grace_for_the_deleted_is_that_of_the_disabled(t *testing.T) {
	t.Parallel()
	c := parse(t, minimal+"lifecycle: {deactivate: {grace: {disabled: 24h}}}\n")
	require.Equal(t, 24*time.Hour, c.Lifecycle.Deactivate.Grace.Deleted)
	c = parse(t, minimal+"lifecycle: {deactivate: {grace: {disabled: 24h, deleted: 0s}}}\n")
	require.Zero(t, c.Lifecycle.Deactivate.Grace.Deleted)
}

func TestParse_a_limit_written_in_half_stands_alone(t *testing.T) {
	t.Parallel()
	c := parse(t, minimal+"guards: {max_deactivations: {percent: 2.5}}\n")
	require.Equal(t, config.Limit{Percent: new(2.5), MinimumPopulation: 20}, c.Guards.MaxDeactivations)
	c = parse(t, minimal+"guards: {max_role_removals: {percent: 2.5}}\n")
	require.Equal(t, config.Limit{Percent: new(2.5), MinimumPopulation: 20}, c.Guards.MaxRoleRemovals)
	c = parse(t, minimal+"guards: {max_updates: {count: 7, minimum_population: 1}}\n")
	require.Equal(t, config.Limit{Count: new(7), MinimumPopulation: 1}, c.Guards.MaxUpdates)
}

func TestParse_an_empty_list_is_not_the_default(t *testing.T) {
	t.Parallel()
	c := parse(t, minimal+"matching: []\nlifecycle: {deactivate: {on: []}}\nroles:\nlog:\n")
	require.Empty(t, c.Matching)
	require.Empty(t, c.Lifecycle.Deactivate.On)
	require.Equal(t, "info", c.Log.Level)
}

func TestParse_matching_by_name_asks(t *testing.T) {
	t.Parallel()
	c := parse(t, minimal+"matching: [{by: email}, {by: auth_data}, {by: username, adopt: ask}]\n")
	require.Equal(t, []config.Match{{By: "email", Adopt: "ask"}, {By: "auth_data", Adopt: "true"}, {By: "username", Adopt: "ask"}}, c.Matching)
}

func TestParse_roles_and_guests(t *testing.T) {
	t.Parallel()
	source := parse(t, minimal).Sources[0].Name
	c := parse(t, minimal+strings.ReplaceAll(`roles:
  - {role: system_admin, source: S, when: "true"}
  - {role: system_manager, source: S, when: "true", demote_when_lost: false}
  - {role: auditor, source: S, when: "true", demote_when_lost: ask}
guests:
  - {source: S, when: "true"}
`, "S", source))
	var lost []config.DemoteWhenLost
	for _, r := range c.Roles {
		lost = append(lost, r.DemoteWhenLost)
	}
	require.Equal(t, []config.DemoteWhenLost{config.DemoteTrue, config.DemoteFalse, config.DemoteAsk}, lost)
	require.Equal(t, config.WhenLostAsk, c.Guests[0].WhenLost)
	digest := func(c *config.Config) string {
		d, err := c.Digest()
		require.NoError(t, err)
		return d
	}
	before := digest(c)
	c.Guests[0].WhenLost = config.WhenLostPromote
	require.NotEqual(t, before, digest(c))
	c.Guests[0].WhenLost = config.WhenLostAsk
	c.Roles[0].DemoteWhenLost = ""
	require.Equal(t, before, digest(c), "the default is what there was before it could be said")
}

func TestParse_files_are_relative_to_the_configuration(t *testing.T) {
	t.Parallel()
	c := parse(t, replace(t, "mapping:\n", "  - {name: feed, type: file, path: feeds/people.NDJSON}\n  - {name: feed2, type: file, path: /srv/people.csv, value_separator: \";\"}\nmapping:\n"))
	require.Equal(t, config.File{Path: "/etc/mmsync/feeds/people.NDJSON", Format: config.FormatJSONL}, *c.Sources[1].File)
	require.Equal(t, config.File{Path: "/srv/people.csv", Format: config.FormatCSV, ValueSeparator: ";"}, *c.Sources[2].File)
	require.Nil(t, c.Sources[1].LDAP)
}

func TestParse_encryption_of_the_connection(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ url, security, want string }{
		"starttls":             {"ldap://dc1", "starttls", "starttls"},
		"loopback by name":     {"ldap://localhost:389", `""`, ""},
		"loopback by address":  {`"ldap://[::1]:389"`, `""`, ""},
		"cleartext on purpose": {"ldap://dc1\n    allow_cleartext: true", `""`, ""},
		"both":                 {"[ldaps://dc1, ldap://127.0.0.1]", `""`, ""},
		"tls named":            {"[ldaps://dc1, ldaps://dc2]", "tls", "tls"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := parse(t, replace(t, "ldaps://dc1.example.com", c.url+"\n    connection_security: "+c.security))
			require.Equal(t, c.want, got.Sources[0].LDAP.ConnectionSecurity)
		})
	}
}

func TestParse_http_only_where_nobody_listens(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"http://localhost:8065", "http://127.0.0.1:8065", `"http://[::1]:8065"`, "http://chat.example.com, allow_http: true"} {
		parse(t, replace(t, "https://chat.example.com/sub/", url))
	}
}

func TestParse_state_addresses(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://mmsync@db/mmsync", "postgresql://u:p%23@db:5432/x?sslmode=verify-full",
		"postgres:///mmsync?host=/run/postgresql", "sqlite:/var/lib/memory/state.db", "sqlite:/a b/state.db",
	} {
		c := parse(t, replace(t, "sqlite:/var/lib/mmsync/state.db", url))
		got, err := c.State.URL.Value()
		require.NoError(t, err)
		require.Equal(t, url, got)
	}
}

func TestParse_overrides_key_by_key(t *testing.T) {
	t.Parallel()
	c := parse(t, minimal+`    nickname_attribute: attr.displayName
  sources:
    corp:
      nickname_attribute: ""
      email_attribute: attr.proxyMail
`)
	m := c.Sources[0].Mapping
	require.Equal(t, "attr.uid", m.Username.Text)
	require.Equal(t, config.Expr{Text: "attr.proxyMail", Line: 21, Col: 24}, m.Email)
	require.Equal(t, config.Expr{Line: 20, Col: 28}, m.Nickname, "written as not owned")
	require.Equal(t, config.Expr{}, m.Position, "never written")
	require.Equal(t, "attr.displayName", c.Mapping.Defaults.Nickname.Text)
}

func TestParse_login_rules_keep_their_order(t *testing.T) {
	t.Parallel()
	c := parse(t, minimal+`auth:
  policy:
    - {source: corp, when: 'attr.employeeType != "external"', service: saml, data: 'lower(attr.mail)'}
    - {source: corp, service: ldap, data: attr.uid}
  migrate_existing: {enabled: true}
`)
	require.Equal(t, config.Auth{
		Policy: []config.AuthRule{
			{
				Source: "corp", When: config.Expr{Text: `attr.employeeType != "external"`, Line: 19, Col: 29}, Service: "saml",
				Data: config.Expr{Text: "lower(attr.mail)", Line: 19, Col: 85},
			},
			{Source: "corp", Service: "ldap", Data: config.Expr{Text: "attr.uid", Line: 20, Col: 43}},
		},
		MigrateExisting: config.MigrateExisting{Enabled: true, RevokeSessions: true},
	}, c.Auth)
}

// What may leave somebody in is said before the first account is made.
func TestConfig_Warnings(t *testing.T) {
	t.Parallel()
	const rule = "auth: {policy: [{source: corp, service: ldap, data: attr.uid}]}\n"
	list := parse(t, minimal+rule).Warnings()
	require.Len(t, list, 1)
	require.Equal(t, "auth.policy[0].service", list[0].Path)
	require.Equal(t, []int{17, 41}, []int{list[0].Line, list[0].Col})
	require.Contains(t, list[0].Msg, "only their own LDAP sync")
	require.Contains(t, list[0].Hint, "lifecycle.deactivate.delete_endpoint: true")
	require.Empty(t, parse(t, minimal+rule+"lifecycle: {deactivate: {delete_endpoint: true}}\n").Warnings())
	require.Empty(t, parse(t, minimal+strings.Replace(rule, "ldap", "saml", 1)).Warnings())
	require.Empty(t, parse(t, minimal).Warnings())
	catalog := parse(t, strings.Replace(minimal, "ldaps://dc1.example.com", "ldaps://dc1.example.com:3269", 1)).Warnings()
	require.Len(t, catalog, 1)
	require.Equal(t, "sources[0].connection_url", catalog[0].Path)
	require.Contains(t, catalog[0].Msg, "in memberOf only universal groups")
}

func TestParse_times_at_their_limits(t *testing.T) {
	t.Parallel()
	for _, overlap := range []string{"1m", "24h"} {
		parse(t, replace(t, ", token", ", since_overlap: "+overlap+", token"))
	}
	for _, wait := range []string{"0s", "24h"} {
		parse(t, replace(t, ", token", ", outage_wait: "+wait+", token"))
	}
	for _, again := range []string{"0s", "10m"} {
		parse(t, minimal+"lifecycle: {deactivate: {look_again: "+again+"}}\n")
	}
}

func TestExpr_keeps_the_place_of_its_first_character(t *testing.T) {
	t.Parallel()
	c := parse(t, minimal+`    first_name_attribute:   attr.a
    last_name_attribute: 'attr.b'
    nickname_attribute: "attr.c"
    position_attribute: >-

        attr.d + "x"
roles: [{role: ops_1, source: corp, when: 'ü == attr.e'}]
`)
	d := c.Mapping.Defaults
	require.Equal(t, config.Expr{Text: "attr.a", Line: 17, Col: 29}, d.FirstName)
	require.Equal(t, config.Expr{Text: "attr.b", Line: 18, Col: 27}, d.LastName)
	require.Equal(t, config.Expr{Text: "attr.c", Line: 19, Col: 26}, d.Nickname)
	require.Equal(t, config.Expr{Text: `attr.d + "x"`, Line: 22, Col: 9}, d.Position)
	require.Equal(t, config.Expr{Text: "ü == attr.e", Line: 23, Col: 44}, c.Roles[0].When)
	require.Equal(t, config.GrantAsk, c.Roles[0].Grant)
}

func TestParse_variables_cannot_break_the_document(t *testing.T) {
	t.Parallel()
	c := parse(t, replace(t, "cn=mmsync,dc=example,dc=com", "$${A}-${EMPTY}-$$${TOKEN}-$b"))
	password, err := c.Sources[0].LDAP.BindPassword.Value()
	require.NoError(t, err)
	require.Equal(t, `pa$$word # "': ${TOKEN}`, password, "what a variable holds is not looked through again")
	require.Equal(t, "${A}--$${TOKEN}-$b", c.Sources[0].LDAP.BindUsername)
}

func TestParse_line_ends_and_byte_order_mark(t *testing.T) {
	t.Parallel()
	c := parse(t, "\ufeff"+strings.ReplaceAll(minimal, "\n", "\r\n"))
	require.Equal(t, 14, c.Mapping.Defaults.ID.Line)
	_, err := config.Parse("c", []byte(strings.ReplaceAll(minimal, "\n", "\r")), env)
	require.ErrorContains(t, err, `c:1:11: a control character ('\r')`)
}

func TestParse_numbers_and_switches_from_variables(t *testing.T) {
	t.Parallel()
	vars := map[string]string{"N": "7", "B": "true", "D": "40s"}
	c, err := config.Parse("c", []byte(strings.NewReplacer("${TOKEN}", "t", "${PASSWORD}", "p", ", token",
		`, max_in_flight: "${N}", allow_http: "${B}", request_timeout: "${D}", token`).Replace(minimal)),
		func(name string) (string, bool) { v, ok := vars[name]; return v, ok })
	require.NoError(t, err)
	require.Equal(t, 7, c.Mattermost.MaxInFlight)
	require.True(t, c.Mattermost.AllowHTTP)
	require.Equal(t, 40*time.Second, c.Mattermost.RequestTimeout)
}

func TestLoad_no_file(t *testing.T) {
	t.Parallel()
	_, err := config.Load(filepath.Join(t.TempDir(), "absent.yaml"), nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Len(t, config.Errors(err), 1)
	require.Contains(t, render(t, err), "absent.yaml: cannot be read: no such file or directory")
}

// Whoever runs it as another user than the files' owner is told so.
func TestLoad_another_users_files(t *testing.T) {
	t.Parallel()
	closed := func(name string) error { return &fs.PathError{Op: "open", Path: name, Err: syscall.EACCES} }
	_, err := config.Loader{ReadFile: func(name string) ([]byte, error) { return nil, closed(name) }}.Load("/etc/mmsync/config.yaml")
	require.Equal(t, "/etc/mmsync/config.yaml: cannot be read: permission denied\n"+
		"  hint: run mmsync as the user who owns it, such as sudo -u mmsync mmsync …\n", render(t, err))

	text := strings.Replace(minimal, `token: "${TOKEN}"`, "token_file: token", 1)
	require.NotEqual(t, minimal, text)
	l := config.Loader{Env: func(string) (string, bool) { return "x", true }, ReadFile: func(name string) ([]byte, error) { return nil, closed(name) }}
	_, err = l.Parse("/etc/mmsync/config.yaml", []byte(text))
	require.Contains(t, render(t, err), "mattermost.token_file: file /etc/mmsync/token cannot be read: permission denied")
	require.Contains(t, render(t, err), "hint: run mmsync as the user who owns it")
}

func TestConfig_Fault(t *testing.T) {
	t.Parallel()
	c := parse(t, minimal)
	e := c.Fault("sources[0].user_filter", "no such attribute", "write objectClass")
	require.Equal(t, "/etc/mmsync/config.yaml:11:18: sources[0].user_filter: no such attribute", e.Error())
	require.Equal(t, `/etc/mmsync/config.yaml:11:18: sources[0].user_filter: no such attribute
   11 |     user_filter: (objectClass=person)
      |                  ^
  hint: write objectClass
`, render(t, e))
	absent := c.Fault("sources[0].groups.base_dn", "x", "")
	require.Equal(t, []int{5, 5}, []int{absent.Line, absent.Col}, "the section around it")
	hidden := render(t, c.Fault("sources[0].bind_password", "refused", ""))
	require.Equal(t, "/etc/mmsync/config.yaml:9:20: sources[0].bind_password: refused\n", hidden)
}

func TestErrors_order_and_reach(t *testing.T) {
	t.Parallel()
	a, b, c := &config.Error{File: "f", Line: 3, Col: 1, Msg: "a"}, &config.Error{File: "f", Line: 1, Col: 9, Msg: "b"}, &config.Error{File: "f", Line: 1, Col: 2, Msg: "c"}
	err := fmt.Errorf("load: %w", errors.Join(a, fmt.Errorf("inner: %w", b), errors.New("other"), c))
	require.Equal(t, []*config.Error{c, b, a}, config.Errors(err))
	require.Empty(t, config.Errors(errors.New("other")))
	require.Empty(t, config.Errors(nil))
	require.Equal(t, "other\n", render(t, errors.New("other")))
	require.Empty(t, render(t, nil))
}

func TestConfig_Effective(t *testing.T) {
	t.Parallel()
	l := exampleLoader()
	c, err := l.Load(examplePath)
	require.NoError(t, err)
	first, err := c.Effective()
	require.NoError(t, err)
	noCanary(t, string(first))
	require.Contains(t, string(first), "url: <secret>")
	require.Contains(t, string(first), "request_timeout: 45s")

	two := parse(t, replace(t, "mapping:\n", "  - {name: b, type: file, path: b.csv}\n  - {name: a, type: file, path: a.csv}\nmapping:\n")+
		"  sources: {b: {locale: attr.l}, a: {locale: \"\"}, corp: {}}\n")
	sorted, err := two.Effective()
	require.NoError(t, err)
	require.Contains(t, string(sorted), "  sources:\n    a:\n      locale: \"\"\n    b:\n      locale: attr.l\n")

	// What it prints is a configuration again, and says the same.
	again, err := l.Parse(examplePath, bytes.ReplaceAll(first, []byte("<secret>"), []byte("postgres://a@b/c")))
	require.NoError(t, err, render(t, err))
	second, err := again.Effective()
	require.NoError(t, err)
	require.Equal(t, string(first), string(second))
	require.Equal(t, digest(t, c), digest(t, again))
}

func digest(t *testing.T, c *config.Config) string {
	t.Helper()
	sum, err := c.Digest()
	require.NoError(t, err)
	return sum
}

func TestConfig_Digest(t *testing.T) {
	t.Parallel()
	base := digest(t, parse(t, minimal))
	require.Len(t, base, 64)
	for name, text := range map[string]string{
		"a comment":         "# moved by a line\n" + minimal,
		"another server":    replace(t, "ldaps://dc1.example.com", "ldaps://dc2.example.com"),
		"another secret":    replace(t, "${PASSWORD}", "p"),
		"a default written": minimal + "lifecycle: {update: {enabled: true}}\n",
		"deletions":         minimal + "lifecycle: {permanent_delete: {enabled: true, after: 60d, max: 3}}\n",
		"a guard's limit":   minimal + "guards: {max_deactivations: {count: 1}}\n",
		"another look":      minimal + "lifecycle: {deactivate: {look_again: 0s}}\n",
		"another overlap":   replace(t, ", token", ", since_overlap: 1h, token"),
		"a limit of gone":   minimal + "guards: {max_recreations: {count: 1}}\n",
		"edits restored":    minimal + "  on_drift: {default: restore, locale: restore}\n",
		"when one trips":    minimal + "guards: {on_trip: stop}\n",
		"moved expression":  replace(t, "    email_attribute: attr.mail\n", "  sources: {corp: {email_attribute: attr.mail}}\n"),
	} {
		require.Equal(t, base, digest(t, parse(t, text)), name)
	}
	seen := map[string]string{base: "base"}
	for name, text := range map[string]string{
		"filter":     replace(t, "=person", "=user"),
		"base":       replace(t, "base_dn: dc=example", "base_dn: ou=x,dc=example"),
		"mapping":    replace(t, "attr.mail", "attr.mail2"),
		"not owned":  minimal + "    locale: \"\"\n",
		"user owned": minimal + "  user_owned: [locale]\n",
		"edits":      minimal + "  on_drift: {nickname: report}\n",
		"domains":    minimal + "guards: {email_domains: [example.com]}\n",
		"matching":   minimal + "matching: []\n",
		"lifecycle":  minimal + "lifecycle: {deactivate: {grace: {missing: 1h}}}\n",
		"login":      minimal + "auth: {policy: [{source: corp, service: saml, data: attr.mail}]}\n",
		"logins":     minimal + "auth: {policy: [{source: corp, when: attr.a == attr.b, service: saml, data: attr.mail}]}\n",
		"moving":     minimal + "auth: {migrate_existing: {enabled: true}}\n",
		"sessions":   minimal + "auth: {migrate_existing: {revoke_sessions: false}}\n",
		"gone":       minimal + "lifecycle: {on_gone: recreate}\n",
		"delete":     minimal + "lifecycle: {deactivate: {delete_endpoint: true}}\n",
		"role":       minimal + "roles: [{role: r, source: corp, when: \"true\"}]\n",
		"protect":    minimal + "guards: {protect: {usernames: [root]}}\n",
	} {
		sum := digest(t, parse(t, text))
		require.Empty(t, seen[sum], name)
		seen[sum] = name
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	require.NoError(f, err)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Add([]byte(minimal))
	f.Fuzz(func(t *testing.T, data []byte) {
		l := config.Loader{Env: env, ReadFile: func(string) ([]byte, error) { return []byte("stub"), nil }}
		c, err := l.Parse("config.yaml", data)
		require.Equal(t, err == nil, c != nil)
		if err != nil {
			require.NotEmpty(t, config.Errors(err))
			require.NotEmpty(t, render(t, err))
			return
		}
		_, err = c.Effective()
		require.NoError(t, err)
		digest(t, c)
	})
}
