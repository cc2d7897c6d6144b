package mattermost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode"
)

// read judges the answer and decodes its body.
func (c *Client) read(q *call, resp *http.Response) (answer, error) {
	a := c.note(resp)
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	isJSON := kind == "application/json"
	switch {
	case resp.StatusCode == http.StatusTooManyRequests:
		d := retryAfter(resp.Header, time.Now())
		c.limit.pause(d)
		return a, &APIError{Status: resp.StatusCode, RetryAfter: d, Method: q.method, Path: q.name()}
	case resp.StatusCode == http.StatusNotModified:
		return a, q.fail(errors.New("304 to a request that did not ask for changes only; a cache answers instead of the server"), true, true)
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return a, q.fail(redirected(resp), true, true)
	case resp.StatusCode == http.StatusInternalServerError && isJSON && q.sick:
	case resp.StatusCode >= 400:
		return a, c.refusal(q, resp, kind)
	case resp.StatusCode < 200 || !isJSON:
		return a, q.fail(fmt.Errorf("%d with %q instead of JSON: the web app or a proxy answered, not the API; "+
			"is mattermost.url the site URL with its path?", resp.StatusCode, kind), true, true)
	}
	limit := q.limit
	if limit == 0 {
		limit = maxAnswer
	}
	if q.decode == nil {
		return a, nil
	}
	body := &bounded{r: resp.Body, left: limit}
	if err := q.decode(json.NewDecoder(body)); err != nil {
		return a, q.fail(fmt.Errorf("read answer: %w", err), true, errors.Is(err, errTooLarge))
	}
	return a, nil
}

// note keeps what an answer tells in passing.
func (c *Client) note(resp *http.Response) answer {
	c.limit.learn(resp.Header)
	if id := resp.Header.Get("X-Version-Id"); id != "" {
		if old := c.versionID.Load(); old == nil || *old != id {
			c.versionID.Store(&id)
		}
	}
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return answer{}
	}
	c.clock.set(date)
	return answer{date: date.UTC()}
}

// refusal reads the server's error body. Its id is kept, its message only for
// whoever asks for it, and a body that is not the server's JSON not at all.
func (c *Client) refusal(q *call, resp *http.Response, kind string) error {
	e := &APIError{Status: resp.StatusCode, Method: q.method, Path: q.name()}
	if e.Status == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "" {
		e.RetryAfter = retryAfter(resp.Header, time.Now())
	}
	if kind == "application/json" || kind == "text/plain" { // 5.38 calls its JSON about unknown routes so
		var body struct {
			ID        string `json:"id"`
			Message   string `json:"message"`
			RequestID string `json:"request_id"`
		}
		// A body that cannot be read leaves the status, which is what counts.
		if json.NewDecoder(io.LimitReader(resp.Body, maxErrorBody)).Decode(&body) == nil {
			e.ID, e.Message, e.RequestID = cut(body.ID, 120), cut(body.Message, 200), cut(body.RequestID, 40)
		}
	}
	if e.RequestID == "" {
		e.RequestID = cut(resp.Header.Get("X-Request-Id"), 40)
	}
	e.wrongBase = e.Status == http.StatusNotFound && (e.ID == "" || e.ID == idUnknownRoute)
	e.unknown = q.write && e.Status >= 500 && e.Status != http.StatusNotImplemented
	return e
}

func redirected(resp *http.Response) error {
	host := "an unreadable address"
	if u, err := resp.Location(); err == nil {
		host = u.Scheme + "://" + u.Host
	}
	return fmt.Errorf("%d redirect to %s, which is not followed because the token would go there; "+
		"set mattermost.url to the address that answers itself", resp.StatusCode, host)
}

// cut makes a text from outside safe to print, and short.
func cut(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}

// drain reads what little may be left, so that the connection can be used again.
func drain(body io.Reader) {
	_, _ = io.CopyN(io.Discard, body, 64<<10) // best effort
}

// debug tells of one request, whoever listens.
func (c *Client) debug(ctx context.Context, q *call, status int, requestID string, took time.Duration) {
	if c.requested != nil {
		c.requested(q.write, status, took)
	}
	if c.log == nil {
		return
	}
	c.log.DebugContext(ctx, "mattermost request", slog.String("method", q.method), slog.String("path", q.name()),
		slog.Int("status", status), slog.String("request", cut(requestID, 40)), slog.Duration("took", took))
}

var errTooLarge = errors.New("it is larger than any answer should be")

// bounded fails, instead of ending, when an answer is too large.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}
