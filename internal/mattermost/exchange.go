package mattermost

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

const (
	maxRetries   = 3
	maxRequest   = 300_000   // bytes; the server's default limit
	maxAnswer    = 4 << 20   // of one object; /config is the largest
	maxList      = 512 << 20 // of a list; 9,000 accounts are about 6 MB
	maxErrorBody = 64 << 10
)

// call is one request as this package makes it.
type call struct {
	method string
	path   string // below /api/v4, escaped
	shown  string // the same without values; "" means path
	query  url.Values
	body   any
	write  bool
	urgent bool
	// account is whose write it is; writes to one account go one at a time.
	account string
	limit   int64
	// sick decodes the body of a 500 as well: the ping answers so.
	sick   bool
	decode func(*json.Decoder) error
}

// answer is what is known about a successful answer besides its body.
type answer struct {
	date time.Time // the server's Date, zero if absent
}

func (q *call) name() string {
	if q.shown != "" {
		return apiPrefix + q.shown
	}
	return apiPrefix + q.path
}

func (q *call) fail(err error, sent, permanent bool) *CallError {
	return &CallError{Method: q.method, Path: q.name(), Err: err, Sent: sent, write: q.write, permanent: permanent}
}

// unsent tells that a write was kept back because its caller's time is over.
// before is why an earlier try came to nothing, if there was one.
func (q *call) unsent(ctx context.Context, before error) *CallError {
	why := ctx.Err()
	if cause := context.Cause(ctx); !errors.Is(why, cause) {
		why = fmt.Errorf("%w: %w", why, cause)
	}
	e := q.fail(fmt.Errorf("not sent: %w", why), false, false)
	if before != nil {
		told := strings.TrimPrefix(before.Error(), q.method+" "+q.name()+": ")
		e.Err = fmt.Errorf("not sent again: %w; the try before: %s", why, told)
	}
	e.stayed = true
	return e
}

func keptBack(err error) bool {
	var ce *CallError
	return errors.As(err, &ce) && ce.stayed
}

// do makes a call. Reads are repeated up to three times while the failure looks
// passing. A write is repeated only when it is certain that it was not done: no
// connection, or a 429, which the server sends before it looks at the request.
// So whenever ctx ends before a try of a write, none of the earlier ones is in
// doubt, and the error can say that nothing was sent.
func (c *Client) do(ctx context.Context, q call) (answer, error) {
	var body []byte
	if q.body != nil {
		var err error
		if body, err = json.Marshal(q.body); err != nil {
			return answer{}, q.fail(fmt.Errorf("encode: %w", err), false, true)
		}
		if len(body) > maxRequest {
			return answer{}, q.fail(fmt.Errorf("the request is larger than the %d bytes the server takes", maxRequest), false, true)
		}
	}
	if q.write && q.account != "" {
		unlock, err := c.accounts.lock(ctx, q.account)
		if err != nil {
			return answer{}, q.unsent(ctx, nil)
		}
		defer unlock()
	}
	var before error // why the try before came to nothing
	for attempt := 0; ; attempt++ {
		a, err := c.once(ctx, &q, body)
		if denied(err) {
			a, err = c.confirmDenial(ctx, &q, body, err)
		}
		switch {
		case keptBack(err) && before != nil:
			return answer{}, q.unsent(ctx, before)
		case err == nil || keptBack(err) || attempt == maxRetries || !repeatable(&q, err):
			return a, err
		case ctx.Err() == nil && sleep(ctx, c.backoff(attempt)) == nil:
			before = err
		case q.write:
			return answer{}, q.unsent(ctx, err)
		default:
			return answer{}, err
		}
	}
}

func repeatable(q *call, err error) bool {
	if !q.write {
		return IsTransient(err)
	}
	if e, ok := asAPI(err); ok {
		return e.Status == http.StatusTooManyRequests
	}
	var ce *CallError
	return errors.As(err, &ce) && !ce.Sent && ce.Transient()
}

// backoff doubles with each attempt and has jitter. A 429 needs no more: the
// limiter holds everybody back for as long as the server asked.
func (c *Client) backoff(attempt int) time.Duration {
	d := c.retryWait << attempt
	return d/2 + rand.N(d)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// once sends the request and reads its answer.
func (c *Client) once(ctx context.Context, q *call, body []byte) (answer, error) {
	leave, err := c.enter(ctx, q.urgent)
	if err != nil && q.write {
		return answer{}, q.unsent(ctx, nil)
	}
	if err != nil {
		return answer{}, q.fail(err, false, false)
	}
	defer leave()

	sending, out, end := c.depart(ctx, q.write)
	defer end()
	req, err := c.request(sending, q, body)
	if err != nil { // a token file that is just being replaced is read again
		return answer{}, q.fail(err, false, false)
	}
	if q.write && ctx.Err() != nil {
		return answer{}, q.unsent(ctx, nil)
	}
	started := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		c.debug(ctx, q, 0, "", time.Since(started))
		return answer{}, c.noAnswer(ctx, q, err, out)
	}
	defer func() { _ = resp.Body.Close() }() // nothing can be done about it, and nothing is lost
	defer drain(resp.Body)
	took := time.Since(started)
	a, err := c.read(q, resp)
	c.debug(ctx, q, resp.StatusCode, resp.Header.Get("X-Request-Id"), time.Since(started))
	if err != nil && sending.Err() != nil && (q.write || ctx.Err() == nil) {
		return answer{}, q.fail(fmt.Errorf("the answer did not end within %s", c.timeout), true, false)
	}
	return a, slowDenial(err, took)
}

func (c *Client) request(ctx context.Context, q *call, body []byte) (*http.Request, error) {
	token, err := c.readToken()
	if err != nil {
		return nil, err
	}
	target := c.base.String() + apiPrefix + q.path
	if len(q.query) > 0 {
		target += "?" + q.query.Encode()
	}
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, q.method, target, r)
	if err != nil { // it would show the URL, and with it an e-mail
		return nil, errors.New("the request cannot be formed")
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Language", "en")
	req.Header.Set("User-Agent", c.userAgent)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// noAnswer describes a request that got none.
func (c *Client) noAnswer(ctx context.Context, q *call, err error, out *departure) error {
	if ue := (*url.Error)(nil); errors.As(err, &ue) {
		err = ue.Err // the outer one shows the URL, and with it an e-mail
	}
	var cert *tls.CertificateVerificationError
	switch {
	case errors.Is(err, ErrNotAllowed):
		return q.fail(err, false, true)
	case out.stayed():
		return q.unsent(ctx, nil)
	case !q.write && ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("no answer within %s", c.timeout)
	case errors.As(err, &cert):
		return q.fail(fmt.Errorf("%w; if your own authority signed the server's certificate, set mattermost.ca_file", err), false, true)
	}
	return q.fail(err, out.left() || !c.tracing(), false)
}

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
