package scim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
)

// bulk sends operations and gives what became of them: METHOD bulkId status.
func (w *world) bulk(more string, ops ...string) ([]any, []string) {
	w.t.Helper()
	a := w.do(http.MethodPost, "/Bulk", `{"schemas":["`+bulkReq+`"],`+more+`"Operations":[`+strings.Join(ops, ",")+`]}`)
	body := a.is(200)
	require.Equal(w.t, []any{"urn:ietf:params:scim:api:messages:2.0:BulkResponse"}, body["schemas"])
	list, ok := body["Operations"].([]any)
	require.True(w.t, ok)
	short := []string{}
	for _, o := range list {
		short = append(short, strings.Join(strings.Fields(text(o, "method")+" "+text(o, "bulkId")+" "+text(o, "status")), " "))
	}
	return list, short
}

func post(path, bulkID, data string) string {
	return fmt.Sprintf(`{"method":"POST","path":%q,"bulkId":%q,"data":%s}`, path, bulkID, data)
}

func user(name, more string) string {
	return `{"schemas":["` + core + `"],"userName":"` + name + `"` + more + `}`
}

func crew(name string, members ...string) string {
	var list []string
	for _, m := range members {
		list = append(list, `{"value":"`+m+`"}`)
	}
	return `{"schemas":["` + group + `"],"displayName":"` + name + `","members":[` + strings.Join(list, ",") + `]}`
}

