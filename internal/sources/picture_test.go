package sources_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"image"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/sources"
)

// pictures are a small one of each kind.
func pictures(t *testing.T) map[string]string {
	t.Helper()
	shape := image.Rect(0, 0, 5, 4)
	var p, j, g bytes.Buffer
	require.NoError(t, png.Encode(&p, image.NewGray(shape)))
	require.NoError(t, jpeg.Encode(&j, image.NewGray(shape), nil))
	require.NoError(t, gif.Encode(&g, image.NewPaletted(shape, palette.Plan9), nil))
	return map[string]string{"png": p.String(), "jpeg": j.String(), "gif": g.String()}
}

func pictured(t *testing.T, r sources.PictureRule) *sources.Mapper {
	t.Helper()
	if r.MaxSize == 0 {
		r.MaxSize = 10_000
	}
	r.Attribute = sources.Expr{Source: "attr.photo"}
	m, err := sources.Compile("s", sources.Rules{
		ID: sources.Expr{Source: "attr.id"}, Username: sources.Expr{Source: "attr.uid"}, Email: sources.Expr{Source: "attr.mail"},
		DisabledWhen: sources.Expr{Source: "isTrue(attr.left)"}, Picture: r,
	}, sources.CompileOptions{})
	require.NoError(t, err)
	return m
}

func withPhoto(value string) sources.Record {
	var rec sources.Record
	rec.Add("id", "1")
	rec.Add("uid", "ann")
	rec.Add("mail", "ann@example.test")
	rec.Add("photo", value)
	return rec
}

func pictureOf(t *testing.T, m *sources.Mapper, value string) identity.Picture {
	t.Helper()
	id, err := m.Identity(withPhoto(value))
	require.NoError(t, err)
	require.Empty(t, id.Fault, "a picture is no fault of the entry")
	require.Equal(t, "ann", id.Profile.Username)
	return id.Picture
}

func TestMapper_Picture_in_all_its_forms(t *testing.T) {
	t.Parallel()
	kinds := pictures(t)
	m := pictured(t, sources.PictureRule{Files: fstest.MapFS{"photos/ann.png": {Data: []byte(kinds["png"])}}})
	bare := pictured(t, sources.PictureRule{})
	seen := map[string]bool{}
	for kind, raw := range kinds {
		inText := base64.StdEncoding.EncodeToString([]byte(raw))
		want := pictureOf(t, m, raw)
		require.Len(t, want.Hash, 16, kind)
		require.Empty(t, want.Fault, kind)
		require.False(t, seen[want.Hash], "each has its own digest")
		seen[want.Hash] = true
		require.Equal(t, want, pictureOf(t, m, "data:image/"+kind+";base64,"+inText), kind)
		require.Equal(t, want, pictureOf(t, bare, inText), kind)
		data, hash, err := bare.Picture(t.Context(), withPhoto(inText))
		require.NoError(t, err)
		require.Equal(t, raw, string(data))
		require.Equal(t, want.Hash, hash)
	}
	require.Equal(t, pictureOf(t, m, kinds["png"]), pictureOf(t, m, "photos/ann.png"))
	require.Zero(t, pictureOf(t, m, ""), "nobody has to have one")
	_, _, err := m.Picture(t.Context(), withPhoto(""))
	require.ErrorContains(t, err, "no picture any more")
}

