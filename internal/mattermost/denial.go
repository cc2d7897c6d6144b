package mattermost

import (
	"context"
	"net/http"
	"time"
)

// denied tells a 401 or 403 that may be a database failure in disguise: with
// its database away the server answers 401 to a good token that it does not
// hold in memory, and 403 to a PATCH.
func denied(err error) bool {
	e, ok := asAPI(err)
	return ok && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden) && !e.aboutRequest() && !e.away
}

// refusalTakes is what looking at a token and its rights takes at the most. While
// something holds the table of accounts, the server waits for its query timeout
// (30 s by default) and then says 403, although it calls itself well.
const refusalTakes = 10 * time.Second

// slowDenial marks a 401 or 403 that took too long to be one.
func slowDenial(err error, took time.Duration) error {
	if took >= refusalTakes && denied(err) {
		e, _ := asAPI(err)
		e.away = true
	}
	return err
}

// confirmDenial believes a 401 or 403 only if the server's database is well and
// the answer is the same again. Nothing was done by the denied request, so
// repeating it is safe for writes as well.
func (c *Client) confirmDenial(ctx context.Context, q *call, body []byte, err error) (answer, error) {
	e, _ := asAPI(err)
	h, herr := c.ping(ctx)
	if q.write && ctx.Err() != nil {
		return answer{}, q.unsent(ctx, e)
	}
	if herr != nil || !h.Database {
		e.away = true
		return answer{}, e
	}
	return c.once(ctx, q, body)
}
