package scim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	protocol "github.com/mmsync/mmsync/internal/scim"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/scim"
	"github.com/mmsync/mmsync/internal/state"
	"github.com/mmsync/mmsync/internal/state/sqlite"
)

// engine notes who was to be worked on.
type engine struct {
	mu     sync.Mutex
	pushed []string
}

func (e *engine) Push(_ context.Context, k identity.Key) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pushed = append(e.pushed, k.Anchor)
	return nil
}

func (e *engine) Poke() {}

func (e *engine) Forbids(_ context.Context, id identity.Identity) (string, error) {
	if id.Active && id.Profile.Username == "admin" {
		return "Another account has the name.", nil
	}
	return "", nil
}

// endpoint is a client's resources behind the real protocol.
type endpoint struct {
	t      *testing.T
	h      http.Handler
	store  *sqlite.Store
	source *scim.Source
	engine *engine
}

func newEndpoint(t *testing.T, roles ...sources.RoleRule) *endpoint {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlite.Scheme+filepath.Join(t.TempDir(), "state.db"), sqlite.Options{Volatile: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	_, err = store.Migrate(t.Context())
	require.NoError(t, err)
	e := &endpoint{t: t, store: store, engine: &engine{}}
	e.source = e.newSource("idp", roles...)
	e.h = e.serve(e.source)
	return e
}

func (e *endpoint) newSource(name string, roles ...sources.RoleRule) *scim.Source {
	e.t.Helper()
	at := func(s string) sources.Expr { return sources.Expr{Source: s} }
	m, err := sources.Compile(name, sources.Rules{
		ID: at("attr.id"), Username: at(`lower(attr.userName.split("@")[0])`), Email: at("attr.email"), FirstName: at("attr.givenName"),
		Position: at("attr.department"), Roles: roles, Picture: sources.PictureRule{Attribute: at("attr.`photos.photo`"), MaxSize: 1 << 20},
	}, sources.CompileOptions{})
	require.NoError(e.t, err)
	s, err := scim.New(scim.Options{Name: name, Mapper: m, Store: e.store})
	require.NoError(e.t, err)
	return s
}

func (e *endpoint) serve(s *scim.Source) http.Handler {
	e.t.Helper()
	b := scim.NewBackend(scim.BackendOptions{Refuse: s.Name() == "strict", KnownMembers: s.Name() == "strict", Source: s, Store: e.store, Engine: e.engine, Inline: time.Second, UniqueGroups: true})
	h, err := protocol.New(protocol.Options{
		Types: []*protocol.ResourceType{scim.UserType(s.Name() == "strict"), protocol.GroupType()}, BaseURL: "https://sync.example/scim/v2", Prefix: "/scim/v2",
		Open: func(*http.Request) (protocol.Session, error) {
			return protocol.Session{Backend: b, Name: s.Name()}, nil
		},
		Limits: protocol.Limits{Rate: -1}, Lenient: protocol.AllLenient(),
	})
	require.NoError(e.t, err)
	return h
}

func ask(t *testing.T, h http.Handler, method, path, body string) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "/scim/v2"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/scim+json")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var out map[string]any
	if w.Body.Len() > 0 {
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out), w.Body.String())
	}
	return w.Code, out
}

func (e *endpoint) ask(method, path, body string) (int, map[string]any) {
	e.t.Helper()
	return ask(e.t, e.h, method, path, body)
}

// user creates one and gives its id.
func (e *endpoint) user(name string) string {
	e.t.Helper()
	code, out := e.ask(http.MethodPost, "/Users", fmt.Sprintf(`{"userName":"%s@example.org","externalId":"x-%s","emails":[{"value":"%s@example.org","type":"work"}],"active":true}`, name, name, name))
	require.Equal(e.t, http.StatusCreated, code, out)
	return text(out, "id")
}

