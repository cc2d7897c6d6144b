package file_test

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/file"
)

func picture(t *testing.T, gray uint8) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 2, 2))
	img.SetGray(0, 0, color.Gray{Y: gray})
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, img))
	return b.Bytes()
}

// A feed of CSV names its pictures by their paths, and of nothing outside of its
// directory, by whatever way.
func TestSource_Picture_beside_a_feed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	feed := filepath.Join(dir, "feed")
	write := func(name string, data []byte) {
		t.Helper()
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, data, 0o644))
	}
	write("feed/photos/ada.png", picture(t, 1))
	write("secret.png", picture(t, 2))
	require.NoError(t, os.Symlink("../../secret.png", filepath.Join(feed, "photos", "way-out.png")))
	require.NoError(t, os.Symlink("..", filepath.Join(feed, "up")))
	write("feed/people.csv", []byte("id,uid,mail,state,photo\n1,ada,ada@t,,photos/ada.png\n2,bea,bea@t,,photos/way-out.png\n3,cid,cid@t,,up/secret.png\n4,dan,dan@t,,\n"))
	path := filepath.Join(feed, "people.csv")
	s := newSource(t, path, "", func(o *file.Options) {
		o.FS = nil
		o.Mapper = mapper(t, func(r *sources.Rules) {
			r.Picture = sources.PictureRule{Attribute: sources.Expr{Source: "attr.photo"}, MaxSize: 1 << 20, Files: file.Beside(path)}
		})
	})
	snap := snapshot(t, s)
	require.True(t, snap.Complete, "pictures that cannot be read are no fault of the feed")
	require.Len(t, snap.Identities, 4)
	require.NotEmpty(t, snap.Identities[0].Picture.Hash)
	for _, at := range []int{1, 2} {
		require.Empty(t, snap.Identities[at].Picture.Hash)
		require.Contains(t, snap.Identities[at].Picture.Fault, "cannot be read in the directory of the feed")
		require.Empty(t, snap.Identities[at].Fault)
	}
	require.Zero(t, snap.Identities[3].Picture)

	data, hash, err := s.Picture(t.Context(), "1")
	require.NoError(t, err)
	require.Equal(t, picture(t, 1), data)
	require.Equal(t, snap.Identities[0].Picture.Hash, hash)
	_, _, err = s.Picture(t.Context(), "2")
	require.ErrorContains(t, err, "cannot be read")
	_, _, err = s.Picture(t.Context(), "9")
	require.ErrorContains(t, err, "not in the file any more")

	// What is under the same path is read anew, and so is the feed once it changes.
	write("feed/photos/ada.png", picture(t, 3))
	data, now, err := s.Picture(t.Context(), "1")
	require.NoError(t, err)
	require.Equal(t, picture(t, 3), data)
	require.NotEqual(t, hash, now)
	write("feed/photos/dan.png", picture(t, 4))
	write("feed/people.csv", []byte("id,uid,mail,state,photo\n4,dan,dan@t,,photos/dan.png\n"))
	require.NoError(t, os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)))
	data, _, err = s.Picture(t.Context(), "4")
	require.NoError(t, err)
	require.Equal(t, picture(t, 4), data)
}

func TestSource_Picture_in_ldif(t *testing.T) {
	t.Parallel()
	inText := base64.StdEncoding.EncodeToString(picture(t, 5))
	s := newSource(t, "people.ldif", "dn: uid=ada,dc=t\nid: 1\nuid: ada\nmail: ada@t\njpegPhoto:: "+inText+"\n", func(o *file.Options) {
		o.Mapper = mapper(t, func(r *sources.Rules) {
			r.Picture = sources.PictureRule{Attribute: sources.Expr{Source: "attr.jpegPhoto"}, MaxSize: 1 << 20}
		})
	})
	want := snapshot(t, s).Identities[0].Picture
	require.NotEmpty(t, want.Hash)
	data, hash, err := s.Picture(t.Context(), "1")
	require.NoError(t, err)
	require.Equal(t, picture(t, 5), data)
	require.Equal(t, want.Hash, hash)
}
