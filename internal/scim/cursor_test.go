package scim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
)

// walk follows cursors to the end; between is called after each page.
func (w *world) walk(query string, between func(page int)) []string {
	w.t.Helper()
	var ids []string
	cursor := ""
	for page := 1; page < 100; page++ {
		a := w.do(http.MethodGet, query+"&cursor="+cursor, "")
		body := a.is(200)
		ids = append(ids, a.ids()...)
		require.NotContains(w.t, body, "startIndex")
		next, ok := body["nextCursor"].(string)
		if !ok {
			return ids
		}
		require.Equal(w.t, url.QueryEscape(next), next, "unreserved characters only, RFC 9865 section 2")
		cursor = next
		if between != nil {
			between(page)
		}
	}
	return nil
}

func cursorWorld(t *testing.T) *world {
	t.Helper()
	w := emptyWorld(t)
	for i := range 7 {
		w.seed("User", fmt.Sprintf("p%d", i), fmt.Sprintf(`{"userName":"p%d","title":"T%d","displayName":"%s","emails":[{"value":"b%d@x"},{"value":"a%d@x","primary":true}],"%s":{"department":"D%d"}}`,
			i, i%2, []string{"", "b", "a", "", "B", "c", "d"}[i], i, 9-i, ent, 9-i))
	}
	w.seed("Group", "g1", `{"displayName":"c"}`)
	return w
}

func TestCursor(t *testing.T) {
	t.Parallel()
	all := []string{"p0", "p1", "p2", "p3", "p4", "p5", "p6"}
	t.Run("the union of pages is the list", func(t *testing.T) {
		t.Parallel()
		w := cursorWorld(t)
		for count := 1; count < 9; count++ {
			require.Equal(t, all, w.walk(fmt.Sprintf("/Users?count=%d", count), nil))
			require.Equal(t, append(all[:7:7], "g1"), w.walk(fmt.Sprintf("/?count=%d", count), nil))
		}
		require.Equal(t, []string{"p1", "p3", "p5"}, w.walk("/Users?count=2&filter=title+eq+%22T1%22", nil))
	})
	t.Run("in the order of an attribute, RFC 9865 section 2.3", func(t *testing.T) {
		t.Parallel()
		w := cursorWorld(t)
		for _, by := range []string{
			"userName", "title", "displayName", "emails", "emails.value", "meta.created", "id", ent + ":department", "department",
		} {
			for _, order := range []string{"ascending", "descending"} {
				query := "/Users?sortBy=" + by + "&sortOrder=" + order
				want := w.get(query).ids()
				require.Len(t, want, 7)
				for count := 1; count < 8; count += 2 {
					require.Equal(t, want, w.walk(fmt.Sprintf("%s&count=%d", query, count), nil), query)
				}
			}
		}
	})
	t.Run("what is deleted between pages shifts nothing", func(t *testing.T) {
		t.Parallel()
		for _, query := range []string{"/Users?count=2", "/Users?count=2&sortBy=userName"} {
			w := cursorWorld(t)
			got := w.walk(query, func(page int) {
				if page == 1 {
					w.do(http.MethodDelete, "/Users/p0", "").is(204)
					w.do(http.MethodDelete, "/Users/p1", "").is(204)
				}
			})
			require.Equal(t, all, got)
		}
	})
	t.Run("what is created between pages shifts nothing", func(t *testing.T) {
		t.Parallel()
		w := cursorWorld(t)
		got := w.walk("/Users?count=3&sortBy=userName", func(page int) {
			w.seedFast(fmt.Sprintf("a%d", page))
		})
		require.Equal(t, all, got)
	})
	t.Run("the first page may be asked for without a value", func(t *testing.T) {
		t.Parallel()
		body := cursorWorld(t).do(http.MethodGet, "/Users?cursor&count=2", "").is(200)
		require.Equal(t, json.Number("7"), body["totalResults"])
		require.Equal(t, json.Number("2"), body["itemsPerPage"])
		require.NotEmpty(t, body["nextCursor"])
		require.NotContains(t, body, "previousCursor")
	})
	t.Run("values too long for a cursor", func(t *testing.T) {
		t.Parallel()
		w := cursorWorld(t)
		for _, id := range all {
			w.patch("/Users/"+id, `{"op":"add","path":"nickName","value":"`+strings.Repeat("x", 3000)+id+`"}`).is(200)
		}
		require.Equal(t, all, w.walk("/Users?count=2&sortBy=nickName", nil))
		next := text(w.get("/Users?count=2&sortBy=nickName&cursor=").is(200), "nextCursor")
		require.Less(t, len(next), 1000)
		w.do(http.MethodDelete, "/Users/p1", "").is(204)
		w.get("/Users?count=2&sortBy=nickName&cursor="+next).fails(400, scim.ExpiredCursor)
	})
	t.Run("by POST", func(t *testing.T) {
		t.Parallel()
		w := cursorWorld(t)
		body := w.do(http.MethodPost, "/Users/.search", `{"cursor":"","count":5}`).is(200)
		next := text(body, "nextCursor")
		a := w.do(http.MethodPost, "/Users/.search", `{"cursor":"`+next+`","count":5}`)
		require.NotContains(t, a.is(200), "nextCursor")
		require.Equal(t, all[5:], a.ids())
		require.Equal(t, all[5:], w.get("/Users?cursor="+next).ids(), "the count is the cursor's")
	})
}

