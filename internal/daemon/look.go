package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/mmsync/mmsync/internal/admin"
	"github.com/mmsync/mmsync/internal/mattermost"
)

// mattermostLook asks in turn whose the token is and whether the server is well, never
// two things within 2 s: the second question makes the server write to its database.
// What it learns the client that works learns as well, which would know of an outage, of
// a dead token and of their ends from its next call alone. While another process works,
// whose rate knows nothing of this one's questions, it asks half as often. look is for one
// goroutine.
type mattermostLook struct {
	client *mattermost.Client
	target *mattermost.Target // what is worked with, and knows more
	turns  int
	// follows tells that another process works, and leftOut that the last turn was left
	// out for that; last is what the one before gave.
	follows func() bool
	leftOut bool
	last    []admin.Status
	// sick is why the server was not well when it was last asked about itself, and failed
	// how often in a row that was so.
	sick   error
	failed int
	pinged bool // it was asked about itself
	token  admin.Status
	// differs has whoever works ask about the token, asked is when that was, for as long
	// as the two do not agree.
	differs chan struct{}
	asked   time.Time
	// anew is when it was seen to that a new connection is made.
	anew time.Time
}

// mattermostLook makes one, with a client of its own.
func (d *Daemon) mattermostLook() (*mattermostLook, error) {
	client, err := d.prober()
	if err != nil {
		return nil, err
	}
	return &mattermostLook{client: client, target: d.Target, follows: d.follows.Load, differs: make(chan struct{}, 1)}, nil
}

func (m *mattermostLook) probe() admin.Probe {
	return admin.Probe{
		Parts: []string{partMattermost, partToken}, Every: askEvery, Within: askWithin,
		Hangs: "look at the server, and at the network to mattermost.url: mmsync doctor --only mattermost", Check: m.look,
	}
}

func (m *mattermostLook) look(ctx context.Context) []admin.Status {
	if m.leftOut = !m.leftOut && m.turns > 1 && m.sick == nil && m.follows(); !m.leftOut {
		m.last = m.ask(ctx)
	}
	return m.last
}

func (m *mattermostLook) ask(ctx context.Context) []admin.Status {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	if ends := m.client.CertificateEnds(); !ends.IsZero() && (time.Now().After(ends) || time.Since(m.anew) > anewEvery) {
		m.client.CloseIdle()
		m.anew = time.Now()
	}
	if m.turns++; m.sick != nil || m.turns%2 == 0 {
		was := m.sick
		err := m.lookServer(ctx)
		m.pass(ctx, was)
		m.compare()
		return m.said(err)
	}
	err := m.client.ProbeToken(ctx)
	var e *mattermost.APIError
	switch {
	case err == nil:
		m.token = admin.Status{Part: partToken, OK: true, Detail: "The server takes it."}
	case errors.As(err, &e) && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden):
		// With its database away the server denies a good token. It was asked about that
		// a moment ago.
		m.token = admin.Status{Part: partToken, Detail: "The server does not accept the token; make a new one, put it where mattermost.token_file says, and see mmsync doctor --only mattermost"}
	case busy(err):
	default:
		return m.said(err)
	}
	m.compare()
	return m.said(m.sick)
}

// busy tells that the server was not asked, or did not say, for there is too much to do.
func busy(err error) bool {
	var e *mattermost.APIError
	return errors.Is(err, mattermost.ErrNoTurn) || errors.As(err, &e) && e.Status == http.StatusTooManyRequests
}

// lookServer asks the server about itself and its database.
func (m *mattermostLook) lookServer(ctx context.Context) error {
	h, err := m.client.Ping(ctx)
	switch {
	case busy(err):
		return m.sick
	case err == nil && !h.Database:
		err = errors.New("it answers, but does not reach its database")
	}
	m.pinged = true
	if m.failed++; err == nil {
		m.failed = 0
	}
	m.sick = err
	return err
}

// anewEvery is how often a new connection is made: one that is kept for ever would show
// for ever the certificate it began with.
const anewEvery = 10 * time.Minute

// pass tells whoever works; was is what was known before. It has calls kept back when the server was not well twice, and go on when it is. One
// that is slow to say how it is has nobody wait: calls are given more time than a look.
func (m *mattermostLook) pass(ctx context.Context, was error) {
	isOpen, _, _ := m.target.Breaker()
	switch {
	case m.sick == nil && isOpen:
		if was != nil {
			m.target.Heard(nil)
		}
		_ = m.target.Reachable(ctx) // it may be the only one that asks whether the server is back
	case m.failed > 1 && ctx.Err() == nil:
		m.target.Heard(m.sick)
	}
}

const (
	// askAgain is how often whoever works is asked to look at a token of which it thinks
	// otherwise.
	askAgain = 30 * time.Second
	// settleWithin is how long it may take: a denial is looked behind.
	settleWithin = 20 * time.Second
)

// compare has whoever works look at the token if it thinks otherwise of it. A server that
// is not well denies good ones.
func (m *mattermostLook) compare() {
	if !m.pinged || m.sick != nil {
		return
	}
	if m.token.Part == "" || m.target.Token().Dead != m.token.OK {
		m.asked = time.Time{}
		return
	}
	if time.Since(m.asked) < askAgain {
		return
	}
	m.asked = time.Now()
	select {
	case m.differs <- struct{}{}:
	default:
	}
}

// settle does what compare wants until ctx ends. What comes of it the client remembers.
func (m *mattermostLook) settle(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.differs:
			within, cancel := context.WithTimeout(ctx, settleWithin)
			_ = m.target.AskToken(within)
			cancel()
		}
	}
}

func (m *mattermostLook) said(err error) []admin.Status {
	server := admin.Status{Part: partMattermost, OK: true, Detail: "It answers, and so does its database."}
	token := m.token
	if token.Part == "" {
		token = admin.Status{Part: partToken, Detail: "The server was not asked yet; ask again in a few seconds.", Because: partMattermost}
	}
	if s := m.target.Token(); token.OK && !s.Dead && s.Why != "" {
		token.Detail = "The server takes it, but " + s.Why
	}
	if isOpen, since, why := m.target.Breaker(); err == nil && isOpen {
		err = fmt.Errorf("calls have failed since %s and are kept back (%s)", since.UTC().Format(time.RFC3339), why)
	}
	if err != nil {
		server.OK, server.Detail = false, "Mattermost cannot be used: "+brief(err)+"; nothing is lost and what is due is done when it is back; mmsync doctor --only mattermost"
		token = admin.Status{Part: partToken, Detail: "It is not known while Mattermost is away.", Because: partMattermost}
	}
	return []admin.Status{server, token}
}
