package notice

import (
	"context"
	"fmt"
)

// Poster posts to a channel of Mattermost, named as team/channel or by its id.
type Poster interface {
	Post(ctx context.Context, channel, message string) error
}

// Channel posts to a channel of Mattermost, as mmsync's own account there.
type Channel struct {
	Poster Poster
	Name   string // team/channel, or an id
}

// Takes tells what can arrive: not that Mattermost takes the token no more, which would go
// the way that is closed.
func (*Channel) Takes(n Notice) bool { return n.Kind != TokenDead }

// Send implements Sink.
func (c *Channel) Send(ctx context.Context, n Notice) error {
	if err := c.Poster.Post(ctx, c.Name, n.Chat()); err != nil {
		return fmt.Errorf("post the notice to channel %s: %w", c.Name, err)
	}
	return nil
}
