package reconcile_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// wire carries one process's requests to the simulated server without a network
// in between, and looks at each write on its way. What the network does to it is
// decided here: it takes a while, gets lost, or arrives long after its sender has
// given up on it.
type wire struct {
	s   *storm
	run *stormRun
}

var errWire = errors.New("the connection is gone")

var writePath = regexp.MustCompile(`^/api/v4/users/([a-z0-9]{26})(?:/(patch|active|roles|auth|sessions/revoke/all|promote|demote))?$`)

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	c := w.run.crash
	if c.dead.Load() {
		return nil, errCrash
	}
	die := (c.kind == beforeRequest || c.kind == afterRequest) && c.now()
	if die && c.kind == beforeRequest {
		c.dead.Store(true)
		return nil, errCrash
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
	}
	if r.URL.Host != "127.0.0.1:8065" {
		w.s.wrong("run %s: a request went to %s", w.run.name, r.URL.Host)
	}
	a, late := w.leaves(r, body)
	if late > 0 {
		w.s.flights.Go(func() {
			time.Sleep(late)
			again := r.Clone(context.WithoutCancel(r.Context()))
			again.Header.Set("Late", "yes")
			if resp, err := w.serve(again, body, a); err == nil {
				_ = resp.Body.Close()
			}
			w.lands(a)
		})
		time.Sleep(2 * time.Millisecond)
		if die {
			c.dead.Store(true)
			return nil, errCrash
		}
		return nil, errWire
	}
	time.Sleep(time.Millisecond + w.run.slow)
	resp, err := w.serve(r, body, a)
	w.lands(a)
	time.Sleep(time.Millisecond)
	if die {
		c.dead.Store(true)
	}
	if c.dead.Load() {
		return nil, errCrash
	}
	return resp, err
}

// leaves looks at a request that sets out; a is nil for those that change nothing.
func (w wire) leaves(r *http.Request, body []byte) (a *attempt, late time.Duration) {
	b := &w.s.book
	b.mu.Lock()
	defer b.mu.Unlock()
	kind, account := writeOf(r)
	if kind == "" {
		return nil, 0
	}
	a = &attempt{kind: kind, account: account, at: time.Now(), run: w.run, offset: w.s.offset}
	if isPlace(kind) {
		if _, _, a.space = placeOf(r); account == "" {
			var in struct {
				UserID string `json:"user_id"`
			}
			_ = json.Unmarshal(body, &in)
			a.account, account = in.UserID, in.UserID
		}
	}
	b.attempts = append(b.attempts, a)
	name := account
	if kind == plan.CreateAccount {
		var in struct {
			Username string `json:"username"`
		}
		_ = json.Unmarshal(body, &in)
		name = "new " + in.Username
	}
	note := b.match(w.run, a, name)
	if note == nil {
		b.wrong("run %s: %s of %s left without an op that was marked as sent", w.run.name, kind, name)
	}
	if kind == plan.CreateAccount && note != nil {
		name = "new " + note.key.String() // of two people who want one name the server refuses one
	}
	if other := b.flying[name]; other != "" && kind != plan.RevokeSessions { // which does not write the account
		b.wrong("run %s: %s of %s left while %s was on its way", w.run.name, kind, name, other)
	}
	if kind != plan.RevokeSessions {
		b.flying[name] = string(kind) + " of run " + w.run.name
	}
	if w.run.refused {
		b.wrong("run %s: %s of %s, and the store belongs to another server", w.run.name, kind, name)
	}
	if kind != plan.CreateAccount {
		w.allowed(a, note, body)
	}
	if w.run.late > 0 && b.wr.Float64() < w.run.late {
		a.late = true
		late = time.Duration(1+b.wr.IntN(44)) * time.Second
		w.s.seen.add("late call")
	}
	shown := string(body)
	if at := strings.Index(shown, `"password"`); at >= 0 {
		shown = shown[:at] + "…"
	}
	b.tell("      %s: %s %s %s, arrives after %s", w.run.name, kind, name, shown, late)
	return a, late
}

