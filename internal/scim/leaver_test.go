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
		"nobody is switched off":    mistaken,
		"it ends with being on":     off + "," + mistaken + `,{"op":"replace","path":"active","value":true}`,
		"active is taken away":      off + "," + mistaken + `,{"op":"remove","path":"active"}`,
		"active is no boolean":      mistaken + `,{"op":"replace","path":"active","value":"soon"}`,
		"active is said to be both": mistaken + `,{"op":"replace","value":{"active":false,"urn:ietf:params:scim:schemas:core:2.0:User:active":true}}`,
		"somebody else is meant":    off + "," + mistaken + `,{"op":"replace","value":{"ID":"u2"}}`,
		"active is another's":       mistaken + `,{"op":"replace","path":"urn:x:active","value":false}`,
	}
	for name, ops := range stays {
		t.Run("anything else is refused as a whole/"+name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			was := w.do("GET", "/Users/u1", "").is(200)
			w.patch("/Users/u1", ops).fails(400, "invalidValue")
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
