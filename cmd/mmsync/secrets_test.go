package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/addrtest"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/slapdtest"
)

// What must never be printed, whatever goes wrong.
const (
	canaryToken = "canarytokencanarytokencana" // as long as a real one
	canaryBind  = "canary-bind-Pässword!"
	canaryState = "canary-state-p@ss/word"
	canaryProxy = "canary-proxy-password"
	canaryHook  = "canary-hook-address"
	canaryMail  = "canary-mail-Pässword!"
	canaryPage  = "canary-page-token-of-enough-letters!"
	canarySeal  = "canary-seal-of-logins-of-enough-letters"
	canaryOIDC  = "canary-oidc-secret"
)

// everyCommand gives arguments for each command that does something; a command
// that is missing here fails the test.
func everyCommand() map[string][][]string {
	return map[string][][]string{
		"audit":                    {{}},
		"audit export":             {{}, {"--format", "csv"}},
		"audit forget":             {{"nobody", "--reason", "test"}},
		"audit list":               {{}, {"-o", "json"}},
		"audit prune":              {{"--older-than", "400d", "--reason", "test"}},
		"audit rotate-key":         {{"--reason", "test"}},
		"audit verify":             {{}, {"-o", "json"}},
		"change-locked":            {{}, {"--user", "nobody", "--expect", "0", "--reason", "test"}},
		"delete-accounts":          {{}},
		"delete-accounts plan":     {{}, {"-o", "json"}},
		"delete-accounts apply":    {{"nonesuch", "--expect", "1", "--reason", "test"}},
		"migrate-auth":             {{}},
		"migrate-auth apply":       {{"nonesuch", "--reason", "test"}},
		"migrate-auth plan":        {{}, {"-o", "json"}},
		"migrate-auth resume":      {{"--reason", "test"}},
		"migrate-auth rollback":    {{"nonesuch"}, {"--batch", "1", "--expect", "0", "--reason", "test"}},
		"check-config":             {{}, {"--print-effective"}, {"-o", "json"}},
		"leftovers":                {{"--disable", "--expect", "0", "--reason", "test"}, {"--all"}},
		"deactivate":               {{"nobody", "--now", "--reason", "test"}, {"anna.schmidt", "--now", "--reason", "test", "--dry-run"}},
		"completion bash":          {{}},
		"completion fish":          {{}},
		"completion zsh":           {{}},
		"completion powershell":    {{}},
		"demo":                     {{"--once", "--users", "3", "--mattermost-listen", "127.0.0.1:0"}},
		"doctor":                   {{}, {"-o", "json"}},
		"eval":                     {{"attr.mail", "--user", "anna.schmidt"}, {"attr.userPassword", "--user", "nobody"}},
		"explain":                  {{"anna.schmidt"}, {"admin"}, {"nobody"}},
		"help":                     {{}},
		"history":                  {{}, {"-o", "json"}},
		"hold":                     {{"--reason", "test", "--for", "1ms"}, {"--user", "nobody", "--reason", "test"}},
		"hold list":                {{}, {"-o", "json"}},
		"hold release":             {{"--all", "--reason", "test"}, {"nothing", "--reason", "test"}},
		"link":                     {{}},
		"link approve":             {{"nobody"}, {"--all", "--dry-run"}},
		"link conflicts":           {{}, {"-o", "csv"}},
		"link export":              {{}},
		"link free-name":           {{"nobody", "--reason", "test"}},
		"link ignore":              {{"--list"}, {"anna.schmidt", "admin", "--reason", "test"}},
		"link import":              {{"nowhere.jsonl", "--dry-run"}},
		"link list":                {{}, {"-o", "json"}},
		"plan":                     {{}, {"-o", "json"}, {"--audit", "--redact"}, {"--revert", "2026"}},
		"apply":                    {{"nonesuch.json"}},
		"approve":                  {{"--list"}, {"nonesuch", "--reason", "test"}, {"2", "--dry-run"}},
		"reject":                   {{"nonesuch", "--reason", "test"}},
		"link purge":               {{"nowhere", "--dry-run"}},
		"link contribute":          {{"nobody", "anna.schmidt", "--reason", "test"}},
		"link hand-over":           {{"nobody", "corp", "--reason", "test"}, {"--all", "corp", "corp", "--dry-run"}},
		"link rekey":               {{"nobody", "anna.schmidt", "--reason", "test"}},
		"link release":             {{"nobody", "--reason", "test"}},
		"link set":                 {{"anna.schmidt", "nobody", "--reason", "test"}},
		"link unmanaged":           {{}, {"-o", "json"}},
		"state":                    {{}},
		"state accept-restore":     {{"--reason", "test"}},
		"state migrate":            {{}},
		"state rebind":             {{"mattermost", "--reason", "test"}},
		"state rebuild":            {{"--from", "nowhere.jsonl", "--reason", "test"}},
		"state status":             {{}},
		"status":                   {{}, {"-o", "json"}, {"--fail-older-than", "1ns"}},
		"notify":                   {{}},
		"notify test":              {{}, {"-o", "json"}, {"hook"}},
		"serve":                    {{"--timeout", "500ms"}},
		"sync":                     {{}, {"-o", "json"}, {"--dry-run"}},
		"state backup":             {{"-"}, {"nowhere/secrets.backup"}},
		"state restore":            {{"config.yaml"}, {"nowhere.backup"}, {"config.yaml", "--identity", "config.yaml"}},
		"token":                    {{}},
		"token create":             {{"--source", "push", "--name", "second"}},
		"token list":               {{"--all"}, {"-o", "json"}},
		"token revoke":             {{"first", "--reason", "test"}, {"nobody", "--reason", "test"}},
		"token rotate":             {{"first"}, {"nobody"}},
		"completion":               {{}},
		"version":                  {{}},
		"import":                   {{}},
		"import mattermost-config": {{"testdata/secrets/mattermost.json"}, {"testdata/secrets/mistake.json"}, {"testdata/secrets/kind.json"}},
	}
}

