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
	if err := checkID("post to channel", id); err != nil {
		return err
	}
	_, err := c.do(ctx, call{
		method: http.MethodPost, path: "/posts", body: map[string]string{"channel_id": id, "message": message}, write: true,
	})
	return err
}

// validSlug tells what can be the name of a team or a channel in an address.
func validSlug(s string) bool {
	return s != "" && len(s) <= 64 && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}) < 0
}