func writeOf(r *http.Request) (plan.OpKind, string) {
	if r.Method == http.MethodPost && r.URL.Path == "/api/v4/users" {
		return plan.CreateAccount, ""
	}
	if kind, account, _ := placeOf(r); kind != "" {
		return kind, account
	}
	m := writePath.FindStringSubmatch(r.URL.Path)
	if m == nil || r.Method == http.MethodGet {
		return "", ""
	}
	switch kinds := map[string]plan.OpKind{
		"patch": plan.PatchProfile, "active": plan.SetActive, "roles": plan.SetRoles, "auth": plan.SetAuth, "sessions/revoke/all": plan.RevokeSessions,
		"promote": plan.Promote, "demote": plan.Demote,
	}; {
	case r.Method == http.MethodDelete && m[2] == "":
		return plan.SetActive, m[1]
	default:
		return kinds[m[2]], m[1]
	}
}

// match finds the op that a write carries out.
func (b *book) match(run *stormRun, a *attempt, name string) *opNote {
	for ref, n := range b.ops {
		if again := n.op.Kind == plan.RevokeSessions; (n.run != run && !again) || !n.sent || // ending sessions is repeated, in recovery
			n.status.Closed() || n.op.Kind != a.kind || n.op.SpaceID != a.space {
			continue
		}
		if a.kind == plan.CreateAccount {
			if to, _ := n.op.To(plan.Field(identity.Username)); "new "+to != name {
				continue
			}
		} else if n.account != a.account && (n.account != "" || b.owner[a.account] != n.key) {
			continue
		}
		a.ref = ref
		return n
	}
	return nil
}

func (w wire) lands(a *attempt) {
	if a == nil {
		return
	}
	b := &w.s.book
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, what := range b.flying {
		if what == string(a.kind)+" of run "+a.run.name && (name == a.account || (a.kind == plan.CreateAccount && b.createdBy(a, name))) {
			delete(b.flying, name)
		}
	}
}

func (b *book) createdBy(a *attempt, name string) bool {
	n := b.ops[a.ref]
	if n == nil {
		return true
	}
	return "new "+n.key.String() == name
}

// answerBuffer takes one answer.
type answerBuffer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *answerBuffer) Header() http.Header { return w.header }

func (w *answerBuffer) WriteHeader(status int) { w.status = status }

func (w *answerBuffer) Write(p []byte) (int, error) { return w.body.Write(p) }

