package mmsim

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"image"
	_ "image/gif"  // a picture may be one
	_ "image/jpeg" // a picture may be one
	_ "image/png"  // a picture may be one
	"io"
	"net/http"
	"strings"
)

// No exchange about pictures was recorded. This follows the server's source
// (api4/user.go setProfileImage, app/user.go SetProfileImage): the form's field is
// image, it is refused beyond FileSettings.MaxFileSize (413) and MaxImageResolution
// (400), where it is no image (400), for ldap accounts, and saml ones while
// SamlSettings.EnableSyncWithLdap is on, while LdapSettings names a PictureAttribute (409), and where there is no file store (501). A picture that the
// account has already is not written again.

const (
	maxFile       = 104_857_600 // FileSettings.MaxFileSize
	maxResolution = 33_177_600  // FileSettings.MaxImageResolution
)

func isImage(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/api/v4/users/") && strings.HasSuffix(r.URL.Path, "/image")
}

func (s *Server) setImage(q *request) reply {
	const about = "api.user.upload_profile_user."
	u := s.row(q, q.params["id"])
	if u == nil {
		return badURL()
	}
	if !q.admin() && !q.self(u.ID) {
		return forbidden()
	}
	if s.conf.text("FileSettings", "DriverName") == "" {
		return fail(http.StatusNotImplemented, about+"storage.app_error")
	}
	if q.tooLarge {
		return fail(http.StatusRequestEntityTooLarge, about+"too_large.app_error")
	}
	q.Request.Body = io.NopCloser(bytes.NewReader(q.body))
	if err := q.ParseMultipartForm(maxFile); err != nil {
		return fail(http.StatusInternalServerError, about+"parse.app_error")
	}
	files := q.MultipartForm.File["image"]
	if len(files) == 0 {
		return fail(http.StatusBadRequest, about+"no_file.app_error")
	}
	if u.ofLDAP(s.conf) && s.conf.text("LdapSettings", "PictureAttribute") != "" {
		return fail(http.StatusConflict, about+"login_provider_attribute_set.app_error")
	}
	f, err := files[0].Open()
	if err != nil {
		return fail(http.StatusBadRequest, about+"open.app_error")
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return fail(http.StatusBadRequest, about+"open.app_error")
	}
	shape, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err == nil && shape.Width*shape.Height > maxResolution {
		return fail(http.StatusBadRequest, about+"check_image_limits.app_error")
	}
	if _, _, err = image.Decode(bytes.NewReader(data)); err != nil {
		return fail(http.StatusBadRequest, about+"decode.app_error")
	}
	sum := sha256.Sum256(data)
	if hash := hex.EncodeToString(sum[:]); hash != u.picture {
		row := copyUser(u)
		row.picture, row.LastPictureUpdate, row.UpdateAt = hash, q.now, q.now
		s.put(&row)
	}
	return statusOK()
}