func TestSecrets_areNeverPrinted(t *testing.T) {
	t.Parallel()
	require.ElementsMatch(t, runnable(newRoot()), keysOf(everyCommand()), "give the command a place in this test")
	worlds := map[string]func(*testing.T, *secretWorld){
		"all is well": func(*testing.T, *secretWorld) {},
		"with postgres": func(t *testing.T, w *secretWorld) {
			u, err := url.Parse(pgtest.URL(t))
			require.NoError(t, err)
			u.User = url.UserPassword(u.User.Username(), canaryState) // this server asks for none
			w.store = u.String()
		},
		"a database that is not there": func(_ *testing.T, w *secretWorld) {
			w.store = "postgres://mmsync:" + url.QueryEscape(canaryState) + "@127.0.0.1:1/mmsync"
		},
		"the token is refused":     func(_ *testing.T, w *secretWorld) { w.sim = mmsim.Options{} },
		"the bind is refused":      func(_ *testing.T, w *secretWorld) { w.ldap = slapdtest.Faults{BindCode: 49} },
		"a page instead of an API": func(_ *testing.T, w *secretWorld) { w.fault = &mmsim.Fault{HTML: true} },
		"a redirect":               func(_ *testing.T, w *secretWorld) { w.fault = &mmsim.Fault{Redirect: "https://login.example.com/"} },
		"a proxy that is not there": func(_ *testing.T, w *secretWorld) {
			w.proxy = "http://mmsync:" + canaryProxy + "@127.0.0.1:1"
			w.only = []string{"doctor", "plan", "explain", "check-config"} // each waits for it
		},
		"a configuration full of mistakes": func(_ *testing.T, w *secretWorld) {
			w.extra = "  tokn: " + canaryToken + "\n  proxy_url: \"ftp://x:" + canaryProxy + "@y\"\n"
		},
	}
	for name, shape := range worlds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &secretWorld{sim: mmsim.Options{AdminToken: canaryToken}, store: "sqlite:" + filepath.Join(t.TempDir(), "state.db")}
			shape(t, w)
			w.write(t)
			w.run(t, "sync") // so that the others have something to show
			w.issue(t)
			for command, variants := range everyCommand() {
				if len(w.only) > 0 && !slices.Contains(w.only, command) {
					continue
				}
				for _, args := range variants {
					w.run(t, append(strings.Fields(command), args...)...)
				}
			}
			require.Greater(t, w.printed, 5_000, "the commands did print something")
			w.watch(t)
			w.requireNoneKept(t)
		})
	}
}

