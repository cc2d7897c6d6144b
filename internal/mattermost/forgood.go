package mattermost

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// idsDeletionOff come with 401 while ServiceSettings.EnableAPIUserDeletion is off: the
// first to an administrator of 11.6, the second on 5.38 and to others.
func idsDeletionOff() []string {
	return []string{"api.user.delete_user.not_enabled.for_admin.app_error", "api.user.delete_user.not_enabled.app_error"}
}

// DeletionOff tells that the server deletes no account for good, because
// ServiceSettings.EnableAPIUserDeletion is off there.
func (e *APIError) DeletionOff() bool {
	return e.Status == http.StatusUnauthorized && slices.Contains(idsDeletionOff(), e.ID)
}

// DeletesForGood tells whether the server lets accounts be deleted for good, as far as
// it says: one whose configuration mmsync's token may not read is taken to.
func (t *Target) DeletesForGood(ctx context.Context) (bool, error) {
	s, err := t.c.Settings(ctx)
	if IsForbidden(err) {
		return true, nil
	}
	return err == nil && !s.DeletionOff, err
}

// DeleteForGood deletes an account for good, with all that the person wrote, uploaded
// and owned, active or not: look at it first. It is refused for the token's own account,
// and by a client that was not made with Deletions. ctx governs it until it leaves.
func (c *Client) DeleteForGood(ctx context.Context, id string) error {
	const op = "delete for good"
	if err := c.somebodyElse(ctx, op, id); err != nil {
		return err
	}
	_, err := c.do(ctx, call{method: http.MethodDelete, path: "/users/" + id, query: url.Values{permanent: {"true"}}, write: true, account: id})
	return err
}

// somebodyElse refuses an id that is none, or that of the token's own account.
func (c *Client) somebodyElse(ctx context.Context, op, id string) error {
	if err := checkID(op, id); err != nil {
		return err
	}
	me, err := c.oneUser(ctx, "/users/me", "", true)
	if err != nil {
		return fmt.Errorf("read the token's own account: %w", err)
	}
	if me.ID == id {
		return &RequestError{op, "it is the account of mmsync's own token"}
	}
	return nil
}

// deleteForGood deletes an account for good and looks until the server has it no more.
// Without an error there is no account to give back.
func (t *Target) deleteForGood(ctx context.Context, id string) (identity.Account, error) {
	if err := t.c.DeleteForGood(ctx, id); err != nil {
		return identity.Account{}, err
	}
	ctx, cancel := t.afterwards(ctx)
	defer cancel()
	deadline := time.Now().Add(t.o.SettleFor)
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		a, err := t.read(ctx, id, true)
		switch {
		case IsNotFound(err):
			return identity.Account{}, nil
		case err != nil:
			return identity.Account{}, &UnverifiedError{AccountID: id, Err: err}
		}
		left := time.Until(deadline)
		if left <= 0 || sleep(ctx, min(wait, left)) != nil {
			return a, &MismatchError{AccountID: id, Field: string(plan.FieldOffSince), Want: plan.Deleted, Got: strconv.FormatInt(a.DeleteAt, 10)}
		}
	}
}
