package scim_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/sources/scim"
)

func TestQuirk_X11(t *testing.T) { // a member that is not there is kept until it comes, and refused by the strict profile
	t.Parallel()
	e := newEndpoint(t)
	g := e.group("Crew", "ghost")
	_, out := e.ask(http.MethodGet, "/Groups/"+g, "")
	require.Equal(t, "ghost", in(out, "members", 0, "value"))
	h := e.serve(e.newSource("strict"))
	code, out := ask(t, h, http.MethodPost, "/Groups", `{"displayName":"Crew","members":[{"value":"ghost"}]}`)
	require.Equal(t, http.StatusBadRequest, code)
	require.Equal(t, "invalidValue", out["scimType"])
	require.Contains(t, out["detail"], "ghost")
}

func TestBackend_Refuse(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	h := e.serve(e.newSource("strict"))
	code, out := ask(t, h, http.MethodPost, "/Users", `{"userName":"admin","emails":[{"value":"a@example.org"}]}`)
	require.Equal(t, http.StatusConflict, code)
	require.Equal(t, "uniqueness", out["scimType"])
	code, out = ask(t, h, http.MethodPost, "/Users", `{"userName":"nora","emails":[{"value":"a@example.org"}]}`)
	require.Equal(t, http.StatusCreated, code)
	path := "/Users/" + text(out, "id")
	require.NotContains(t, out, scim.StatusURN)
	_, out = ask(t, h, http.MethodGet, path+"?attributes="+scim.StatusURN, "")
	require.Equal(t, "pending", in(out, scim.StatusURN, "state"), "shown to who asks for it")
	code, _ = ask(t, h, http.MethodPatch, path, `{"Operations":[{"op":"replace","value":{"userName":"admin"}}]}`)
	require.Equal(t, http.StatusConflict, code)
	code, _ = ask(t, h, http.MethodPatch, path, `{"Operations":[{"op":"replace","value":{"userName":"admin","active":false}}]}`)
	require.Equal(t, http.StatusOK, code, "whoever is to leave is never refused")
}
