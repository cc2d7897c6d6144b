package reconcile_test

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// photo is one of many pictures, in a data: URI.
func photo(n uint8) string {
	img := image.NewGray(image.Rect(0, 0, 8, 8))
	img.SetGray(int(n)%8, int(n)/8%8, color.Gray{Y: 200})
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())
}

// uploads counts the pictures that were sent.
func (w *world) uploads() (n int) {
	for _, c := range w.sim.Writes() {
		if strings.HasSuffix(c.Path, "/image") {
			n++
		}
	}
	return n
}

func (w *world) user(name string) mmsim.User {
	w.t.Helper()
	u, ok := w.sim.UserByName(name)
	require.True(w.t, ok, name)
	return u
}

func TestEngine_Picture(t *testing.T) {
	t.Parallel()
	t.Run("it is set once, and again only when the source's changes", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		ann, bob := human{ID: "1", UID: "ann", Photo: photo(1)}, human{ID: "2", UID: "bob"}
		w.settle([]human{ann, bob}, wiring{})
		require.Equal(t, 1, w.uploads())
		require.Positive(t, w.user("ann").LastPictureUpdate)
		require.Zero(t, w.user("bob").LastPictureUpdate)
		w.settle([]human{ann, bob}, wiring{})
		require.Equal(t, 1, w.uploads(), "not each night")
		ann.Photo, bob.Photo = photo(2), photo(3)
		w.settle([]human{ann, bob}, wiring{})
		require.Equal(t, 3, w.uploads())
		ann.Photo = ""
		w.settle([]human{ann, bob}, wiring{})
		require.Equal(t, 3, w.uploads(), "one that is gone from the source stays")
	})
	t.Run("the person's own stays until the source's changes", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		ann := human{ID: "1", UID: "ann"}
		w.settle([]human{ann}, wiring{})
		own := func() int64 {
			w.edit("ann", func(u *mmsim.User) { u.UpdateAt++; u.LastPictureUpdate = u.UpdateAt })
			return w.user("ann").LastPictureUpdate
		}
		at := own()
		ann.Photo = photo(1)
		rep, err := w.sync([]human{ann}, wiring{})
		require.NoError(t, err)
		require.Equal(t, plan.NotePicture, rep.Plan.Decisions[0].Ops[0].Kind)
		w.settle([]human{ann}, wiring{})
		require.Zero(t, w.uploads())
		require.Equal(t, at, w.user("ann").LastPictureUpdate)

		ann.Photo = photo(2)
		w.settle([]human{ann}, wiring{})
		require.Equal(t, 1, w.uploads())
		own()
		w.settle([]human{ann}, wiring{})
		require.Equal(t, 1, w.uploads(), "and once more")

		always := wiring{change: func(o *reconcile.Options) { o.Policy.Pictures = []plan.PicturePolicy{{Source: "corp", Always: true}} }}
		w.settle([]human{ann}, always)
		require.Equal(t, 2, w.uploads(), "put back where that is wanted")
		w.settle([]human{ann}, always)
		require.Equal(t, 2, w.uploads())
	})
	t.Run("one that cannot be used keeps nothing else back", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		huge := "data:image/png;base64," + strings.Repeat("A", 200<<10)
		rep, err := w.sync([]human{{ID: "1", UID: "ann", Photo: huge}, {ID: "2", UID: "bob", Photo: "bm90IGEgcGljdHVyZQ=="}}, wiring{})
		require.NoError(t, err)
		require.Equal(t, 2, rep.Counts.Done)
		require.Zero(t, w.uploads())
		require.Equal(t, "picture: it has 153600 bytes, and picture.max_size allows 65536", rep.Plan.Decisions[0].Notes[0].Detail)
		require.Equal(t, "picture: it is not a JPEG, PNG or GIF", rep.Plan.Decisions[1].Notes[0].Detail)
	})
	t.Run("one that the server does not take is not sent each night", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		ann := human{ID: "1", UID: "ann", Title: "Clerk", Photo: photo(1)}
		stop := w.sim.Fail(mmsim.Fault{Method: "POST", Path: "/users/*/image", Status: http.StatusBadRequest, ErrorID: "api.user.upload_profile_user.decode.app_error"})
		rep, err := w.sync([]human{ann}, wiring{})
		require.NoError(t, err)
		require.Equal(t, state.RunPartial, rep.Status)
		require.Len(t, rep.Failures, 1)
		ann.Title = "Boss"
		rep, err = w.sync([]human{ann}, wiring{})
		require.NoError(t, err)
		require.Equal(t, 1, w.uploads())
		require.Equal(t, "Boss", w.user("ann").Position)
		require.Equal(t, plan.PictureRefused, rep.Plan.Decisions[0].Notes[0].Reason)
		stop()
		ann.Photo = photo(2)
		w.settle([]human{ann}, wiring{})
		require.Positive(t, w.user("ann").LastPictureUpdate)
	})
	t.Run("a server without files is asked once", func(t *testing.T) {
		t.Parallel()
		w := newWorldOf(t, mmsim.Options{Settings: map[string]string{"MM_FILESETTINGS_DRIVERNAME": ""}})
		rep, err := w.sync([]human{{ID: "1", UID: "ann", Photo: photo(1)}, {ID: "2", UID: "bob", Photo: photo(2)}}, wiring{change: func(o *reconcile.Options) { o.Workers = 1 }})
		require.NoError(t, err)
		require.Equal(t, 1, w.uploads())
		require.True(t, w.user("bob").Active())
		require.Contains(t, strings.Join(rep.Problems, "\n"), "nowhere to keep files")
	})
	t.Run("no byte of it is kept", func(t *testing.T) {
		t.Parallel()
		w := newWorldOnFile(t)
		w.settle([]human{{ID: "1", UID: "ann", Photo: photo(1)}}, wiring{})
		kept, err := os.ReadFile(w.db)
		require.NoError(t, err)
		require.NotContains(t, string(kept), "data:image")
		require.NotContains(t, string(kept), "\x89PNG")
	})
}