func TestBulk(t *testing.T) {
	t.Parallel()
	t.Run("RFC 7644 section 3.7.3: each operation as a request of its own", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		tag := w.do(http.MethodGet, "/Users/u3", "").header.Get("ETag")
		list, short := w.bulk("",
			post("/Users", "q", user("alice", "")),
			`{"method":"PUT","path":"/Users/u1","data":`+user("nora", "")+`}`,
			`{"method":"PATCH","path":"/Users/u2","version":"W/\"old\"","data":{"schemas":["`+patchOp+`"],"Operations":[{"op":"remove","path":"displayName"}]}}`,
			`{"method":"DELETE","path":"/Users/u3","version":`+string(must(json.Marshal(tag)))+`}`,
			`{"method":"DELETE","path":"/Users/u9"}`,
		)
		require.Equal(t, []string{"POST q 201", "PUT 200", "PATCH 412", "DELETE 204", "DELETE 404"}, short)
		require.True(t, strings.HasPrefix(text(list, 0, "location"), external+"/Users/"))
		require.NotEmpty(t, text(list, 0, "version"))
		require.NotContains(t, list[0], "response")
		require.Equal(t, external+"/Users/u1", text(list, 1, "location"))
		require.Equal(t, w.do(http.MethodGet, "/Users/u1", "").header.Get("ETag"), text(list, 1, "version"))
		require.Equal(t, external+"/Users/u2", text(list, 2, "location"))
		require.Equal(t, []any{errorResp}, at(list, 2, "response", "schemas"))
		require.Equal(t, "412", text(list, 2, "response", "status"))
		require.Equal(t, external+"/Users/u3", text(list, 3, "location"))
	})
	t.Run("section 3.7.2: references back and forward", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		list, short := w.bulk("",
			post("/Groups", "crew", crew("New Crew", "bulkId:alice", "u1", "bulkId:bob")),
			post("/Users", "alice", user("alice", `,"`+ent+`":{"manager":{"value":"bulkId:bob"}}`)),
			post("/Users", "bob", user("bob", "")),
			`{"method":"PATCH","path":"/Groups/g1","data":{"schemas":["`+patchOp+`"],"Operations":[
				{"op":"add","path":"members","value":[{"value":"bulkId:bob"}]},{"op":"remove","path":"members[value eq \"u1\"]"}]}}`,
			`{"method":"PATCH","path":"/Groups/bulkId:crew","data":{"schemas":["`+patchOp+`"],"Operations":[
				{"op":"remove","path":"members[value eq \"bulkId:alice\"]"}]}}`,
		)
		require.Equal(t, []string{"POST crew 201", "POST alice 201", "POST bob 201", "PATCH 204", "PATCH 204"}, short)
		id := func(i int) string {
			return text(list, i, "location")[strings.LastIndex(text(list, i, "location"), "/")+1:]
		}
		require.Equal(t, []string{"u1", id(2)}, w.members(id(0)))
		require.Equal(t, []string{"u2", id(2)}, w.members("g1"))
		require.Equal(t, id(2), text(w.do(http.MethodGet, "/Users/"+id(1), "").is(200), ent, "manager", "value"))
	})
	t.Run("section 3.7.1: circles", func(t *testing.T) {
		t.Parallel()
		for _, patched := range []string{"a", "b", "c"} { // whichever is cut open
			w := newWorld(t)
			list, short := w.bulk("",
				`{"method":"PATCH","path":"/Groups/bulkId:`+patched+`","data":{"schemas":["`+patchOp+`"],"Operations":[{"op":"add","path":"members","value":[{"value":"u3"}]}]}}`,
				post("/Groups", "a", crew("A", "u1", "bulkId:b")),
				post("/Groups", "b", crew("B", "bulkId:c")),
				post("/Groups", "c", crew("C", "bulkId:a", "u2")),
				post("/Users", "boss", user("boss", `,"`+ent+`":{"manager":{"value":"bulkId:boss"}}`)),
			)
			require.Equal(t, []string{"PATCH 204", "POST a 201", "POST b 201", "POST c 201", "POST boss 201"}, short)
			id := func(i int) string {
				return text(list, i, "location")[strings.LastIndex(text(list, i, "location"), "/")+1:]
			}
			want := map[string][]string{"a": {"u1", id(2)}, "b": {id(3)}, "c": {id(1), "u2"}}
			want[patched] = append(want[patched], "u3")
			for i, name := range []string{"a", "b", "c"} {
				require.ElementsMatch(t, want[name], w.members(id(1+i)), name)
			}
			require.Equal(t, id(4), text(w.get("/Users/"+id(4)).is(200), ent, "manager", "value"))
			require.Equal(t, w.get("/Users/"+id(4)).header.Get("ETag"), text(list, 4, "version"))
		}
	})
	t.Run("a circle of which one fails leaves no half resource", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		_, short := w.bulk("", post("/Groups", "a", crew("A", "bulkId:b")), post("/Groups", "b", crew("Harbour Crew", "bulkId:a")))
		require.Equal(t, []string{"POST a 409", "POST b 409"}, short)
		w.do(http.MethodGet, "/Groups", "").lists("g1")
	})
	t.Run("a circle that ends early leaves no half resource", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		_, short := w.bulk(`"failOnErrors":1,`, post("/Groups", "a", crew("A", "bulkId:b")), post("/Groups", "c", crew("Harbour Crew", "bulkId:a")),
			post("/Groups", "b", crew("B", "bulkId:c")))
		require.Equal(t, []string{"POST a 409", "POST c 409"}, short)
		w.get("/Groups").lists("g1")
	})
	t.Run("what needs a failed one fails", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		_, short := w.bulk("", post("/Users", "x", user("NORA.lind@example.org", "")), post("/Groups", "g", crew("G", "bulkId:x")),
			`{"method":"DELETE","path":"/Users/bulkId:x"}`, `{"method":"DELETE","path":"/Users/bulkId:unknown"}`)
		require.Equal(t, []string{"POST x 409", "POST g 409", "DELETE 409", "DELETE 409"}, short)
	})
	t.Run("operations keep their order", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		_, short := w.bulk("", post("/Groups", "g", crew("G", "bulkId:n")), `{"method":"DELETE","path":"/Users/u1"}`, post("/Users", "n", user("nora.lind@example.org", "")))
		require.Equal(t, []string{"POST g 201", "DELETE 204", "POST n 201"}, short)
	})
	t.Run("failOnErrors", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		bad := `{"method":"DELETE","path":"/Users/u9"}`
		_, short := w.bulk(`"failOnErrors":2,`, bad, post("/Users", "q", user("alice", "")), bad, `{"method":"DELETE","path":"/Users/u1"}`)
		require.Equal(t, []string{"DELETE 404", "POST q 201", "DELETE 404"}, short)
		w.do(http.MethodGet, "/Users/u1", "").is(200)
	})
	t.Run("a text that looks like a reference is none", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		list, short := w.bulk("", post("/Users", "q", user("alice", `,"title":"bulkId:nobody"`)))
		require.Equal(t, []string{"POST q 201"}, short)
		require.Equal(t, "bulkId:nobody", w.do(http.MethodGet, strings.TrimPrefix(text(list, 0, "location"), external), "").is(200)["title"])
	})
	t.Run("a long chain backwards", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		ops := []string{post("/Groups", "g0", crew("G0"))}
		for i := 1; i < 1000; i++ {
			ops = append(ops, post("/Groups", fmt.Sprintf("g%d", i), crew(fmt.Sprintf("G%d", i), fmt.Sprintf("bulkId:g%d", i-1))))
		}
		slices.Reverse(ops)
		_, short := w.bulk("", ops...)
		for _, s := range short {
			require.True(t, strings.HasSuffix(s, " 201"), s)
		}
	})
	t.Run("a panic in one", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.mem.before = func(_ context.Context, method string) error {
			if method == "Delete" {
				panic("in the store")
			}
			return nil
		}
		_, short := w.bulk("", `{"method":"DELETE","path":"/Users/u1"}`, post("/Users", "a", user("a", "")))
		require.Equal(t, []string{"DELETE 500", "POST a 201"}, short)
	})
	t.Run("each is told of", func(t *testing.T) {
		t.Parallel()
		var got []string
		w := newWorld(t, func(o *scim.Options) {
			o.Done = func(_ context.Context, o scim.Outcome) {
				got = append(got, fmt.Sprint(o.Method, " ", o.Route, " ", o.ID, " ", o.Status, " ", o.Bulk))
			}
		})
		w.bulk("", `{"method":"DELETE","path":"/Users/u1"}`, `{"method":"DELETE","path":"/Users/u9"}`)
		require.Equal(t, []string{"DELETE /Users/{id} u1 204 true", "DELETE /Users/{id}  404 true", "POST /Bulk  200 false"}, got)
	})
	t.Run("time runs out", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		n := 0
		w.mem.before = func(context.Context, string) error {
			if n++; n > 1 {
				return context.DeadlineExceeded
			}
			return nil
		}
		_, short := w.bulk("", post("/Users", "a", user("a", "")), post("/Users", "b", user("b", "")))
		require.Equal(t, []string{"POST a 201", "POST b 503"}, short)
	})
}

