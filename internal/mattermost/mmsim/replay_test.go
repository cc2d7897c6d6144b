package mmsim_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

// A recording is one story of requests to a real server and its answers, in
// order, from a fresh server on. Error messages and tokens were left out when
// it was made; some lines were left out that no later line needs.
type line struct {
	N       int               `json:"n"`
	Case    string            `json:"case"`
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	As      string            `json:"as"`
	Headers map[string]string `json:"headers"`
	Body    any               `json:"body"`
	Status  int               `json:"status"`
	Got     map[string]string `json:"got"`
	Answer  any               `json:"answer"`

	Event    string            `json:"event"`
	From     string            `json:"from"`
	Literal  string            `json:"literal"`
	AdminID  string            `json:"admin_id"`
	Settings map[string]string `json:"settings"`
	What     string            `json:"what"`
}

func readRecording(t *testing.T, version string) []line {
	t.Helper()
	f, err := os.Open("testdata/contract-" + version + ".jsonl.gz")
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	var out []line
	in := bufio.NewScanner(z)
	in.Buffer(nil, 8<<20)
	for in.Scan() {
		var l line
		require.NoError(t, json.Unmarshal(in.Bytes(), &l))
		out = append(out, l)
	}
	require.NoError(t, in.Err())
	return out
}

// story replays a recording on one server.
type story struct {
	t      *testing.T
	srv    *mmsim.Server
	clock  time.Time
	tokens map[string]string
	pairs  *pairs
	last   *httptest.ResponseRecorder
	heal   func() // ends the condition the recorder had made by hand
}

func newStory(t *testing.T, opts mmsim.Options) *story {
	t.Helper()
	st := &story{t: t, tokens: map[string]string{}, pairs: newPairs(), heal: func() {}}
	st.clock = time.UnixMilli(1_790_000_000_000)
	opts.Now = func() time.Time { return st.clock }
	st.srv = mmsim.New(opts)
	return st
}

// play does one line and returns how the answer differs from the recorded one.
func (st *story) play(l line) []string {
	switch l.Event {
	case "token":
		st.takeToken(l)
		return nil
	case "database":
		st.change(l.What)
		return nil
	case "restart":
		st.srv.Restart(l.Settings)
		return nil
	}
	st.conditions(l.Case)
	st.clock = st.clock.Add(5 * time.Millisecond)
	req := httptest.NewRequestWithContext(st.t.Context(), l.Method, st.pairs.toOwn(l.Path), bytes.NewReader(st.body(l.Body)))
	if token := st.tokens[l.As]; token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for key, value := range l.Headers {
		req.Header.Set(key, st.pairs.toOwn(value))
	}
	rec := httptest.NewRecorder()
	st.srv.ServeHTTP(rec, req)
	st.last = rec
	return st.pairs.compare(l, rec, st.rename)
}

// conditions are what the recorder did between two lines without saying so:
// it waited for the limiter, took the database away and locked a table.
func (st *story) conditions(name string) {
	switch {
	case name == "ratelimit.after_sleep_0":
		st.clock = st.clock.Add(1200 * time.Millisecond)
	case strings.HasPrefix(name, "dbdown."):
		st.heal()
		st.heal = st.srv.Fail(mmsim.Fault{DatabaseAway: true})
	case name == "dblock.patch":
		st.heal()
		st.heal = st.srv.Fail(mmsim.Fault{UsersLocked: time.Millisecond})
	default:
		st.heal()
		st.heal = func() {}
	}
}

func (st *story) takeToken(l line) {
	switch {
	case l.Literal != "":
		st.tokens[l.As] = l.Literal
	case l.From == "environment":
		st.tokens[l.As] = st.srv.AdminToken()
		st.pairs.bind(l.AdminID, st.srv.AdminID())
	default:
		token := st.last.Header().Get("Token")
		if token == "" {
			var body struct {
				Token string `json:"token"`
			}
			require.NoError(st.t, json.Unmarshal(st.last.Body.Bytes(), &body))
			token = body.Token
		}
		st.tokens[l.As] = token
	}
}

