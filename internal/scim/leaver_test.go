package scim_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
)

const (
	off      = `{"op":"replace","path":"active","value":false}`
	mistaken = `{"op":"replace","path":"emails","value":[{"value":{"x":[1]}}]}`
)

func TestHandler_leaver(t *testing.T) {
	t.Parallel()
	leaves := map[string]string{
		"beside a value of a wrong type":      off + "," + mistaken,
		"behind it":                           mistaken + "," + off,
		"beside an op that does not exist":    off + `,{"op":"move","path":"title","value":"x"}`,
		"beside a path that cannot be read":   off + `,{"op":"replace","path":"emails[","value":"x"}`,
		"beside what cannot be changed":       off + `,{"op":"replace","path":"meta","value":"x"},{"op":"add","path":"id","value":"u1"}`,
		"beside a userName that is another's": off + `,{"op":"replace","path":"userName","value":"OMAR.reyes@example.org"}`,
		"beside a userName that is no text":   off + `,{"op":"replace","path":"userName","value":[]}`,
		"in a value without path":             mistaken + `,{"op":"replace","value":{"active":false,"title":"x"}}`,
		"by its whole name":                   mistaken + `,{"op":"replace","path":"urn:ietf:params:scim:schemas:core:2.0:User:active","value":false}`,
		"under the name of its schema":        `{"op":"replace","path":"urn:ietf:params:scim:schemas:core:2.0:User","value":{"active":false}},` + mistaken,
		"as an object of its schema":          `{"op":"replace","value":{"urn:ietf:params:scim:schemas:core:2.0:User":{"active":false,"emails":[{"value":{"x":[1]}}]}}}`,
		"with a space in its path":            mistaken + `,{"op":"replace","path":"active ","value":false}`,
		"as Entra writes it":                  mistaken + `,{"op":"Replace","path":"active","value":"False"}`,
		"after it was to be on":               mistaken + `,{"op":"replace","path":"active","value":true},` + off,
		"beside more than there may be":       strings.Repeat(mistaken+",", 1000) + off,
	}
	for name, ops := range leaves {
		t.Run("who is switched off leaves/"+name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			was := w.do("GET", "/Users/u1", "").is(200)
			w.patch("/Users/u1", ops).is(200)
			now := w.do("GET", "/Users/u1", "").is(200)
			require.Equal(t, false, now["active"])
			for _, same := range []string{"userName", "emails", "name", "externalId", "title"} {
				require.Equal(t, was[same], now[same], same)
			}
			require.Equal(t, 1, w.noted[scim.QuirkLeaver])
		})
	}
	stays := map[string]string{
		"nobody is switched off":                  mistaken,
		"it ends with being on":                   off + "," + mistaken + `,{"op":"replace","path":"active","value":true}`,
		"active is taken away":                    off + "," + mistaken + `,{"op":"remove","path":"active"}`,
		"it ends with being on, by its schema":    off + "," + mistaken + `,{"op":"replace","path":"urn:ietf:params:scim:schemas:core:2.0:User","value":{"active":true}}`,
		"it ends with being on, in an object":     off + "," + mistaken + `,{"op":"replace","value":{"urn:ietf:params:scim:schemas:core:2.0:User":{"active":true}}}`,
		"it ends with being on, with a space":     off + "," + mistaken + `,{"op":"replace","path":" active","value":true}`,
		"it ends with being on, said twice":       off + "," + mistaken + `,{"op":"replace","value":{"active":true,"Active":true}}`,
		"it may end with being on, by an op":      off + "," + mistaken + `,{"op":"set","path":"active","value":true}`,
		"it may end with being on, under a key":   off + "," + mistaken + `,{"op":"set","attribute":"active","value":true}`,
		"somebody else is meant, by a whole name": off + `,{"op":"replace","path":"urn:ietf:params:scim:schemas:core:2.0:User:id","value":"u2"}`,
		"somebody else is meant, with a space":    off + `,{"op":"replace","path":"id ","value":"u2"}`,
		"somebody else is meant, by his schema":   off + "," + mistaken + `,{"op":"replace","path":"urn:ietf:params:scim:schemas:core:2.0:User","value":{"id":"u2"}}`,
		"active is no boolean":                    mistaken + `,{"op":"replace","path":"active","value":"soon"}`,
		"active is said to be both":               mistaken + `,{"op":"replace","value":{"active":false,"urn:ietf:params:scim:schemas:core:2.0:User:active":true}}`,
		"somebody else is meant":                  off + "," + mistaken + `,{"op":"replace","value":{"ID":"u2"}}`,
		"active is another's":                     mistaken + `,{"op":"replace","path":"urn:x:active","value":false}`,
	}
	for name, ops := range stays {
		t.Run("anything else is refused as a whole/"+name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			was := w.do("GET", "/Users/u1", "").is(200)
			require.Equal(t, 400, w.patch("/Users/u1", ops).status)
			require.Equal(t, was, w.do("GET", "/Users/u1", "").is(200))
			require.Zero(t, w.noted[scim.QuirkLeaver])
		})
	}
	t.Run("a PUT as well", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.do("PUT", "/Users/u1", `{"schemas":["`+scim.UserType().Schema.ID+`"],"active":false,"emails":[{"value":{"x":[1]}}]}`).is(200)
		now := w.do("GET", "/Users/u1", "").is(200)
		require.Equal(t, false, now["active"])
		require.Equal(t, "nora.lind@example.org", now["userName"])
	})
	t.Run("a PUT that names somebody else switches nobody off", func(t *testing.T) {
		t.Parallel()
		for _, body := range []string{
			`{"id":"u2","active":false,"userName":"nora.lind@example.org"}`,
			`{"urn:ietf:params:scim:schemas:core:2.0:User:id":"u2","active":false,"userName":"nora.lind@example.org"}`,
			`{"urn:ietf:params:scim:schemas:core:2.0:User":{"id":"u2"},"active":false,"emails":[{"value":{"x":[1]}}]}`,
		} {
			w := newWorld(t)
			require.Equal(t, 400, w.do("PUT", "/Users/u1", body).status, body)
			require.Equal(t, true, w.do("GET", "/Users/u1", "").is(200)["active"])
		}
	})
	t.Run("of somebody who is off already the fault is told", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.patch("/Users/u1", off).is(200)
		w.patch("/Users/u1", off, mistaken).fails(400, "invalidValue")
		w.do("PUT", "/Users/u1", `{"schemas":["`+scim.UserType().Schema.ID+`"],"userName":"omar.reyes@example.org","active":false}`).fails(409, "uniqueness")
	})
	t.Run("a version that is not there any more is no fault of its content", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.do("PATCH", "/Users/u1", fmt.Sprintf(`{"schemas":[%q],"Operations":[%s,%s]}`, patchOp, off, mistaken), `If-Match: W/"old"`).fails(412, "")
		require.Equal(t, true, w.do("GET", "/Users/u1", "").body["active"])
	})
	t.Run("without the quirk it is refused", func(t *testing.T) {
		t.Parallel()
		newWorld(t, strict).patch("/Users/u1", off, mistaken).fails(400, "invalidValue")
	})
	t.Run("a group has nothing to be switched off", func(t *testing.T) {
		t.Parallel()
		newWorld(t).patch("/Groups/g1", off, `{"op":"replace","path":"members","value":[{"value":{"x":[1]}}]}`).fails(400, "invalidValue")
	})
}
