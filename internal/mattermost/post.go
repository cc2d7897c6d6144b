package mattermost

import (
	"context"
	"net/http"
	"strings"
)

// Post posts a message, which is Markdown, to a channel: one of a team, named as
// team/channel by what stands in its address, or any by its id. The token's account
// need not be a member if it is a system administrator's. A post whose answer was lost
// may be there, and is not looked for: posting again makes it twice. ctx governs it
// until it leaves.
func (c *Client) Post(ctx context.Context, channel, message string) error {
	if message == "" {
		return &RequestError{"post", "the message is empty"}
	}
	id := channel
	if team, name, found := strings.Cut(channel, "/"); found {
		if !validSlug(team) || !validSlug(name) {
			return &RequestError{"post", "no team and channel can be called " + cut(channel, 80)}
		}
		var b struct {
			ID string `json:"id"`
		}
		_, err := c.do(ctx, call{
			method: http.MethodGet, path: "/teams/name/" + team + "/channels/name/" + name,
			shown: "/teams/name/{team}/channels/name/{channel}", decode: into(&b),
		})
		if err != nil {
			return err
		}
		id = b.ID
	}
	return c.postTo(ctx, id, message)
}

// DirectMessage writes to somebody by the id of his account, as the token's own. The
// server makes the channel between the two, or gives the one that there is. About a lost
// answer it is as with [Client.Post].
func (c *Client) DirectMessage(ctx context.Context, to, message string) error {
	if message == "" {
		return &RequestError{"write to an account", "the message is empty"}
	}
	if err := checkID("write to account", to); err != nil {
		return err
	}
	own, err := c.ownID(ctx)
	if err != nil {
		return err
	}
	if own == to {
		return &RequestError{"write to an account", "it is mmsync's own"}
	}
	var b struct {
		ID string `json:"id"`
	}
	_, err = c.do(ctx, call{method: http.MethodPost, path: "/channels/direct", body: []string{own, to}, write: true, decode: into(&b)})
	if err != nil {
		return err
	}
	return c.postTo(ctx, b.ID, message)
}

// ownID gives the id of the token's account, which stays the same as long as the client is.
func (c *Client) ownID(ctx context.Context) (string, error) {
	c.token.mu.Lock()
	id := c.token.owner.ID
	c.token.mu.Unlock()
	if id != "" {
		return id, nil
	}
	me, err := c.Me(ctx)
	return me.ID, err
}

func (c *Client) postTo(ctx context.Context, channel, message string) error {
	if err := checkID("post to channel", channel); err != nil {
		return err
	}
	_, err := c.do(ctx, call{
		method: http.MethodPost, path: "/posts", body: map[string]string{"channel_id": channel, "message": message}, write: true,
	})
	return err
}

// validSlug tells what can be the name of a team or a channel in an address.
func validSlug(s string) bool {
	return s != "" && len(s) <= 64 && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}) < 0
}