func TestCursor_refused(t *testing.T) {
	t.Parallel()
	w := cursorWorld(t)
	first := "/Users?count=2&filter=userName+pr&sortBy=title"
	next := text(w.get(first+"&cursor=").is(200), "nextCursor")
	require.NotEmpty(t, next)
	w.get(first + "&cursor=" + next).is(200)

	flipped := []byte(next)
	flipped[len(flipped)/2] ^= 1
	for name, query := range map[string]string{
		"made up":           first + "&cursor=abc",
		"not base64":        first + "&cursor=***",
		"cut":               first + "&cursor=" + next[:len(next)-2],
		"one bit":           first + "&cursor=" + string(flipped),
		"of another type":   "/Groups?count=2&filter=userName+pr&sortBy=title&cursor=" + next,
		"of the root":       "/?count=2&filter=userName+pr&sortBy=title&cursor=" + next,
		"of another filter": "/Users?count=2&filter=title+pr&sortBy=title&cursor=" + next,
		"without a filter":  "/Users?count=2&sortBy=title&cursor=" + next,
		"of another order":  "/Users?count=2&filter=userName+pr&sortBy=title&sortOrder=descending&cursor=" + next,
		"without an order":  "/Users?count=2&filter=userName+pr&cursor=" + next,
	} {
		a := w.get(query)
		if name == "of another type" {
			a.refused() // the filter may be refused first
			continue
		}
		a.fails(400, scim.InvalidCursor)
	}
	w.do(http.MethodGet, first+"&cursor="+next, "", "Authorization: Bearer T2").fails(400, scim.InvalidCursor)
	w.get("/Users?count=3&filter=userName+pr&sortBy=title&cursor="+next).fails(400, scim.InvalidCount)
	w.get("/Users?cursor=&count=0").fails(400, scim.InvalidCount)
	w.get("/Users?cursor=&count=-1").fails(400, scim.InvalidCount)
	w.get("/Users?cursor=&count=x").fails(400, scim.InvalidCount)
	w.get("/Users?cursor=&startIndex=1").fails(400, scim.InvalidValue)
	require.Len(t, w.get("/Users?cursor=&count=100000").ids(), 7)

	same := emptyWorld(t) // another instance with the same key
	same.mem = w.mem
	require.Equal(t, w.get(first+"&cursor="+next).ids(), same.get(first+"&cursor="+next).ids())
	other := emptyWorld(t, func(o *scim.Options) { o.CursorKey = [32]byte{2} })
	other.get(first+"&cursor="+next).fails(400, scim.InvalidCursor)
}

func TestCursor_expired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := cursorWorld(t)
		next := text(w.get("/Users?count=2&cursor=").is(200), "nextCursor")
		time.Sleep(time.Hour)
		w.get("/Users?count=2&cursor=" + next).is(200)
		time.Sleep(2 * time.Second)
		w.get("/Users?count=2&cursor="+next).fails(400, scim.ExpiredCursor)
	})
}

func TestSort(t *testing.T) { // RFC 7644 section 3.4.2.3
	t.Parallel()
	w := cursorWorld(t)
	require.Equal(t, []string{"p6", "p5", "p4", "p3", "p2", "p1", "p0"}, w.get("/Users?sortBy=userName&sortOrder=descending").ids())
	w.do(http.MethodGet, "/Users?sortBy=userName&startIndex=3&count=2", "").lists("p2", "p3")
	w.do(http.MethodGet, "/Users?sortOrder=descending&count=2", "").lists("p0", "p1")
	w.get("/Users?sortBy=" + url.QueryEscape("a b[")).refused()

	small := newWorld(t, func(o *scim.Options) { o.Limits.Sort = 2 })
	small.get("/Users?sortBy=userName").fails(400, scim.TooMany)
	small.get("/?sortBy=userName").fails(400, scim.TooMany)
	small.get("/Users?sortBy=userName&filter=userName+sw+%22n%22").lists("u1")
}