func (st *story) body(recorded any) []byte {
	if recorded == nil {
		return nil
	}
	expanded := expand(recorded)
	if obj, ok := expanded.(map[string]any); ok {
		if raw, ok := obj["__raw"].(string); ok {
			return []byte(st.pairs.toOwn(raw))
		}
	}
	raw, err := json.Marshal(expanded)
	require.NoError(st.t, err)
	return []byte(st.pairs.toOwn(string(raw)))
}

// rename gives an account the name that the recorded server had invented for
// it: a name made at random would sort somewhere else.
func (st *story) rename(own, recorded string) {
	u, ok := st.srv.UserByName(own)
	if ok {
		st.srv.SetUser(u.ID, func(u *mmsim.User) { u.Username = recorded })
	}
}

// change does to the simulator what was done to the recorded database.
func (st *story) change(statement string) {
	rest, ok := strings.CutPrefix(statement, "update ")
	require.True(st.t, ok, statement)
	table, rest, _ := strings.Cut(rest, " set ")
	sets, where, _ := strings.Cut(rest, " where ")
	if table == "sessions" {
		if strings.HasPrefix(sets, "expiresat=") {
			st.srv.ExpireSessions(st.pairs.toOwn(quoted(where)))
		}
		return // roles of sessions: the simulator reads the account's
	}
	require.Equal(st.t, "users", table)
	for _, u := range st.srv.Users() {
		if st.matches(u, where) {
			st.srv.SetUser(u.ID, func(u *mmsim.User) { assign(st.t, u, sets) })
		}
	}
}

func (st *story) matches(u mmsim.User, where string) bool {
	for condition := range strings.SplitSeq(where, " and ") {
		value := quoted(condition)
		switch {
		case strings.HasPrefix(condition, "id="):
			if u.ID != st.pairs.toOwn(value) {
				return false
			}
		case strings.HasPrefix(condition, "id<>"):
			if u.ID == st.pairs.toOwn(value) {
				return false
			}
		case strings.HasPrefix(condition, "username like "):
			if !strings.HasPrefix(u.Username, strings.TrimSuffix(value, "%")) {
				return false
			}
		case strings.HasPrefix(condition, "roles like "):
			if !strings.Contains(u.Roles, strings.Trim(value, "%")) {
				return false
			}
		default:
			st.t.Fatalf("condition %q", condition)
		}
	}
	return true
}

func assign(t *testing.T, u *mmsim.User, sets string) {
	t.Helper()
	for set := range strings.SplitSeq(sets, ", ") {
		key, value, _ := strings.Cut(set, "=")
		switch key {
		case "roles":
			u.Roles = quoted(value)
		case "authservice":
			u.AuthService = quoted(value)
		case "authdata":
			u.AuthData = ""
		case "deleteat":
			u.DeleteAt = int64(len(strings.Trim(value, "0"))) // 0 or 1
		default:
			t.Fatalf("assignment %q", set)
		}
	}
}

func quoted(text string) string {
	_, rest, _ := strings.Cut(text, "'")
	value, _, _ := strings.Cut(rest, "'")
	return value
}

// recordedEnvironment is what the recorded server was started with, as far as
// it shows: GET /config/environment names the settings, not their values.
func recordedEnvironment(lines []line) map[string]string {
	values := map[string]string{
		"MM_SERVICESETTINGS_SITEURL": "http://127.0.0.1:8065", "MM_CLOUDSETTINGS_CWSURL": "http://127.0.0.1:9",
		"MM_TEAMSETTINGS_ENABLEOPENSERVER": "true", "MM_SERVICESETTINGS_ENABLEUSERACCESSTOKENS": "true",
		"MM_TEAMSETTINGS_MAXUSERSPERTEAM": "100000", "MM_TEAMSETTINGS_MAXCHANNELSPERTEAM": "100000",
	}
	for _, l := range lines {
		if l.Case != "config.environment" {
			continue
		}
		sections, _ := l.Answer.(map[string]any)
		for section, keys := range sections {
			named, _ := keys.(map[string]any)
			for key := range named {
				name := strings.ToUpper("MM_" + section + "_" + key)
				if _, ok := values[name]; !ok {
					values[name] = ""
				}
			}
		}
		break
	}
	return values
}

func isJSON(rec *httptest.ResponseRecorder) bool {
	return strings.HasPrefix(rec.Header().Get("Content-Type"), "application/json") && rec.Code != http.StatusNotModified
}
