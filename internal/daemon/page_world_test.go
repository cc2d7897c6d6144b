package daemon

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
)

// human is one line of the source of a pageWorld.
type human map[string]string

// pageWorld is a source, a server, and the status page of a daemon between them.
type pageWorld struct {
	*Daemon
	sim    *mmsim.Server
	people string // the source's file
	server *httptest.Server
}

const pageToken = "0123456789abcdef0123456789abcdef"

// newPage opens a daemon with its page; admin is what stands in the admin section, in
// which {url} is the page's address.
func newPage(t *testing.T, admin string, people ...human) *pageWorld {
	t.Helper()
	dir := t.TempDir()
	w := &pageWorld{sim: mmsim.New(mmsim.Options{}), people: filepath.Join(dir, "people.jsonl"), server: httptest.NewUnstartedServer(nil)}
	address := w.server.Listener.Addr().String()
	w.write(t, people...)
	c, err := config.Parse(filepath.Join(dir, "config.yaml"), fmt.Appendf(nil, `version: 1
mattermost: {url: "%s", token: "%s", rate_limit: {per_second: 10000}}
state: {url: "sqlite:%s"}
sources: [{name: hr, type: file, path: people.jsonl, disabled_when: 'attr.status == "left"'}]
mapping:
  defaults:
    id_attribute: attr.id
    username_attribute: attr.login
    email_attribute: attr.mail
    first_name_attribute: attr.first
    last_name_attribute: attr.last
    nickname_attribute: attr.nick
    position_attribute: attr.title
matching: [{by: auth_data, adopt: true}, {by: email, adopt: ask}]
lifecycle: {deactivate: {look_again: 0s}}
guards: {max_deactivations: {count: 1}}
admin: {listen: "127.0.0.1:9095", %s}
`, w.sim.Start(t), w.sim.AdminToken(), filepath.Join(dir, "state.db"), strings.ReplaceAll(admin, "{url}", "http://"+address)), nil)
	require.NoError(t, err)
	w.Daemon, err = Open(t.Context(), c, Options{Version: "test"})
	require.NoError(t, err)
	w.server.Config.Handler, err = w.page(address, nil)
	require.NoError(t, err)
	w.server.Start()
	t.Cleanup(func() {
		w.server.Close()
		require.NoError(t, w.Close())
	})
	return w
}

func (w *pageWorld) write(t *testing.T, people ...human) {
	t.Helper()
	var b strings.Builder
	for _, p := range people {
		line, err := json.Marshal(p)
		require.NoError(t, err)
		b.Write(line)
		b.WriteByte('\n')
	}
	require.NoError(t, os.WriteFile(w.people, []byte(b.String()), 0o600))
}

func (w *pageWorld) sync(t *testing.T) reconcile.Report {
	t.Helper()
	rep, err := w.Engine.Sync(t.Context(), reconcile.RunOptions{Trigger: "test", RequestedBy: "root@host.example", Reason: "because"})
	require.NoError(t, err)
	return rep
}

// visitor is a browser without a screen.
type visitor struct {
	base string
	http *http.Client
}

func (w *pageWorld) visitor(t *testing.T) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &visitor{base: w.server.URL, http: &http.Client{Jar: jar}}
}

type answer struct {
	status int
	header http.Header
	body   string
	at     *url.URL
}

func (v *visitor) do(t *testing.T, method, path string, form url.Values, change ...func(*http.Request)) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, v.base+path, strings.NewReader(form.Encode()))
	require.NoError(t, err)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", v.base)
	}
	for _, c := range change {
		c(r)
	}
	resp, err := v.http.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{resp.StatusCode, resp.Header, string(body), resp.Request.URL}
}

func (v *visitor) get(t *testing.T, path string) answer {
	t.Helper()
	return v.do(t, http.MethodGet, path, nil)
}

func (v *visitor) login(t *testing.T) *visitor {
	t.Helper()
	a := v.do(t, http.MethodPost, "/login", url.Values{"token": {pageToken}, "next": {"/held"}})
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.Equal(t, "/held", a.at.Path)
	return v
}

var hiddenForm = regexp.MustCompile(`name="form" value="([^"]+)"`)

// form gives what proves that a form comes from a page.
func (v *visitor) form(t *testing.T) string {
	t.Helper()
	m := hiddenForm.FindStringSubmatch(v.get(t, "/held").body)
	require.NotNil(t, m)
	return m[1]
}

// staff are ordinary people, of whom the first few have left if left is above 0.
func staff(n, left int) []human {
	var out []human
	for i := range n {
		h := human{
			"id": fmt.Sprintf("e%02d", i), "login": fmt.Sprintf("person%02d", i), "mail": fmt.Sprintf("person%02d@example.test", i),
			"first": "Person", "last": fmt.Sprintf("Number%02d", i), "nick": "", "title": "Engineer", "status": "here",
		}
		if i < left {
			h["status"] = "left"
		}
		out = append(out, h)
	}
	return out
}