func TestMapper_Picture_that_cannot_be_used(t *testing.T) {
	t.Parallel()
	wide := new(bytes.Buffer)
	require.NoError(t, png.Encode(wide, image.NewPaletted(image.Rect(0, 0, 6000, 5000), palette.WebSafe[:2])))
	root := fstest.MapFS{
		"big.jpg": {Data: make([]byte, 10_001)}, "text.jpg": {Data: []byte("hello")}, "dir/x": {Data: []byte("x")},
	}
	m := pictured(t, sources.PictureRule{Files: root})
	bare := pictured(t, sources.PictureRule{})
	roomy := pictured(t, sources.PictureRule{MaxSize: 1 << 20})
	for what, c := range map[string]struct {
		mapper *sources.Mapper
		value  string
		fault  string
	}{
		"40 MB":                         {bare, "\xff\xd8\xff" + strings.Repeat("x", 40<<20), "it has 41943043 bytes, and picture.max_size allows 10000"},
		"40 MB as text":                 {bare, "data:image/png;base64," + strings.Repeat("A", 40<<20), "picture.max_size allows 10000"},
		"40 MB in a file":               {m, "big.jpg", "it has 10001 bytes"},
		"a text":                        {bare, "bm8gcGljdHVyZQ==", "not a JPEG, PNG or GIF"},
		"no base64":                     {bare, "hello there", "not a JPEG, PNG or GIF"},
		"a data: URI of text":           {bare, "data:text/plain,hello", "is not base64"},
		"a head and nothing behind it":  {bare, "\xff\xd8\xff\xe0", "not a JPEG, PNG or GIF"},
		"too many pixels":               {roomy, wide.String(), "6000 x 5000 pixels"},
		"a text in a file":              {m, "text.jpg", "not a JPEG, PNG or GIF"},
		"a file that is not there":      {m, "none.jpg", "cannot be read in the directory of the feed"},
		"a directory":                   {m, "dir", "is not a file"},
		"a path out of the feed":        {m, "../secret.png", "not a path below the directory"},
		"an absolute path":              {m, "/etc/passwd", "not a path below the directory"},
		"a path where none is followed": {bare, "photos/ann.png", "not a JPEG, PNG or GIF"},
	} {
		p := pictureOf(t, c.mapper, c.value)
		require.Empty(t, p.Hash, what)
		require.True(t, strings.HasPrefix(p.Fault, "picture: "), what)
		require.Contains(t, p.Fault, c.fault, what)
		require.Less(t, len(p.Fault), 200, what)
		_, _, err := c.mapper.Picture(t.Context(), withPhoto(c.value))
		require.ErrorContains(t, err, c.fault, what)
	}
}

func TestMapper_Picture_at_an_address(t *testing.T) {
	t.Parallel()
	raw := pictures(t)["png"]
	const address = "https://photos.example.com/ann.png?v=1"
	require.Zero(t, pictureOf(t, pictured(t, sources.PictureRule{}), address), "passed over unless that is switched on")

	asked := 0
	answer := func() ([]byte, error) { return []byte(raw), nil }
	m := pictured(t, sources.PictureRule{Fetch: func(_ context.Context, a string) ([]byte, error) {
		asked++
		require.Equal(t, address, a)
		return answer()
	}})
	p := pictureOf(t, m, address)
	require.NotEmpty(t, p.Hash)
	require.NotEqual(t, p, pictureOf(t, m, address+"2"))
	require.Zero(t, asked, "it is fetched when it is to be set, not when it is read")
	data, hash, err := m.Picture(t.Context(), withPhoto(address))
	require.NoError(t, err)
	require.Equal(t, raw, string(data))
	require.Equal(t, p.Hash, hash)

	answer = func() ([]byte, error) { return []byte("<html>"), nil }
	_, _, err = m.Picture(t.Context(), withPhoto(address))
	require.ErrorContains(t, err, "not a JPEG")
	answer = func() ([]byte, error) { return nil, errors.New("host \"photos.example.com\": it answers with 404") }
	_, _, err = m.Picture(t.Context(), withPhoto(address))
	require.ErrorContains(t, err, "answers with 404")
}

func TestMapper_Picture_counts_in_the_hash(t *testing.T) {
	t.Parallel()
	kinds := pictures(t)
	m := pictured(t, sources.PictureRule{})
	hash := func(value string) string {
		id, err := m.Identity(withPhoto(value))
		require.NoError(t, err)
		return id.Hash
	}
	require.NotEqual(t, hash(kinds["png"]), hash(kinds["gif"]))
	require.NotEqual(t, hash(""), hash("nothing"))
	left := withPhoto(kinds["png"])
	left.Add("left", "yes")
	id, err := m.Identity(left)
	require.NoError(t, err)
	require.Zero(t, id.Picture, "of a leaver it is not looked at")
	require.Equal(t, []string{"id", "left", "mail", "photo", "uid"}, m.Attributes(), "the directory is asked for it")
}

func TestCompile_picture(t *testing.T) {
	t.Parallel()
	at := func(s string) sources.Expr { return sources.Expr{Source: s} }
	compile := func(s string) error {
		_, err := sources.Compile("s", sources.Rules{ID: at("attr.id"), Username: at("attr.uid"), Email: at("attr.mail"), Picture: sources.PictureRule{Attribute: at(s), MaxSize: 1}}, sources.CompileOptions{})
		return err
	}
	for _, ok := range []string{"attr.thumbnailPhoto", "row.photo", ` attr["photo-1"] `, "attr.`photos.photo`", ""} {
		require.NoError(t, compile(ok), ok)
	}
	for _, bad := range []string{"lower(attr.photo)", `attr.a + attr.b`, `"photo"`, `orValue(attr.photo, "")`} {
		require.ErrorContains(t, compile(bad), "more than an attribute", bad)
	}
}
