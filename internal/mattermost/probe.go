package mattermost

import (
	"context"
	"net/http"
)

// ProbeToken asks once whose the token is, without repeating the question and without
// looking behind a denial: it is for polling, and what it says is shown and acted on by
// nobody. See [IsUnauthorized].
func (c *Client) ProbeToken(ctx context.Context) error {
	c.renew(ctx) // its file may hold another one by now
	q := call{method: http.MethodGet, path: "/users/me", urgent: true}
	_, err := c.once(ctx, &q, nil)
	return err
}
