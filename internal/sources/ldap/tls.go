package ldap

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// pin is the SHA-256 of a certificate's subject public key info (RFC 7469, 2.4), which
// stays the same when a certificate is renewed with its key.
type pin [sha256.Size]byte

// parsePin reads sha256/BASE64, as openssl and RFC 7469 show a pin.
func parsePin(text string) (pin, error) {
	var p pin
	rest, ok := strings.CutPrefix(text, "sha256/")
	raw, err := base64.StdEncoding.DecodeString(rest)
	if !ok || err != nil || len(raw) != len(p) {
		return p, fmt.Errorf("%q is not sha256/ and 44 characters of base64", text)
	}
	copy(p[:], raw)
	return p, nil
}

func pinOf(c *x509.Certificate) pin { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

func (p pin) String() string { return "sha256/" + base64.StdEncoding.EncodeToString(p[:]) }

// unpinnedError is a certificate that is in order and bears none of the pins.
type unpinnedError struct{ shown pin }

func (e *unpinnedError) Error() string {
	return "the certificate is none of certificate_pins; its own is " + e.shown.String()
}

// pinned looks for a pin in the chains that lead from the server's certificate to a
// trusted authority. It stands beside the check of the chain, never in its place.
func pinned(pins []pin) func(tls.ConnectionState) error {
	return func(c tls.ConnectionState) error {
		for _, chain := range c.VerifiedChains {
			for _, cert := range chain {
				if slices.Contains(pins, pinOf(cert)) {
					return nil
				}
			}
		}
		return &unpinnedError{shown: pinOf(c.PeerCertificates[0])}
	}
}

// ownCertificate is the client's certificate, read for each connection. While its files
// are being replaced they may not fit together: the last pair that did is used then.
type ownCertificate struct {
	cert, key string
	mu        sync.Mutex
	last      *tls.Certificate
}

// load gives the pair; stale says why it is not the one in the files.
func (o *ownCertificate) load(now time.Time) (pair *tls.Certificate, stale, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	read, err := tls.LoadX509KeyPair(o.cert, o.key)
	if err == nil {
		o.last = &read
		return o.last, nil, nil
	}
	if o.last != nil && now.Before(o.last.Leaf.NotAfter) {
		return o.last, err, nil
	}
	return nil, nil, err
}

// harden adds pins and the client's certificate to what the connection is made with.
func (s *Source) harden(ctx context.Context, c *tls.Config) error {
	if len(s.pins) > 0 {
		c.VerifyConnection = pinned(s.pins)
	}
	if s.own == nil {
		return nil
	}
	pair, stale, err := s.own.load(time.Now())
	if err != nil {
		return fmt.Errorf("read certificate_file and private_key_file: %w", err)
	}
	if stale != nil {
		s.log.WarnContext(ctx, "the client certificate was read before and is used further", "source", s.o.Name, "error", stale)
	}
	// Without this function the library sends none at all if the server does not name its
	// authority, and the bind then fails for a reason nobody would look for here.
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	return nil
}

// checkCertificates compiles pins and remembers the client's certificate.
func (s *Source) checkCertificates(fault faultFunc) {
	for _, text := range s.o.CertificatePins {
		p, err := parsePin(text)
		if err != nil {
			fault("certificate_pins: %w", err)
		}
		s.pins = append(s.pins, p)
	}
	encrypted := slices.ContainsFunc(s.urls, func(e endpoint) bool { return e.tls || s.o.Security == SecurityStartTLS && e.network != "unix" })
	switch {
	case (s.o.CertificateFile == "") != (s.o.PrivateKeyFile == ""):
		fault("certificate_file and private_key_file need each other")
	case s.o.CertificateFile != "":
		s.own = &ownCertificate{cert: s.o.CertificateFile, key: s.o.PrivateKeyFile}
	}
	if !encrypted && (s.own != nil || len(s.pins) > 0) && len(s.urls) > 0 {
		fault("certificate_file and certificate_pins mean nothing without encryption; use ldaps:// or connection_security: starttls")
	}
}

// notTLS words a handshake that failed, by TLS from the start or after StartTLS.
func (s *Source) notTLS(e endpoint, what string, err error) *connectError {
	text, hint := oneLine(err), tlsHint(err)
	var odd *unpinnedError
	switch {
	case errors.As(err, &odd):
		hint = "if the server's key was replaced on purpose, add its new pin; otherwise somebody stands between"
		return &connectError{url: e.url, err: &explained{what + ": " + text, err}, hint: hint}
	case silent(err):
		text = "no answer within " + s.o.Timeout.String()
		hint = "see whether the server is at work, and whether this is its port for TLS"
	case strings.Contains(text, "remote error: tls"):
		if hint = "the server does not take the client's certificate; check certificate_file"; s.own == nil {
			hint = "read the server's log; if it wants a certificate of the client, give certificate_file and private_key_file"
		}
	}
	return &connectError{url: e.url, err: &explained{what + ": " + text, err}, hint: hint, again: true}
}