// secretWorld is a configuration whose secrets are all canaries.
type secretWorld struct {
	sim                 mmsim.Options
	fault               *mmsim.Fault
	ldap                slapdtest.Faults
	store, proxy, extra string
	only                []string // commands; empty is all

	admin   string // address
	dir     string
	printed int
	issued  string // the secret of a token; "" if none could be made
}

func (w *secretWorld) write(t *testing.T) {
	t.Helper()
	sim := mmsim.New(w.sim)
	target := sim.Start(t)
	if w.fault != nil {
		sim.Fail(*w.fault)
	}
	directory := slapdtest.NewFake(t, slapdtest.FakePeople(8), w.ldap)
	if w.proxy != "" {
		w.extra += "  proxy_url: " + w.proxy + "\n"
	}
	var err error
	w.admin, err = addrtest.Free()
	require.NoError(t, err)
	w.dir = t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "token"), []byte(canaryToken+"\n"), 0o644)) //nolint:gosec // doctor is to warn of it
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "config.yaml"), fmt.Appendf(nil, `version: 1
mattermost:
  url: %s
  token_file: token
%sstate:
  url: ${STATE_URL}
sources:
  - name: corp
    type: ldap
    connection_url: ["%s"]
    bind_username: %s
    bind_password: "%s"
    base_dn: %s
    user_filter: (objectClass=inetOrgPerson)
  - {name: push, type: scim}
scim: {listen: "127.0.0.1:0"}
admin:
  listen: "%s"
  public_url: http://%[7]s
  token: %[10]q
  login:
    session_key: %[11]q
    oidc: {issuer: "https://127.0.0.1:1", client_id: mmsync, client_secret: %[12]q, viewers: {any: true}}
mapping:
  defaults: {id_attribute: attr.entryUUID, username_attribute: attr.uid, email_attribute: attr.mail}
notices:
  sinks:
    - {name: chat, type: mattermost, channel: ops/identity}
    - name: hook
      type: webhook
      url: http://127.0.0.1:1/%[8]s
      secret: %[9]s
    - {name: mail, type: email, server: "127.0.0.1:1", username: mmsync, password: "%[9]s", from: a@example.com, to: b@example.com}
`, target, w.extra, directory.URL, slapdtest.ReaderDN, canaryBind, slapdtest.BaseDN, w.admin, canaryHook, canaryMail, canaryPage, canarySeal, canaryOIDC), 0o600))
}

// watch asks a service what it tells those who watch it, once it has looked at all parts,
// if there is a service: most of these worlds let none begin, or break what it needs.
func (w *secretWorld) watch(t *testing.T) {
	t.Helper()
	if len(w.only) > 0 {
		return
	}
	ctx, stop := context.WithCancel(t.Context())
	var out bytes.Buffer
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"serve", "-vv"}, &out, &out, w.env) }()
	begun := true
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/", "/login"} {
		body := ""
		for start := time.Now(); begun && time.Since(start) < time.Minute; time.Sleep(50 * time.Millisecond) {
			body = askOnce(t, "http://"+w.admin+path)
			select {
			case code := <-ended:
				require.NotEqual(t, exitOK, code, "it did not begin")
				begun = false
			default:
			}
			if body != "" && !strings.Contains(body, "not looked at yet") && !strings.Contains(body, "not asked yet") {
				break
			}
		}
		require.NotContains(t, body, "not looked at yet")
		require.Equal(t, begun, body != "", path)
		for _, secret := range w.secrets() {
			require.NotContains(t, body, secret, path)
		}
	}
	stop()
	if begun {
		<-ended
	}
	for _, secret := range w.secrets() {
		require.NotContains(t, out.String(), secret)
	}
}