func (e *endpoint) group(name string, members ...string) string {
	e.t.Helper()
	list := make([]string, len(members))
	for i, m := range members {
		list[i] = fmt.Sprintf(`{"value":%q}`, m)
	}
	code, out := e.ask(http.MethodPost, "/Groups", fmt.Sprintf(`{"displayName":%q,"externalId":"g-%s","members":[%s]}`, name, name, strings.Join(list, ",")))
	require.Equal(e.t, http.StatusCreated, code, out)
	return text(out, "id")
}

func (e *endpoint) patch(path, ops string) (int, map[string]any) {
	e.t.Helper()
	return e.ask(http.MethodPatch, path, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[`+ops+`]}`)
}

// wanted gives how one person is wanted.
func (e *endpoint) wanted(id string) identity.Identity {
	e.t.Helper()
	list, err := e.source.Wanted(e.t.Context(), []string{id})
	require.NoError(e.t, err)
	require.Len(e.t, list, 1)
	return list[0]
}

func (e *endpoint) due() []string {
	e.t.Helper()
	list, err := e.store.Due(e.t.Context(), 0)
	require.NoError(e.t, err)
	var out []string
	for _, d := range list {
		out = append(out, d.Key.Anchor)
	}
	l, err := e.store.AcquireLease(e.t.Context(), "reconcile", "test", time.Minute)
	require.NoError(e.t, err)
	require.NoError(e.t, e.store.Done(e.t.Context(), l, list))
	require.NoError(e.t, e.store.ReleaseLease(e.t.Context(), l))
	return out
}

func TestBackend_User(t *testing.T) {
	t.Parallel()
	t.Run("is kept without a password, and due", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t)
		code, out := e.ask(http.MethodPost, "/Users", `{"userName":"nora@example.org","password":"Tmp-pass-1","emails":[{"value":"nora@example.org"}]}`)
		require.Equal(t, http.StatusCreated, code)
		id := text(out, "id")
		require.Equal(t, []string{id}, e.engine.pushed)
		require.Equal(t, []string{id}, e.due())
		kept, err := e.store.Resources(t.Context(), state.ResourceFilter{Source: "idp", Type: "User"})
		require.NoError(t, err)
		require.NotContains(t, string(kept[0].Body), "Tmp-pass-1")
		who := e.wanted(id)
		require.Equal(t, identity.Key{Source: "idp", Anchor: id}, who.Key)
		require.Equal(t, "nora", who.Profile.Username)
		require.True(t, who.Active)
	})
	t.Run("who is deleted has left, and the name is free again", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t)
		id := e.user("nora")
		code, _ := e.ask(http.MethodDelete, "/Users/"+id, "")
		require.Equal(t, http.StatusNoContent, code)
		code, _ = e.ask(http.MethodGet, "/Users/"+id, "")
		require.Equal(t, http.StatusNotFound, code)
		require.False(t, e.wanted(id).Active)
		require.NotEqual(t, id, e.user("nora"))
		snap, err := e.source.Snapshot(t.Context(), nil)
		require.NoError(t, err)
		require.True(t, snap.Complete)
		require.Len(t, snap.Identities, 2)
	})
	t.Run("a taken userName is refused in any case, and names no value of anybody's", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t)
		e.user("nora")
		code, out := e.ask(http.MethodPost, "/Users", `{"userName":"NORA@example.org"}`)
		require.Equal(t, http.StatusConflict, code)
		require.Equal(t, "uniqueness", out["scimType"])
	})
	t.Run("whoever is to leave is not refused for a name that is taken: he keeps his own", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t)
		e.user("omar")
		id := e.user("nora")
		code, out := e.patch("/Users/"+id, `{"op":"replace","value":{"active":false,"userName":"OMAR@example.org","title":"Gone"}}`)
		require.Equal(t, http.StatusOK, code, out)
		require.Equal(t, []any{"nora@example.org", "Gone", false}, []any{out["userName"], out["title"], out["active"]})
		require.False(t, e.wanted(id).Active)
		code, _ = e.ask(http.MethodPut, "/Users/"+id, `{"userName":"omar@example.org","active":false}`)
		require.Equal(t, http.StatusOK, code)
		code, _ = e.patch("/Users/"+id, `{"op":"replace","value":{"active":true,"userName":"omar@example.org"}}`)
		require.Equal(t, http.StatusConflict, code)
	})
	t.Run("found by what is indexed and by what is not", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t)
		id := e.user("nora")
		e.user("omar")
		for _, f := range []string{
			`userName eq "NORA@example.org"`, `externalId eq "x-nora"`, `id eq "` + id + `"`, `emails.value eq "nora@EXAMPLE.org"`,
			`emails[type eq "work"].value eq "nora@example.org"`, `userName sw "nor"`, `userName eq "nora@example.org" and active eq true`, `emails co "nora"`,
		} {
			code, out := e.ask(http.MethodGet, "/Users?filter="+urlEscape(f), "")
			require.Equal(t, http.StatusOK, code, "%s: %v", f, out)
			require.EqualValues(t, 1, out["totalResults"], f)
			require.Equal(t, id, in(out, "Resources", 0, "id"), f)
		}
		_, out := e.ask(http.MethodGet, "/Users?filter="+urlEscape(`externalId eq "X-NORA"`), "")
		require.EqualValues(t, 0, out["totalResults"])
	})
	t.Run("what cannot be mapped is kept, and held by the engine", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t)
		code, out := e.ask(http.MethodPost, "/Users", `{"userName":"nomail"}`)
		require.Equal(t, http.StatusCreated, code)
		require.NotEmpty(t, e.wanted(text(out, "id")).Fault)
	})
	t.Run("the status shows what is held and what waits", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t)
		id := e.user("nora")
		status := func() map[string]any {
			_, out := e.ask(http.MethodGet, "/Users/"+id, "")
			status, _ := in(out, scim.StatusURN).(map[string]any)
			return status
		}
		require.Equal(t, "pending", status()["state"])
		l, err := e.store.AcquireLease(t.Context(), "reconcile", "test", time.Minute)
		require.NoError(t, err)
		due, err := e.store.Due(t.Context(), 0)
		require.NoError(t, err)
		due[0].Held, due[0].Reason, due[0].Note = true, "email_taken", "Another account holds the wanted e-mail."
		require.NoError(t, e.store.PutOff(t.Context(), l, due))
		require.Equal(t, "held", status()["state"])
		require.Equal(t, "email_taken", status()["reason"])
		code, _ := e.patch("/Users/"+id, `{"op":"replace","path":"`+scim.StatusURN+`:state","value":"applied"}`)
		require.Equal(t, http.StatusBadRequest, code, "clients do not write it")
		code, _ = e.patch("/Users/"+id, `{"op":"replace","path":"title","value":"Pilot"}`)
		require.Equal(t, http.StatusOK, code)
		require.Equal(t, "pending", status()["state"])
		require.NoError(t, e.store.MarkDue(t.Context(), nil))
		e.due()
		require.Equal(t, "applied", status()["state"])
	})
}

func TestBackend_Group(t *testing.T) {
	t.Parallel()
	admins := func(group string) sources.RoleRule {
		return sources.RoleRule{Role: identity.RoleAdmin, Groups: []string{group}}
	}
	t.Run("members may come before their users, and count once they are there", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t, admins("g-Crew"))
		g := e.group("Crew", "not-yet")
		_, out := e.ask(http.MethodGet, "/Groups/"+g, "")
		require.Len(t, out["members"], 1)
		id := e.user("nora")
		code, _ := e.patch("/Groups/"+g, fmt.Sprintf(`{"op":"Add","path":"members","value":[{"value":%q}]}`, id))
		require.Equal(t, http.StatusNoContent, code)
		require.True(t, e.wanted(id).Roles.Has(identity.RoleAdmin))
		require.Contains(t, e.due(), id)
		_, out = e.ask(http.MethodGet, "/Users/"+id, "")
		require.Equal(t, "Crew", in(out, "groups", 0, "display"))
	})
	t.Run("a role comes by way of other groups, and goes with the membership", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t, admins("g-Top"))
		id := e.user("nora")
		inner := e.group("Inner", id)
		top := e.group("Top", inner)
		require.Contains(t, e.due(), id)
		require.True(t, e.wanted(id).Roles.Has(identity.RoleAdmin))
		snap, err := e.source.Snapshot(t.Context(), nil)
		require.NoError(t, err)
		require.True(t, snap.Identities[0].Roles.Has(identity.RoleAdmin))
		code, _ := e.patch("/Groups/"+top, fmt.Sprintf(`{"op":"remove","path":"members[value eq \"%s\"]"}`, inner))
		require.Equal(t, http.StatusNoContent, code)
		require.Equal(t, []string{id}, e.due())
		require.False(t, e.wanted(id).Roles.Has(identity.RoleAdmin))
	})
	t.Run("a rename keeps members and moves nobody", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t, admins("g-Crew"))
		id := e.user("nora")
		g := e.group("Crew", id)
		e.due()
		code, _ := e.patch("/Groups/"+g, fmt.Sprintf(`{"op":"replace","value":{"id":%q,"displayName":"Night"}}`, g))
		require.Equal(t, http.StatusNoContent, code)
		require.Empty(t, e.due())
		require.True(t, e.wanted(id).Roles.Has(identity.RoleAdmin))
	})
	t.Run("a group that goes takes its roles along", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t, admins("g-Crew"))
		id := e.user("nora")
		g := e.group("Crew", id)
		e.due()
		code, _ := e.ask(http.MethodDelete, "/Groups/"+g, "")
		require.Equal(t, http.StatusNoContent, code)
		require.Equal(t, []string{id}, e.due())
		require.False(t, e.wanted(id).Roles.Has(identity.RoleAdmin))
	})
	t.Run("a group cannot be in itself, not even by way of others", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t)
		a := e.group("A")
		b := e.group("B", a)
		code, out := e.patch("/Groups/"+a, fmt.Sprintf(`{"op":"add","path":"members","value":[{"value":%q}]}`, b))
		require.Equal(t, http.StatusBadRequest, code)
		require.Equal(t, "invalidValue", out["scimType"])
	})
	t.Run("where no role depends on groups, nobody is due for them", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t)
		id := e.user("nora")
		e.due()
		e.group("Crew", id)
		require.Empty(t, e.due())
	})
	t.Run("another source sees nothing of it", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t)
		id, g := e.user("nora"), e.group("Crew")
		other := e.serve(e.newSource("hr"))
		for _, path := range []string{"/Users/" + id, "/Groups/" + g} {
			for _, method := range []string{http.MethodGet, http.MethodDelete} {
				code, _ := ask(t, other, method, path, "")
				require.Equal(t, http.StatusNotFound, code)
			}
			code, _ := ask(t, other, http.MethodPut, path, `{"userName":"a","displayName":"b"}`)
			require.Equal(t, http.StatusNotFound, code)
			code, _ = ask(t, other, http.MethodPatch, path, `{"Operations":[{"op":"replace","path":"externalId","value":"b"}]}`)
			require.Equal(t, http.StatusNotFound, code)
		}
		_, out := ask(t, other, http.MethodGet, "/Users", "")
		require.EqualValues(t, 0, out["totalResults"])
	})
}

// in gives what is at a path of names and positions in an answer; nil if nothing is.
func in(v any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			o, _ := v.(map[string]any)
			v = o[step]
		case int:
			list, _ := v.([]any)
			if step >= len(list) {
				return nil
			}
			v = list[step]
		}
	}
	return v
}

func text(v any, path ...any) string {
	s, _ := in(v, path...).(string)
	return s
}

func urlEscape(s string) string {
	return strings.NewReplacer(" ", "+", `"`, "%22", "[", "%5B", "]", "%5D", "@", "%40").Replace(s)
}
