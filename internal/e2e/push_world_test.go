package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/state"
)

// service is a program that serves.
type service struct {
	*process
	w    *world
	base string // of the SCIM endpoint
}

var listening = regexp.MustCompile(`"msg":"listening".*"address":"([^"]+)"`)

// serve starts the program and waits until it listens.
func (w *world) serve() *service {
	w.t.Helper()
	s := &service{process: w.start("serve"), w: w}
	ended := make(chan struct{})
	go func() {
		_ = s.cmd.Wait() // ProcessState says how
		close(ended)
	}()
	s.ended = ended
	w.t.Cleanup(func() {
		s.kill()
		<-ended
		s.requireDiscreet()
		if w.t.Failed() && testing.Verbose() {
			w.t.Log(tail(s.stderr.String()))
		}
	})
	within(w.t, 20*time.Second, "the service listens", func() bool {
		m := listening.FindStringSubmatch(s.stderr.String())
		if m != nil {
			s.base = "http://" + m[1] + "/scim/v2"
		}
		select {
		case <-ended:
			require.Fail(w.t, "the service ended", s.stderr.String())
		default:
		}
		return m != nil
	})
	return s
}

// requireDiscreet fails if a line of the log above debug names a person: accounts and
// people are told by source, anchor and id.
func (s *service) requireDiscreet() {
	s.t.Helper()
	of := map[string]bool{"Given": true, "Family": true}
	for _, u := range s.w.sim.Users() {
		if u.ID == s.w.sim.AdminID() || u.IsBot {
			continue
		}
		for _, x := range []string{u.Email, u.Username, u.LastName} {
			if of[x] = true; len(x) < 5 { // it may be a word
				delete(of, x)
			}
		}
	}
	for line := range strings.Lines(s.stderr.String()) {
		if strings.Contains(line, `"level":"DEBUG"`) {
			continue
		}
		for x := range of {
			if names(strings.ReplaceAll(line, "x-"+x, ""), x) { // an anchor of the provider's
				require.Fail(s.t, "the log names a person", "%q in %s", x, line)
			}
		}
	}
}

// names tells whether a line has x as a word: an account's id is letters and digits by
// chance, in which anybody's short name is found some day.
func names(line, x string) bool {
	inWord := func(at int) bool {
		return at >= 0 && at < len(line) && (line[at]|0x20 >= 'a' && line[at]|0x20 <= 'z' || line[at] >= '0' && line[at] <= '9')
	}
	for from := 0; ; {
		at := strings.Index(line[from:], x)
		if at < 0 {
			return false
		}
		at += from
		if !inWord(at-1) && !inWord(at+len(x)) {
			return true
		}
		from = at + 1
	}
}

var shown = regexp.MustCompile(`"msg":"listening".*"component":"admin".*"address":"([^"]+)"`)

// requirePage fails unless the status page is shown.
func (s *service) requirePage() {
	s.t.Helper()
	m := shown.FindStringSubmatch(s.stderr.String())
	require.NotNil(s.t, m, "no status page listens")
	r, err := http.NewRequestWithContext(context.WithoutCancel(s.t.Context()), http.MethodGet, "http://"+m[1]+"/", nil)
	require.NoError(s.t, err)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	require.Equal(s.t, http.StatusOK, resp.StatusCode)
}

// die ends the service as a power failure would.
func (s *service) die() {
	s.t.Helper()
	s.kill()
	<-s.ended
}

// end ends the service as an administrator would.
func (s *service) end() {
	s.t.Helper()
	require.NoError(s.t, s.cmd.Process.Signal(syscall.SIGTERM))
	<-s.ended
	require.Equal(s.t, 0, s.cmd.ProcessState.ExitCode(), s.stderr.String())
}

// within fails the test unless something becomes so in time, which is given for an
// idle machine: this one runs other tests as well, and under the race detector.
func within(t testing.TB, limit time.Duration, what string, f func() bool) {
	t.Helper()
	limit *= 8
	for until := time.Now().Add(limit); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			require.Fail(t, "not within "+limit.String(), what)
		}
	}
}

// observed is a store that is looked at while programs run.
func (w *world) observed() state.Store {
	w.t.Helper()
	s := w.openStore()
	w.t.Cleanup(func() { require.NoError(w.t, s.Close()) })
	return s
}

// calm waits until nobody is due any more, but for those who are held.
func (w *world) calm(s state.Store, limit time.Duration) {
	w.t.Helper()
	within(w.t, limit, "nobody is due", func() bool {
		n, _, err := s.CountDue(context.WithoutCancel(w.t.Context()))
		require.NoError(w.t, err)
		return n == 0
	})
}

// provider is an identity provider that pushes to one source.
type provider struct {
	t      testing.TB
	source string
	token  string
	http   *http.Client

	mu   sync.Mutex
	base string
}

