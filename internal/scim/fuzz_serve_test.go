package scim_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzServe: whatever is sent, the answer is SCIM, and never a failure of ours.
func FuzzServe(f *testing.F) {
	for _, s := range [][4]string{
		{"GET", "/Users", "filter=userName+eq+%22x%22&sortBy=title&count=2&attributes=name", ""},
		{"GET", "/Users/u1", "excludedAttributes=emails", ""},
		{"GET", "/", "cursor=&count=1&filter=emails[type eq \"work\"].value pr", ""},
		{"POST", "/Users", "", pia},
		{"PUT", "/Users/u1", "", pia},
		{"PATCH", "/Groups/g1", "", `{"schemas":["` + patchOp + `"],"Operations":[{"op":"Remove","path":"members","value":[{"value":"u1"}]}]}`},
		{"PATCH", "/Users/u1", "", `{"Operations":[{"op":"add","value":{"emails[type eq \"work\"].value":"x","` + ent + `:manager":"u2"}}]}`},
		{"DELETE", "/Users/a%2Fb", "", ""},
		{"POST", "/.search", "", `{"filter":"meta.created gt \"2020-01-01T00:00:00Z\"","count":1,"sortBy":"emails"}`},
		{"POST", "/Bulk", "", `{"failOnErrors":1,"Operations":[{"method":"POST","path":"/Groups","bulkId":"a","data":{"displayName":"x","members":[{"value":"bulkId:a"}]}}]}`},
		{"GET", "/Schemas/" + core, "", ""},
		{"OPTIONS", "//Me", "", ""},
	} {
		f.Add(s[0], s[1], s[2], s[3])
	}
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		w := newWorld(t)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", strings.NewReader(body))
		r.Method = method
		r.URL = &url.URL{Path: "/scim/v2/" + path, RawQuery: query}
		if plain, err := url.PathUnescape(path); err == nil {
			r.URL = &url.URL{Path: "/scim/v2/" + plain, RawPath: "/scim/v2/" + path, RawQuery: query}
		}
		r.Header.Set("Authorization", "Bearer T1")
		r.Header.Set("Content-Type", "application/scim+json")
		rec := httptest.NewRecorder()
		w.h.ServeHTTP(rec, r)
		if rec.Code >= 500 {
			require.Contains(t, []int{501, 503}, rec.Code, "%s\n%s", rec.Body, w.log)
		}
		if rec.Body.Len() == 0 {
			require.Contains(t, []int{204, 304}, rec.Code)
			return
		}
		require.Equal(t, "application/scim+json", rec.Header().Get("Content-Type"))
		answer := decode(t, rec.Body.Bytes())
		require.NotEmpty(t, answer["schemas"])
		require.NotContains(t, rec.Body.String(), "Tmp-pass")
	})
}