func TestBulk_refused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *scim.Options) { o.Limits.BulkOps = 3; o.Limits.Body = 2000 })
	op := `{"method":"DELETE","path":"/Users/u9"}`
	for name, c := range map[string]struct {
		doc    string
		status int
		kind   scim.ErrorType
	}{
		"no operations":        {`{}`, 400, scim.InvalidSyntax},
		"not a list":           {`{"Operations":{}}`, 400, scim.InvalidSyntax},
		"not an object":        {`{"Operations":[5]}`, 400, scim.InvalidSyntax},
		"method":               {`{"Operations":[{"method":"GET","path":"/Users"}]}`, 400, scim.InvalidSyntax},
		"no method":            {`{"Operations":[{"path":"/Users"}]}`, 400, scim.InvalidSyntax},
		"path of another kind": {`{"Operations":[{"method":"POST","path":5}]}`, 400, scim.InvalidSyntax},
		"bulkId twice":         {`{"Operations":[` + post("/Users", "a", "{}") + `,` + post("/Users", "a", "{}") + `]}`, 400, scim.InvalidValue},
		"failOnErrors 0":       {`{"failOnErrors":0,"Operations":[]}`, 400, scim.InvalidValue},
		"failOnErrors text":    {`{"failOnErrors":"1","Operations":[]}`, 400, scim.InvalidValue},
		"too many":             {`{"Operations":[` + op + `,` + op + `,` + op + `,` + op + `]}`, 413, ""},
		"too large":            {`{"Operations":["` + strings.Repeat("x", 3000) + `"]}`, 413, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w.with(t).do(http.MethodPost, "/Bulk", c.doc).fails(c.status, c.kind)
		})
	}
	for _, c := range []struct{ op, want string }{
		{`{"method":"POST","path":"/Users","data":` + user("x", "") + `}`, "POST 400"}, // no bulkId
		{`{"method":"POST","path":"/Users","bulkId":"a"}`, "POST a 400"},
		{`{"method":"PUT","path":"/Users/u1","data":[]}`, "PUT 400"},
		{`{"method":"PUT","path":"/Users","data":{}}`, "PUT 405"},
		{`{"method":"DELETE","path":"/Bulk"}`, "DELETE 404"},
		{`{"method":"DELETE","path":"/Schemas/x"}`, "DELETE 404"},
		{`{"method":"DELETE","path":"nowhere"}`, "DELETE 404"},
		{`{"method":"DELETE"}`, "DELETE 404"},
		{`{"method":"delete","path":"/Users/u9"}`, "DELETE 404"},
	} {
		_, short := w.bulk("", c.op)
		require.Equal(t, []string{c.want}, short, c.op)
	}
}

func TestBulk_rate(t *testing.T) { // each operation counts
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *scim.Options) { o.Limits = scim.Limits{Rate: 10, Burst: 10} })
		ops := make([]string, 30)
		for i := range ops {
			ops[i] = `{"method":"DELETE","path":"/Users/u9"}`
		}
		w.bulk("", ops...)
		a := w.do(http.MethodGet, "/Users/u1", "")
		a.fails(429, "")
		require.Equal(t, "3", a.header.Get("Retry-After"))
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
