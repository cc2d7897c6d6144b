package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"
)

// refusedFor is how long a password that a directory refused is not tried again by
// [Source.Reach]: directories lock an account after a few wrong ones.
const refusedFor = 15 * time.Minute

// reached is what the last binds showed, for [Source.Reach].
type reached struct {
	mu sync.Mutex
	// refused is why the directory did not take password when it was tried last.
	refused  error
	password string
	at       time.Time
	// ends is when the certificate ends that a server showed last.
	ends time.Time
}

// Reach tells whether any of the servers lets us in and shows the base entry, as a
// reading begins: one bind and one search of one entry without attributes, on a
// connection of its own, until ctx ends. A password that was refused is not tried again
// for refusedFor unless it was replaced, or taken meanwhile by a reading.
func (s *Source) Reach(ctx context.Context) error {
	password, err := s.password()
	if err != nil {
		return err
	}
	if err := s.reached.barred(password); err != nil {
		return fmt.Errorf("source %s: %w", s.o.Name, err)
	}
	var all []error
	list, err := s.servers(ctx)
	if err != nil {
		return fmt.Errorf("source %s: %w", s.o.Name, err)
	}
	for i, e := range list {
		err := s.reachOne(ctx, e, password, len(list)-i)
		if err == nil {
			return nil
		}
		all = append(all, err)
		var c *connectError
		if ctx.Err() != nil || !errors.As(err, &c) || !c.again {
			break
		}
	}
	return fmt.Errorf("source %s: %w", s.o.Name, errors.Join(all...))
}

// reachOne gives one server its part of the time, left servers from the end, so that
// one that hangs does not hide the next.
func (s *Source) reachOne(ctx context.Context, e endpoint, password string, left int) error {
	within := ctx
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeout(ctx, time.Until(end)/time.Duration(left))
		defer cancel()
	}
	began := time.Now()
	sess, err := s.open(within, e, password)
	if err == nil {
		sess.close()
		return nil
	}
	if errors.Is(within.Err(), context.DeadlineExceeded) {
		return &connectError{
			url: e.url, again: true, hint: "see whether the directory is at work",
			err: &explained{"no answer within " + time.Since(began).Round(100*time.Millisecond).String(), err},
		}
	}
	return err
}

// took notes that a directory took a password.
func (r *reached) took() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused, r.password = nil, ""
}

// refuses notes that a directory did not take a password, and how that is told.
func (r *reached) refuses(password string, told error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused, r.password, r.at = told, password, time.Now()
}

// barred gives why a password is not to be tried now.
func (r *reached) barred(password string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refused == nil || r.password != password || time.Since(r.at) >= refusedFor {
		return nil
	}
	return r.refused
}

// showed notes the certificate of a server.
func (r *reached) showed(c tls.ConnectionState) {
	if len(c.PeerCertificates) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ends = c.PeerCertificates[0].NotAfter
}

// CertificateEnds tells when the certificate ends that a server showed last; zero if
// none did.
func (s *Source) CertificateEnds() time.Time {
	s.reached.mu.Lock()
	defer s.reached.mu.Unlock()
	return s.reached.ends
}