// serve has the server answer, and notes whether a write had its effect.
func (w wire) serve(r *http.Request, body []byte, a *attempt) (resp *http.Response, err error) {
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler { //nolint:errorlint // net/http compares it so too
				panic(p)
			}
			resp, err = nil, errWire
		}
	}()
	r.Body = io.NopCloser(bytes.NewReader(body))
	var before mmsim.User
	var there bool
	if a != nil {
		w.save(a)
		before, there = w.target(a, body)
		a.in, a.admin, _ = w.s.sim.Place(a.space, a.account)
		defer func() { w.effect(a, body, before, there) }()
	}
	out := &answerBuffer{header: http.Header{}}
	if !w.s.licensed(out, r) {
		w.s.sim.ServeHTTP(out, r)
	}
	data := out.body.Bytes()
	if r.URL.Path == "/api/v4/users/ids" && out.status == http.StatusOK {
		data = w.forget(data)
	}
	return &http.Response{
		StatusCode: out.status, Header: out.header, Body: io.NopCloser(bytes.NewReader(data)), ContentLength: int64(len(data)),
		Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

// save lets the account's owner save his profile at the same moment, once a run.
func (w wire) save(a *attempt) {
	b := &w.s.book
	b.mu.Lock()
	defer b.mu.Unlock()
	if a.kind != plan.CreateAccount && w.run.savers[a.account] {
		a.raced = !w.run.saved[a.account]
	}
	if !a.raced {
		return
	}
	w.run.saved[a.account] = true
	token, id := w.s.tokens[a.account], a.account
	b.tell("      %s: the owner of %s saves his profile at the same time", w.run.name, id)
	w.s.seen.add("saved at the same time")
	w.s.flights.Go(func() {
		r, _ := http.NewRequestWithContext(context.Background(), http.MethodPut, "http://127.0.0.1:8065/api/v4/users/me/patch", strings.NewReader(`{"nickname":"`+w.run.name+`"}`))
		r.Header.Set("Authorization", "Bearer "+token)
		_ = w.s.behind(r)
	})
}

func (w wire) target(a *attempt, body []byte) (mmsim.User, bool) {
	if a.kind != plan.CreateAccount {
		return w.s.sim.User(a.account)
	}
	var in struct{ Username string }
	_ = json.Unmarshal(body, &in)
	return w.s.sim.UserByName(in.Username)
}

// effect notes whether the account shows now what a write asked for and did not
// before.
func (w wire) effect(a *attempt, body []byte, before mmsim.User, was bool) {
	after, is := w.target(a, body)
	in, admin, _ := w.s.sim.Place(a.space, a.account)
	b := &w.s.book
	b.mu.Lock()
	defer b.mu.Unlock()
	note := b.ops[a.ref]
	if note == nil || !is {
		return
	}
	switch a.kind {
	case plan.CreateAccount:
		if a.effective = !was; a.effective {
			b.made[after.ID], a.account = note.key, after.ID
			a.run.born[after.ID] = true
		}
	case plan.RevokeSessions:
		return
	case plan.JoinTeam, plan.JoinChannel, plan.LeaveTeam, plan.LeaveChannel:
		a.effective = a.in != in
	case plan.SetTeamRoles, plan.SetChannelRoles:
		a.effective = a.in && in && a.admin != admin
	default:
		a.effective = was && !shows(note.op, before) && shows(note.op, after)
	}
	if a.effective {
		a.stepped = (w.s.offset - a.offset).Abs() > 2*time.Second
		switch a.kind {
		case plan.Demote:
			b.demoted[a.account] = true
			w.s.seen.add("made a guest")
		case plan.Promote:
			delete(b.demoted, a.account)
			w.s.seen.add("made a full member")
		default:
		}
		if after.DeleteAt != 0 && a.kind == plan.SetActive {
			b.undated[a.account] = a.stepped
			if b.ourOff[a.account] == nil {
				b.ourOff[a.account] = map[int64]bool{}
			}
			b.ourOff[a.account][after.DeleteAt] = true
			a.run.cutOff[a.account] = true
		}
	}
	if a.late {
		b.tell("      %s: the late %s of %s arrives, effective %v", a.run.name, a.kind, a.account, a.effective)
	}
}

func shows(op plan.Op, u mmsim.User) bool {
	is := map[plan.Field]string{
		plan.Field(identity.Username): u.Username, plan.Field(identity.Email): u.Email, plan.Field(identity.Position): u.Position,
		plan.Field(identity.FirstName): u.FirstName, plan.FieldAuthService: u.AuthService, plan.FieldAuthData: u.AuthData,
		plan.FieldRoles: identity.ParseRoles(u.Roles).String(), plan.FieldActive: map[bool]string{true: "true", false: "false"}[u.Active()],
	}
	for _, c := range op.Changes {
		if is[c.Field] != c.To {
			return false
		}
	}
	return true
}

// forget leaves an account out of an answer about ids.
func (w wire) forget(data []byte) []byte {
	b := &w.s.book
	b.mu.Lock()
	defer b.mu.Unlock()
	if w.run.forget == 0 || (w.run.forget < 1 && b.wr.Float64() >= w.run.forget) {
		return data
	}
	var list []json.RawMessage
	if json.Unmarshal(data, &list) != nil || len(list) == 0 {
		return data
	}
	at := slices.IndexFunc(list, func(m json.RawMessage) bool { return w.s.lost != "" && bytes.Contains(m, []byte(w.s.lost)) })
	if at < 0 {
		at = b.wr.IntN(len(list))
		var one struct{ ID string }
		_ = json.Unmarshal(list[at], &one)
		w.s.lost = one.ID // the next time as well
	}
	list = append(list[:at], list[at+1:]...)
	out, _ := json.Marshal(list)
	w.s.seen.add("an answer lacks an account")
	b.tell("      %s: an answer about ids lacks an account", w.run.name)
	return out
}
