package scim_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
)

// TestBadInput has every status of RFC 7644 section 3.12 that a client can bring
// about, by what brings it about.
func TestBadInput(t *testing.T) {
	t.Parallel()
	patch := func(op string) string { return `{"schemas":["` + patchOp + `"],"Operations":[` + op + `]}` }
	huge := strings.Repeat("x", 5<<20)
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		kind                     scim.ErrorType
		headers                  []string
	}{
		{"invalidFilter", "GET", "/Users?filter=userName+xx+1", "", 400, scim.InvalidFilter, nil},
		{"uniqueness", "POST", "/Users", user("nora.lind@example.org", ""), 409, scim.UniquenessErr, nil},
		{"mutability", "PATCH", "/Users/u1", patch(`{"op":"replace","path":"meta.version","value":"x"}`), 400, scim.MutabilityErr, nil},
		{"invalidSyntax", "POST", "/Users", `{`, 400, scim.InvalidSyntax, nil},
		{"invalidPath", "PATCH", "/Users/u1", patch(`{"op":"replace","path":"emails[","value":"x"}`), 400, scim.InvalidPath, nil},
		{"noTarget", "PATCH", "/Users/u1", patch(`{"op":"remove"}`), 400, scim.NoTarget, nil},
		{"invalidValue", "POST", "/Users", user("x", `,"active":"yes"`), 400, scim.InvalidValue, nil},
		{"sensitive", "GET", "/Users?filter=password+pr", "", 403, scim.SensitiveErr, nil},
		{"401", "GET", "/Users", "", 401, "", []string{"Authorization: Basic x"}},
		{"404", "GET", "/Users/u9", "", 404, "", nil},
		{"405", "POST", "/Users/u1", "{}", 405, "", nil},
		{"412", "DELETE", "/Users/u1", "", 412, "", []string{`If-Match: "x"`}},
		{"413", "POST", "/Users", `{"userName":"` + huge + `"}`, 413, "", nil},
		{"413 of garbage", "POST", "/Users", huge, 413, "", nil},
		{"415", "POST", "/Users", "<x/>", 415, "", []string{"Content-Type: text/xml"}},
		{"501", "GET", "/Me", "", 501, "", nil},
		{"escapes in the query", "GET", "/Users?filter=%zz", "", 400, scim.InvalidSyntax, nil},
		{"filter that is no UTF-8", "GET", "/Users?filter=userName+eq+%22%ff%22", "", 400, scim.InvalidFilter, nil},
		{"filter twice", "GET", "/Users?filter=userName+pr&filter=id+pr", "", 400, scim.InvalidValue, nil},
		{"deep JSON", "POST", "/Users", `{"a":` + strings.Repeat(`[`, 100000), 400, scim.InvalidSyntax, nil},
		{"deep, complete JSON", "POST", "/Users", `{"a":` + strings.Repeat(`[`, 40) + strings.Repeat(`]`, 40) + `}`, 400, scim.InvalidSyntax, nil},
		{"a key twice", "POST", "/Users", `{"userName":"a","userName":"b"}`, 400, scim.InvalidSyntax, nil},
		{"a key in two cases", "POST", "/Users", `{"schemas":["` + core + `"],"userName":"a","UserName":"b"}`, 400, scim.InvalidSyntax, nil},
		{"NUL", "POST", "/Users", `{"userName":"a\u0000b"}`, 400, scim.InvalidSyntax, nil},
		{"half a surrogate", "POST", "/Users", `{"userName":"\udc00"}`, 400, scim.InvalidSyntax, nil},
		{"number too large", "POST", "/Users", user("x", `,"active":1e99999`), 400, scim.InvalidValue, nil},
		{"userName of another type", "POST", "/Users", `{"schemas":["` + core + `"],"userName":{"a":[]}}`, 400, scim.InvalidValue, nil},
		{"members without value", "POST", "/Groups", `{"schemas":["` + group + `"],"displayName":"x","members":[{"display":"y"}]}`, 400, scim.InvalidValue, nil},
		{"filter of a megabyte", "POST", "/Users/.search", `{"filter":"userName eq \"` + strings.Repeat("x", 1<<20) + `\""}`, 400, scim.InvalidFilter, nil},
		{"ten thousand terms", "POST", "/Users/.search", `{"filter":"id pr` + strings.Repeat(" or id pr", 10000) + `"}`, 400, scim.InvalidFilter, nil},
		{"PATCH of ten thousand operations", "PATCH", "/Users/u1", patch(strings.Repeat(`{"op":"remove","path":"title"},`, 10000) + `{"op":"remove","path":"title"}`), 413, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			began := time.Now()
			w.do(c.method, c.path, c.body, c.headers...).fails(c.status, c.kind)
			require.Less(t, time.Since(began), 20*time.Second)
			require.Zero(t, w.mem.count("Create")+w.mem.count("Replace")+w.mem.count("Delete")-boolInt(c.kind == scim.UniquenessErr))
		})
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestBody_truncated: a connection that ends before the body does.
func TestBody_truncated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/scim/v2/Users", io.MultiReader(strings.NewReader(pia[:40]), failing{}))
	r.Header.Set("Authorization", "Bearer T1")
	r.Header.Set("Content-Type", "application/scim+json")
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, r)
	require.Equal(t, 400, rec.Code)
	require.Zero(t, w.mem.count("Create"))
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestBody_slow: a body that does not arrive ends the request, not the server.
func TestBody_slow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *scim.Options) { o.Limits.Read = 2 * time.Second })
	s := httptest.NewServer(w.h)
	t.Cleanup(s.Close)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /scim/v2/Users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer T1\r\nContent-Type: application/scim+json\r\nContent-Length: 1000\r\n\r\n{")
	require.NoError(t, err)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, http.StatusRequestTimeout, answer.StatusCode)
	require.Equal(t, "application/scim+json", answer.Header.Get("Content-Type"))

	// A slow answer to a body that did arrive is not cut off by the body's deadline.
	w.mem.before = func(ctx context.Context, method string) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2500 * time.Millisecond):
			return nil
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/scim/v2/Users", strings.NewReader(pia))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer T1")
	r.Header.Set("Content-Type", "application/scim+json")
	answer, err = s.Client().Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, http.StatusCreated, answer.StatusCode)
}

// TestDeadlines: a Backend that hangs is not waited for.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	hang := func(ctx context.Context, _ string) error {
		<-ctx.Done()
		return ctx.Err()
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.mem.before = hang
		began := time.Now()
		w.get("/Users/u1").fails(503, "")
		require.Equal(t, 30*time.Second, time.Since(began))
		began = time.Now()
		w.filter("/Users", `userName co "x"`).fails(400, scim.TooMany)
		require.Equal(t, 10*time.Second, time.Since(began))
		began = time.Now()
		w.get("/Users?sortBy=userName").fails(400, scim.TooMany)
		require.Equal(t, 10*time.Second, time.Since(began))
		began = time.Now()
		w.filter("/Users", `userName eq "x"`).fails(503, "")
		require.Equal(t, 30*time.Second, time.Since(began), "an index may answer it")
	})
}
