package mattermost_test

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func pngOf(t *testing.T, width, height int) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, width, height))))
	return b.Bytes()
}

func TestTarget_SetPicture(t *testing.T) {
	t.Parallel()
	for name, profile := range profiles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, target := simulated(t, mmsim.Options{Profile: profile})
			a := mustApply(t, target, "", create("ada"))
			require.Zero(t, a.PictureAt)
			large := pngOf(t, 3000, 3000) // beyond what a request in JSON may have
			large = append(large, make([]byte, 400_000)...)
			a, err := target.SetPicture(t.Context(), a.ID, large)
			require.NoError(t, err)
			require.Positive(t, a.PictureAt)
			calls := s.Writes()
			require.Equal(t, "/api/v4/users/"+a.ID+"/image", calls[len(calls)-1].Path)

			before := a.PictureAt
			a, err = target.SetPicture(t.Context(), a.ID, large)
			require.NoError(t, err)
			require.Equal(t, before, a.PictureAt, "the server writes nothing for the same one")

			_, err = target.SetPicture(t.Context(), a.ID, []byte("GIF89a and no more"))
			require.True(t, refusesPicture(err), "%v", err)
			_, err = target.SetPicture(t.Context(), a.ID, pngOf(t, 8000, 5000))
			require.True(t, refusesPicture(err), "%v", err)
			_, err = target.SetPicture(t.Context(), strings.Repeat("z", 26), large)
			require.Error(t, err)
			require.False(t, refusesPicture(err), "an account that is not there says nothing about the picture")
			_, err = target.Apply(t.Context(), a.ID, plan.Op{Kind: plan.SetPicture}, mattermost.ApplyOptions{})
			require.True(t, mattermost.IsRefused(err))
		})
	}
}

func refusesPicture(err error) bool {
	var e *mattermost.PictureError
	return errors.As(err, &e) && e.PictureRefused()
}

func TestTarget_SetPicture_where_ldap_owns_it(t *testing.T) {
	t.Parallel()
	_, target := simulated(t, mmsim.Options{Settings: map[string]string{"MM_LDAPSETTINGS_PICTUREATTRIBUTE": "thumbnailPhoto"}})
	f, err := target.Facts(t.Context())
	require.NoError(t, err)
	require.True(t, f.PictureOfLDAP)
	o := create("ada")
	for i, c := range o.Changes {
		if c.Field == plan.FieldAuthService {
			o.Changes[i].To = "ldap"
		}
	}
	a := mustApply(t, target, "", o)
	_, err = target.SetPicture(t.Context(), a.ID, pngOf(t, 8, 8))
	require.True(t, refusesPicture(err), "%v", err)
}

func TestTarget_SetPicture_without_files(t *testing.T) {
	t.Parallel()
	s, target := simulated(t, mmsim.Options{Settings: map[string]string{"MM_FILESETTINGS_DRIVERNAME": ""}})
	a := mustApply(t, target, "", create("ada"))
	f, err := target.Facts(t.Context())
	require.NoError(t, err)
	require.False(t, f.NoPictures, "no answer has told it yet")
	for range 2 {
		_, err = target.SetPicture(t.Context(), a.ID, pngOf(t, 8, 8))
		var none *mattermost.NoFilesError
		require.ErrorAs(t, err, &none)
	}
	tries := 0
	for _, c := range s.Writes() {
		if strings.HasSuffix(c.Path, "/image") {
			require.Equal(t, http.StatusNotImplemented, c.Status)
			tries++
		}
	}
	require.Equal(t, 1, tries, "it is not asked again")
	f, err = target.Facts(t.Context())
	require.NoError(t, err)
	require.True(t, f.NoPictures)
}
