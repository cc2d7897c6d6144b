package mattermost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
	"strconv"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// NoFilesError tells that the server has nowhere to keep files (FileSettings without a
// DriverName, answered with 501), so that no picture can be set.
type NoFilesError struct{ Err error }

func (e *NoFilesError) Error() string { return e.Stopped() }

func (e *NoFilesError) Unwrap() error { return e.Err }

// Refused is always true.
func (e *NoFilesError) Refused() bool { return true }

// Stopped is the sentence that is worth saying once, not for each account.
func (e *NoFilesError) Stopped() string {
	return "pictures are not set, because this server has nowhere to keep files; set up FileSettings in Mattermost, then start mmsync again"
}

// PictureError tells that the server will not take this very picture, whenever it is
// sent: it is too large, has too many pixels, is no picture to the server, or the account
// gets its picture from elsewhere.
type PictureError struct{ Err *APIError }

func (e *PictureError) Error() string {
	return "Mattermost does not take this picture: " + e.Err.Error()
}

func (e *PictureError) Unwrap() error { return e.Err }

// PictureRefused is always true.
func (e *PictureError) PictureRefused() bool { return true }

// SetImage replaces an account's picture. The server cuts it to a square of 128 pixels,
// and writes nothing if it has just that already. The answer says nothing about the
// account: read it back. ctx governs it until it leaves.
func (c *Client) SetImage(ctx context.Context, id string, picture []byte) error {
	const op = "set picture"
	if err := checkID(op, id); err != nil {
		return err
	}
	if len(picture) == 0 {
		return &RequestError{op, "there is no picture"}
	}
	if c.noFiles.Load() {
		return &NoFilesError{}
	}
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	part, err := w.CreateFormFile("image", "picture")
	if err == nil {
		_, err = part.Write(picture)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("make the form of a picture: %w", err)
	}
	_, err = c.do(ctx, call{
		method: http.MethodPost, path: "/users/" + id + "/image", write: true, account: id,
		form: &form{kind: w.FormDataContentType(), data: body.Bytes()},
	})
	e, ok := asAPI(err)
	switch {
	case !ok:
		return err
	case e.Status == http.StatusNotImplemented:
		c.noFiles.Store(true)
		return &NoFilesError{Err: err}
	case e.Status == http.StatusRequestEntityTooLarge, e.Status == http.StatusConflict,
		e.Status == http.StatusBadRequest && e.ID != idInvalidParam: // an account that is not there
		return &PictureError{Err: e}
	}
	return err
}

// SetPicture is [Target.Apply] for an op that sets a picture, with the picture beside it.
// That the account has the very picture cannot be seen, only that somebody set one.
func (t *Target) SetPicture(ctx context.Context, accountID string, picture []byte) (identity.Account, error) {
	op := plan.Op{Kind: plan.SetPicture}
	proved, err := t.trial.begin(ctx, t, op)
	if err != nil {
		return identity.Account{}, err
	}
	if err := t.c.SetImage(ctx, accountID, picture); err != nil {
		return proved(identity.Account{}, err)
	}
	return proved(t.readBack(ctx, accountID, func(a identity.Account) *MismatchError {
		if a.PictureAt > 0 {
			return nil
		}
		return &MismatchError{AccountID: accountID, Field: string(plan.FieldPicture), Want: "set", Got: strconv.FormatInt(a.PictureAt, 10)}
	}))
}
