package scim_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/scim"
)

func TestSource_manager(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	at := func(s string) sources.Expr { return sources.Expr{Source: s} }
	m, err := sources.Compile("idp", sources.Rules{
		ID: at("attr.id"), Username: at(`lower(attr.userName.split("@")[0])`), Email: at("attr.email"),
		People: []sources.CustomRule{{Name: "Manager", Value: at("attr.manager")}},
	}, sources.CompileOptions{})
	require.NoError(t, err)
	e.source, err = scim.New(scim.Options{Name: "idp", Mapper: m, Store: e.store})
	require.NoError(t, err)
	e.h = e.serve(e.source)
	boss, id := e.user("bess"), e.user("nora")
	require.Equal(t, map[string]string{"Manager": ""}, e.wanted(id).People)
	without := e.wanted(id).Hash
	code, out := e.patch("/Users/"+id, `{"op":"add","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager","value":{"value":"`+boss+`"}}`)
	require.Equal(t, http.StatusOK, code, out)
	want := e.wanted(id)
	require.Equal(t, map[string]string{"Manager": e.wanted(boss).Key.Anchor}, want.People, "a manager is named by what the standard calls his id, which is his anchor")
	require.NotEqual(t, want.Hash, without)
}
