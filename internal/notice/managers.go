package notice

import (
	"context"
	"fmt"
)

// Messenger writes direct messages in Mattermost.
type Messenger interface {
	// Message writes to the account with an id. That nothing can be written to it, because
	// it is off, a bot's, not there any more or not to be written to, is no error: it would
	// be the same the next time.
	Message(ctx context.Context, account, text string) error
}

// Managers writes to whom somebody reported to who has left.
type Managers struct {
	Messenger Messenger
}

// Takes tells what goes to a manager: that somebody has left whose is known.
func (*Managers) Takes(n Notice) bool {
	d := n.Departed
	return n.Kind == Left && d != nil && d.Manager != "" && d.Manager != d.Account
}

// Send implements Sink.
func (m *Managers) Send(ctx context.Context, n Notice) error {
	if !m.Takes(n) {
		return nil
	}
	if err := m.Messenger.Message(ctx, n.Departed.Manager, n.forManager()); err != nil {
		return fmt.Errorf("write to whom a leaver reported to: %w", err)
	}
	return nil
}

// forManager is the notice as the manager reads it, who need not know what mmsync is. It
// mentions nobody.
func (n Notice) forManager() string {
	d := n.Departed
	who := code(d.Username)
	if d.Name != "" {
		who += " (" + neutral(d.Name) + ")"
	}
	text := who + ", who reported to you, has left: the account was switched off at " + clock(d.At) + "."
	if n.Things != "" {
		text += " What they own and works on without them: " + n.Things + ".\nTell an administrator of Mattermost who is to have each of these."
	}
	return text
}