// provider makes a client of a source, with a token.
func (w *world) provider(source string) *provider {
	w.t.Helper()
	secret := strings.TrimSpace(w.mmsync("token", "create", "--source", source, "--name", "test", "-q").exits(0).stdout)
	pool := &http.Transport{MaxIdleConnsPerHost: 64}
	w.t.Cleanup(pool.CloseIdleConnections)
	return &provider{t: w.t, source: source, token: secret, http: &http.Client{Transport: pool}}
}

// to has it push to a service from now on.
func (p *provider) to(s *service) *provider {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.base = s.base
	return p
}

type object = map[string]any

// answer is what a provider was answered.
type answer struct {
	status int
	etag   string
	body   object
}

func (a answer) ok() bool { return a.status >= 200 && a.status <= 299 }

func (a answer) id() string {
	id, _ := a.body["id"].(string)
	return id
}

// status gives the extension that says how far Mattermost has followed.
func (a answer) progress() (state, reason string) {
	o, _ := a.body["urn:mmsync:params:scim:schemas:extension:status:1.0:User"].(object)
	state, _ = o["state"].(string)
	reason, _ = o["reason"].(string)
	return state, reason
}

// try sends a request; the error is that of a connection.
func (p *provider) try(method, path string, body any) (answer, error) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return answer{}, err
		}
		in = bytes.NewReader(b)
	}
	p.mu.Lock()
	base := p.base
	p.mu.Unlock()
	r, err := http.NewRequestWithContext(context.WithoutCancel(p.t.Context()), method, base+path, in)
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Authorization", "Bearer "+p.token)
	r.Header.Set("Content-Type", "application/scim+json")
	resp, err := p.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode, etag: resp.Header.Get("ETag")}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &a.body); err != nil {
			return a, fmt.Errorf("%s %s: %d %q: %w", method, path, resp.StatusCode, text, err)
		}
	}
	return a, nil
}

// do sends a request that has to be answered with 2xx. It may be called from any
// goroutine.
func (p *provider) do(method, path string, body any) answer {
	a, err := p.try(method, path, body)
	if err != nil || !a.ok() {
		p.t.Errorf("%s %s: %d %v %v", method, path, a.status, a.body, err)
	}
	return a
}

// employee is how a provider has the n-th person.
func employee(n int, change ...func(object)) object {
	name := fmt.Sprintf("p%04d", n)
	o := object{
		"schemas":  []string{"urn:ietf:params:scim:schemas:core:2.0:User"},
		"userName": name + "@example.test", "externalId": "x-" + name, "active": true, "title": "Clerk",
		"name":   object{"givenName": "Given", "familyName": "Family"},
		"emails": []object{{"value": name + "@example.test", "type": "work", "primary": true}},
	}
	for _, f := range change {
		f(o)
	}
	return o
}

func with(attribute string, v any) func(object) { return func(o object) { o[attribute] = v } }

func (p *provider) create(n int, change ...func(object)) string {
	return p.do(http.MethodPost, "/Users", employee(n, change...)).id()
}

// patch replaces attributes.
func (p *provider) patch(id string, values object) answer {
	return p.do(http.MethodPatch, "/Users/"+id, object{
		"schemas":    []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
		"Operations": []object{{"op": "replace", "value": values}},
	})
}

func (p *provider) user(id string) answer { return p.do(http.MethodGet, "/Users/"+id, nil) }

// find gives the id of a person by his userName, as a provider does that is not sure;
// "" if there is none.
func (p *provider) find(n int) string {
	filter := url.QueryEscape(fmt.Sprintf(`userName eq "p%04d@example.test"`, n))
	a := p.do(http.MethodGet, "/Users?filter="+filter, nil)
	list, _ := a.body["Resources"].([]any)
	if len(list) == 0 {
		return ""
	}
	o, _ := list[0].(object)
	id, _ := o["id"].(string)
	return id
}

// many is how many people there are where it is about many: all of them if
// MMSYNC_TEST_EVERY is set, for that takes minutes.
func many(usual, all int) int {
	if os.Getenv("MMSYNC_TEST_EVERY") != "" {
		return all
	}
	return usual
}

// side has f called for 0 to n-1, with so many at a time.
func side(n, at int, f func(i int)) {
	next := make(chan int)
	var wg sync.WaitGroup
	for range at {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// pushed gives the accounts of those who were pushed, by number; nil if there is none.
func (w *world) pushed(n int) []*mmsimUser {
	out := make([]*mmsimUser, n)
	users := w.sim.Users()
	for i := range users {
		var at int
		if c, err := fmt.Sscanf(users[i].Username, "p%04d", &at); err == nil && c == 1 && at < n {
			if out[at] != nil {
				w.t.Errorf("p%04d has two accounts", at)
			}
			out[at] = &users[i]
		}
	}
	return out
}

// active counts those who were pushed and can log in.
func (w *world) active() int {
	n := 0
	for _, u := range w.managed() {
		if u.Active() && len(u.Username) == 5 && u.Username[0] == 'p' {
			n++
		}
	}
	return n
}
