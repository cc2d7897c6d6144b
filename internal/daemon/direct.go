package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/notice"
)

// direct writes direct messages as mmsync's own account.
type direct struct {
	client *mattermost.Client
	log    *slog.Logger
}

// Message implements notice.Messenger.
func (d *direct) Message(ctx context.Context, account, text string) error {
	a, err := d.client.UserByID(ctx, account)
	switch {
	case mattermost.IsNotFound(err), err == nil && (!a.Active() || a.Bot || a.Remote):
		return nil // nobody reads it there
	case err == nil:
		err = d.client.DirectMessage(ctx, account, text)
	}
	if err == nil || !hopeless(err) {
		return err
	}
	if d.log != nil {
		d.log.WarnContext(ctx, "Mattermost does not let mmsync write to somebody's manager, who is not told that the person has left; see whether mmsync's account may send direct messages",
			"account", account, "error", err)
	}
	return nil
}

// hopeless tells an error that the same call for the same account would bring again, while
// one for another might not.
func hopeless(err error) bool {
	if _, ours := errors.AsType[*mattermost.RequestError](err); ours {
		return true
	}
	e, answered := errors.AsType[*mattermost.APIError](err)
	return answered && (e.Refused() || e.NotFound()) && !e.Unauthorized()
}

// trial is a sink of type manager that writes to one account, by its username.
type trial struct {
	client *mattermost.Client
	to     string
}

// Send implements notice.Sink.
func (t *trial) Send(ctx context.Context, n notice.Notice) error {
	if t.to == "" {
		return nil
	}
	found, err := t.client.UsersByUsernames(ctx, []string{strings.ToLower(t.to)})
	switch {
	case err != nil:
		return fmt.Errorf("look up whom to write to: %w", err)
	case len(found) != 1:
		return fmt.Errorf("no account is called %q: write the username of one, such as your own", t.to)
	case !found[0].Active() || found[0].Bot || found[0].Remote:
		return fmt.Errorf("nobody reads what is written to %q: it is off, or a bot's; write the username of another account, such as your own", t.to)
	}
	return t.client.DirectMessage(ctx, found[0].ID, n.Chat())
}
