package mattermost

import (
	"context"
	"crypto/tls"
	"time"
)

// Heard takes what somebody else who asks the server again and again how it is was told;
// nil is well. Without it a client that has nothing to do would know of an outage from its
// next call. While it hears that the server is away it does not ask as well.
func (t *Target) Heard(err error) {
	b := t.c.breaker
	b.heard(err)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil && b.state == open {
		b.next = time.Now().Add(lastAsk)
	}
}

// AskToken asks whose the token is, even of one that is known to be dead and would not be
// asked about yet. Breaker and token are as the answer says afterwards.
func (t *Target) AskToken(ctx context.Context) error {
	t.c.token.askSoon()
	_, err := t.c.Me(ctx)
	return err
}

// askSoon lets the next call go with a dead token.
func (k *credential) askSoon() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.next = time.Time{}
}

// CertificateEnds tells when the certificate ends that the server showed last; zero
// before the first answer and over plain HTTP. Connections that are kept may outlive it.
func (c *Client) CertificateEnds() time.Time {
	if at := c.certificate.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// showed notes the certificate of the server.
func (c *Client) showed(s *tls.ConnectionState) {
	if s == nil || len(s.PeerCertificates) == 0 {
		return
	}
	at := s.PeerCertificates[0].NotAfter
	c.certificate.Store(&at)
}
