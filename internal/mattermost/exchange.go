package mattermost

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	maxRetries   = 3
	maxRequest   = 300_000   // bytes; the server's default limit since 9.6, lists stay well below it
	maxAnswer    = 4 << 20   // of one object; /config is the largest
	maxList      = 512 << 20 // of a list; 3,000 accounts are about 2 MB
	maxErrorBody = 64 << 10
)

// call is one request as this package makes it.
type call struct {
	method string
	path   string // below /api/v4, escaped
	shown  string // the same without values; "" means path
	query  url.Values
	body   any
	form   *form // goes in the place of body, of any size
	write  bool
	urgent bool
	// account is whose write it is; writes to one account go one at a time.
	account string
	limit   int64
	// token goes in the place of the one in force.
	token string
	// sick decodes the body of a 500 as well: the ping answers so.
	sick   bool
	decode func(*json.Decoder) error
}

// form is a body that is not JSON.
type form struct {
	kind string // its Content-Type
	data []byte
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
	if q.form != nil {
		body = q.form.data
	} else if q.body != nil {
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
	c.renew(ctx)
	if err := c.token.denied(&q); err != nil {
		return answer{}, err
	}
	var before error // why the try before came to nothing
	for attempt := 0; ; attempt++ {
		tried, _ := c.token.value() // the error is the call's as well
		a, err := c.once(ctx, &q, body)
		if denied(err) {
			a, err = c.confirmDenial(ctx, &q, body, err)
			if IsUnauthorized(err) {
				c.token.died(tried, err)
			}
		}
		switch {
		case keptBack(err) && before != nil:
			return answer{}, q.unsent(ctx, before)
		case err == nil || keptBack(err) || isAway(err) || attempt == maxRetries || !repeatable(&q, err):
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

func isAway(err error) bool {
	_, ok := errors.AsType[*AwayError](err)
	return ok
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

// once makes one try, unless the server is away, and notes whether it was answered.
func (c *Client) once(ctx context.Context, q *call, body []byte) (answer, error) {
	trial, leave, err := c.pass(ctx, q)
	if err != nil {
		return answer{}, err
	}
	a, err := c.send(ctx, q, body)
	leave()
	answered, failed := verdict(err)
	c.breaker.done(ctx, trial, answered, failed)
	return a, err
}

// ErrNoTurn tells that a client beside another one would have asked more often than the
// server takes. Nothing was sent, and nothing is known about the server.
var ErrNoTurn = errors.New("the server is not asked more often at the moment, to keep below its rate limit")

// turn waits for the rate.
func (c *Client) turn(ctx context.Context, urgent bool) error {
	switch {
	case !c.looks:
		return c.limit.wait(ctx, urgent)
	case ctx.Err() != nil:
		return ctx.Err()
	case !c.limit.look(time.Now()):
		return ErrNoTurn
	}
	return nil
}

// pass waits for the rate, for a server that is away and for a place in flight. The
// server may have gone while others had the places.
func (c *Client) pass(ctx context.Context, q *call) (trial bool, leave func(), err error) {
	if err := c.turn(ctx, q.urgent); err != nil {
		return false, nil, q.notEntered(ctx, err)
	}
	for {
		if trial, err = c.breaker.enter(ctx, c.breaker.rideOut); err != nil {
			return false, nil, q.notEntered(ctx, err)
		}
		if leave, err = c.place(ctx); err != nil {
			c.breaker.done(ctx, trial, false, nil)
			return false, nil, q.notEntered(ctx, err)
		}
		if gone, _, _ := c.breaker.status(); !gone || trial {
			return trial, leave, nil
		}
		leave()
	}
}

// notEntered describes a call that did not get as far as to be sent.
func (q *call) notEntered(ctx context.Context, err error) error {
	if q.write && ctx.Err() != nil {
		return q.unsent(ctx, nil)
	}
	e := q.fail(err, false, false)
	e.local = true
	return e
}

// attempt is one try of a call without a body, whether the server is away or not.
func (c *Client) attempt(ctx context.Context, q *call) error {
	if err := c.turn(ctx, q.urgent); err != nil {
		return q.notEntered(ctx, err)
	}
	leave, err := c.place(ctx)
	if err != nil {
		return q.notEntered(ctx, err)
	}
	defer leave()
	_, err = c.send(ctx, q, nil)
	return err
}

// send sends the request and reads its answer.
func (c *Client) send(ctx context.Context, q *call, body []byte) (answer, error) {
	sending, out, end := c.depart(ctx, q.write)
	defer end()
	token, err := q.token, error(nil)
	if token == "" {
		token, err = c.token.value()
	}
	var req *http.Request
	if err == nil {
		req, err = c.request(sending, q, body, token)
	}
	if err != nil { // a token file that is just being replaced is read again
		e := q.fail(err, false, false)
		e.local = true
		return answer{}, e
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
	c.showed(resp.TLS)
	took := time.Since(started)
	a, err := c.read(q, resp)
	if err == nil && q.token == "" && !q.sick {
		c.token.lives(token)
	}
	c.debug(ctx, q, resp.StatusCode, resp.Header.Get("X-Request-Id"), time.Since(started))
	if err != nil && sending.Err() != nil && (q.write || ctx.Err() == nil) {
		return answer{}, q.fail(fmt.Errorf("the answer did not end within %s", c.timeout), true, false)
	}
	return a, slowDenial(err, took)
}

func (c *Client) request(ctx context.Context, q *call, body []byte, token string) (*http.Request, error) {
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
	if q.form != nil {
		req.Header.Set("Content-Type", q.form.kind)
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
	case errors.As(err, &cert) && validity(cert, time.Now()) != "":
		return q.fail(fmt.Errorf("%s: %w", validity(cert, time.Now()), err), false, true)
	case errors.As(err, &cert):
		return q.fail(fmt.Errorf("%w; if your own authority signed the server's certificate, set mattermost.ca_file", err), false, true)
	}
	return q.fail(err, out.left() || !c.tracing(), false)
}
