package scim_test

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/png"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSource_Picture(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, 3, 3))))
	uri := "data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())
	e := newEndpoint(t)
	id := e.user("nora")
	require.Zero(t, e.wanted(id).Picture)
	_, _, err := e.source.Picture(t.Context(), id)
	require.ErrorContains(t, err, "no picture any more")

	code, out := e.patch("/Users/"+id, `{"op":"add","path":"photos","value":[{"type":"thumbnail","value":"https://idp.example/small"},{"type":"photo","value":"`+uri+`"}]}`)
	require.Equal(t, http.StatusOK, code, out)
	want := e.wanted(id).Picture
	require.NotEmpty(t, want.Hash)
	data, hash, err := e.source.Picture(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, b.Bytes(), data)
	require.Equal(t, want.Hash, hash)

	// An address is no picture unless it may be fetched, and no fault either.
	code, out = e.patch("/Users/"+id, `{"op":"replace","path":"photos[type eq \"photo\"].value","value":"https://idp.example/nora.png"}`)
	require.Equal(t, http.StatusOK, code, out)
	require.Zero(t, e.wanted(id).Picture)

	code, _ = e.ask(http.MethodDelete, "/Users/"+id, "")
	require.Equal(t, http.StatusNoContent, code)
	_, _, err = e.source.Picture(t.Context(), id)
	require.ErrorContains(t, err, "deleted since")
}
