package ldap_test

import (
	"bytes"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

// portrait is a picture of noise, so large as it is for its pixels.
func portrait(t *testing.T, side int, seed uint64) string {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	img := image.NewGray(image.Rect(0, 0, side, side))
	for i := range img.Pix {
		img.Pix[i] = uint8(r.Uint32())
	}
	var b bytes.Buffer
	require.NoError(t, jpeg.Encode(&b, img, &jpeg.Options{Quality: 90}))
	return b.String()
}

func withPictures(t testing.TB) func(*ldap.Options) {
	return func(o *ldap.Options) {
		o.Mapper = mapper(t, func(r *sources.Rules) {
			r.Picture = sources.PictureRule{Attribute: x("attr.jpegPhoto"), MaxSize: 1 << 20}
		})
	}
}

func TestSource_Picture(t *testing.T) {
	t.Parallel()
	srv := slapdtest.Start(t, slapdtest.Options{Users: 120})
	people := slapdtest.Roster(120)
	ann, bob := portrait(t, 64, 1), portrait(t, 64, 2)
	srv.Modify(people[3].DN, "jpegPhoto", ann)
	srv.Modify(people[4].DN, "jpegPhoto", "\xff\xd8\xff"+strings.Repeat("x", 2<<20))
	s := newSource(t, srv.URL, withPictures(t))
	snap := snapshot(t, s)
	require.True(t, snap.Complete, snap.Incomplete)
	require.Len(t, snap.Identities, 120, "of all pages, which are shorter with pictures in them")
	with := find(t, snap, people[3].DN)
	require.Len(t, with.Picture.Hash, 16)
	require.Equal(t, identity.Picture{Fault: "picture: it has 2097155 bytes, and picture.max_size allows 1048576"}, find(t, snap, people[4].DN).Picture)
	require.Zero(t, find(t, snap, people[5].DN).Picture)

	data, hash, err := s.Picture(t.Context(), people[3].EntryUUID)
	require.NoError(t, err)
	require.Equal(t, ann, string(data))
	require.Equal(t, with.Picture.Hash, hash)

	srv.Modify(people[3].DN, "jpegPhoto", bob)
	_, now, err := s.Picture(t.Context(), people[3].EntryUUID)
	require.NoError(t, err)
	require.NotEqual(t, hash, now, "as it is now")
	_, _, err = s.Picture(t.Context(), people[4].EntryUUID)
	require.ErrorContains(t, err, "picture.max_size allows")
	_, _, err = s.Picture(t.Context(), "00000000-0000-0000-0000-000000000000")
	require.ErrorContains(t, err, "0 entries have this anchor")
}

// What is kept of a picture does not grow with it.
func TestSource_Snapshot_keeps_no_picture(t *testing.T) { //nolint:paralleltest // it looks at the memory of the process
	srv := slapdtest.Start(t, slapdtest.Options{Users: 200})
	people := slapdtest.Roster(200)
	total := 0
	for i, p := range people {
		one := portrait(t, 256, uint64(i))
		total += len(one)
		srv.Modify(p.DN, "jpegPhoto", one)
	}
	require.Greater(t, total, 8<<20)
	s := newSource(t, srv.URL, withPictures(t))
	kept := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := kept()
	snap := snapshot(t, s)
	after := kept()
	require.Len(t, snap.Identities, 200)
	require.NotEmpty(t, snap.Identities[0].Picture.Hash)
	require.Less(t, int64(after)-int64(before), int64(total/4), "of %d bytes of pictures", total)
	runtime.KeepAlive(snap)
}