// askOnce gives the body of an answer; "" if there is none.
func askOnce(t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body)
}

func (w *secretWorld) env(name string) (string, bool) {
	value, ok := map[string]string{"MMSYNC_CONFIG": filepath.Join(w.dir, "config.yaml"), "STATE_URL": w.store}[name]
	return value, ok
}

// issue makes a token, whose secret is shown by this one command and never again.
func (w *secretWorld) issue(t *testing.T) {
	t.Helper()
	var out, rest bytes.Buffer
	args := []string{"token", "create", "--source", "push", "--name", "first", "-q", "--timeout", "20s"}
	if run(t.Context(), args, &out, &rest, w.env) == exitOK {
		w.issued = strings.TrimSpace(out.String())
		require.Regexp(t, "^mms_[A-Za-z0-9_-]{43}$", w.issued)
		require.NotContains(t, rest.String(), w.issued)
	}
}

func (w *secretWorld) secrets() []string {
	if w.issued == "" {
		return canaries()
	}
	return append(canaries(), w.issued, strings.TrimPrefix(w.issued, "mms_"))
}

func (w *secretWorld) run(t *testing.T, args ...string) {
	t.Helper()
	var out bytes.Buffer // both streams: a secret is one wherever it is
	all := append(args, "-vv", "--timeout", "20s")
	code := run(t.Context(), all, &out, &out, w.env)
	require.NotEqual(t, exitUsage, code, "mmsync %s: %s", strings.Join(args, " "), out.String())
	for _, secret := range w.secrets() {
		require.NotContains(t, out.String(), secret, "mmsync %s", strings.Join(args, " "))
	}
	w.printed += out.Len()
}

// canaries are the secrets and the forms they take in URLs.
func canaries() []string {
	var out []string
	for _, s := range []string{canaryToken, canaryBind, canaryState, canaryProxy, canaryHook, canaryMail, canaryPage, canarySeal, canaryOIDC} {
		out = append(out, s, url.QueryEscape(s), url.PathEscape(s), url.UserPassword("", s).String()[1:])
	}
	return append(out, canaryToken[:12], canaryBind[:12], canaryState[:12], canaryProxy[:12], canaryHook[:12], canaryMail[:12], canaryPage[:12], canarySeal[:12], canaryOIDC[:12])
}

// requireNoneKept looks into the files of the store.
func (w *secretWorld) requireNoneKept(t *testing.T) {
	t.Helper()
	path, ok := strings.CutPrefix(w.store, "sqlite:")
	if !ok {
		return
	}
	files, err := filepath.Glob(path + "*")
	require.NoError(t, err)
	for _, f := range files {
		data, err := os.ReadFile(f)
		require.NoError(t, err)
		for _, secret := range w.secrets() {
			require.NotContains(t, string(data), secret, f)
		}
	}
}

func newRoot() *cobra.Command {
	return (&app{env: func(string) (string, bool) { return "", false }, stop: func() {}}).root()
}

// runnable lists the commands below root by the words that call them.
func runnable(root *cobra.Command) []string {
	var out []string
	for _, c := range commands(root) {
		if name := strings.TrimPrefix(c.CommandPath(), "mmsync"); name != "" && c.Runnable() {
			out = append(out, strings.TrimSpace(name))
		}
	}
	return out
}

func keysOf(m map[string][][]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	return out
}
