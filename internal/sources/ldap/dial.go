package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// session is one bound connection, used for one read from begin to end:
// paging cookies are bound to it (RFC 2696).
type session struct {
	conn *ldap.Conn
	// entries catches what is searched for; encrypted is how, nil if not at all.
	entries   *catcher
	encrypted *tls.ConnectionState
	url, host string          // the endpoint's
	ctx       context.Context //nolint:containedctx // lives as long as one read
	stop      func() bool

	info  *rootInfo // once it was read
	names schema    // nil if it was not read, or the server does not tell
	// others are the Source's.
	others *otherNames
	// references is Options.References, catalog tells the port of a global catalog.
	references string
	catalog    bool
	// timeout is of one request; failed notes that the server was of no use.
	timeout time.Duration
	failed  func()
}

// close ends the session. The server is not waited for.
func (s *session) close() {
	s.stop()
	_ = s.conn.Close() // nothing was written that could be lost
}

// dial opens a connection to one server within the timeout, encryption
// included: the library's own timeout does not cover the TLS handshake.
func (s *Source) dial(ctx context.Context, e endpoint) (*session, error) {
	bounded, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	d := net.Dialer{Resolver: s.o.Resolver}
	raw, err := d.DialContext(bounded, e.network, e.host)
	if err != nil {
		return nil, &connectError{url: e.url, err: &explained{oneLine(err), err}, hint: "check host, port and firewall", again: true}
	}
	raw = &boundedConn{Conn: raw, timeout: s.o.Timeout}
	deadline, _ := bounded.Deadline()
	_ = raw.SetDeadline(deadline) // fails only on a closed connection, which the next call tells
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	conn, encrypted, err := s.encrypt(bounded, raw, e)
	if err != nil {
		stop()
		_ = raw.Close()
		return nil, err
	}
	entries := newCatcher(conn)
	l := ldap.NewConn(entries, encrypted != nil)
	l.SetTimeout(s.o.Timeout)
	l.Start()
	_ = raw.SetDeadline(time.Time{})
	return &session{
		conn: l, entries: entries, encrypted: encrypted, url: e.url, host: e.host, ctx: ctx, stop: stop, references: s.o.References, catalog: e.catalog(), timeout: s.o.Timeout, others: &s.others,
		failed: func() { s.unwell.note(e.host, time.Now()) },
	}, nil
}

// encrypt puts TLS on a connection, as far as that is configured, and tells how it went.
func (s *Source) encrypt(ctx context.Context, raw net.Conn, e endpoint) (net.Conn, *tls.ConnectionState, error) {
	startTLS := s.o.Security == SecurityStartTLS && e.network != "unix"
	if !e.tls && !startTLS {
		return raw, nil, nil
	}
	config, err := s.tlsConfig(e)
	if err != nil {
		return nil, nil, &connectError{url: e.url, err: err, hint: "check ca_file"}
	}
	if err := s.harden(ctx, config); err != nil {
		return nil, nil, &connectError{url: e.url, err: err, hint: "check them"}
	}
	what := "TLS"
	if startTLS {
		what = "StartTLS"
		if err := askForTLS(raw); err != nil {
			if refused, ok := asLDAP(err); ok && refused.ResultCode < ldap.ErrorNetwork {
				return nil, nil, &connectError{url: e.url, err: &explained{"the server refuses StartTLS: " + oneLine(err), err}, hint: "give it a certificate, or use ldaps://", again: true}
			}
			return nil, nil, s.notTLS(e, what, err)
		}
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, nil, s.notTLS(e, what, err)
	}
	state := conn.ConnectionState()
	s.reached.showed(state)
	return conn, &state, nil
}

// askForTLS asks for encryption on a connection that has just been opened (RFC 4511
// 4.14.1). The library would encrypt it below what it shows of it.
func askForTLS(c net.Conn) error {
	request := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "message")
	request.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 1, "number"))
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationExtendedRequest, nil, "extended request")
	op.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, "1.3.6.1.4.1.1466.20037", "StartTLS"))
	request.AppendChild(op)
	if _, err := c.Write(request.Bytes()); err != nil {
		return fmt.Errorf("ask for it: %w", err)
	}
	answer, err := ber.ReadPacket(c)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return ldap.GetLDAPError(answer)
}

func (s *Source) tlsConfig(e endpoint) (*tls.Config, error) {
	c := &tls.Config{ServerName: e.name, MinVersion: tls.VersionTLS12}
	var err error
	c.RootCAs, err = s.trusted.Pool()
	return c, err
}

// connect is connectTo without a preference.
func (s *Source) connect(ctx context.Context) (*session, error) { return s.connectTo(ctx, "") }

// connectTo is connectAmong all servers; that of a URL, if it is one of them, comes first.
func (s *Source) connectTo(ctx context.Context, first string) (*session, error) {
	list, err := s.servers(ctx)
	if err == nil {
		var sess *session
		if sess, err = s.connectAmong(ctx, preferring(list, first), nil); err == nil {
			return sess, nil
		}
	}
	return nil, fmt.Errorf("source %s: %w", s.o.Name, err)
}

// connectAmong finds the first of some servers that accepts the bind, shows the base entry
// and fits, where that is asked. Servers that are away or busy, that cannot encrypt, or that
// do not show the base, are passed over; one that refuses the bind or bears none of the pins
// ends the search: the next would refuse as well and wrong passwords lock accounts, and
// somebody may stand between.
func (s *Source) connectAmong(ctx context.Context, list []endpoint, fits func(*session) error) (*session, error) {
	password, err := s.password()
	if err != nil {
		return nil, err
	}
	var all error
	same := false
	for _, e := range list {
		sess, err := s.open(ctx, e, password)
		if err == nil && fits != nil {
			if err = fits(sess); err != nil {
				sess.close()
				err = &connectError{url: e.url, err: err, again: true}
			}
		}
		switch {
		case err == nil:
			s.unwell.forget(e.host)
			return sess, nil
		case errors.Is(err, errSameServer):
			same = true
			continue
		case all == nil:
			all = err
		default:
			all = fmt.Errorf("%w; then %w", all, err)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var c *connectError
		if !errors.As(err, &c) || !c.again {
			break
		}
		s.unwell.note(e.host, time.Now())
		s.log.WarnContext(ctx, "directory server passed over", "source", s.o.Name, "url", e.url, "error", err)
	}
	if all == nil && same {
		return nil, errSameServer
	}
	return nil, all
}

func (s *Source) open(ctx context.Context, e endpoint, password string) (*session, error) {
	sess, err := s.dial(ctx, e)
	if err != nil {
		return nil, err
	}
	if err := s.bind(sess.conn, password); err != nil {
		err = sess.cause(err)
		sess.close()
		told := s.refused(e.url, "bind as "+s.o.BindDN, err)
		if ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) {
			s.reached.refuses(password, told)
		}
		return nil, told
	}
	s.reached.took()
	entry, err := sess.entry(s.o.BaseDN, "(objectClass=*)", "1.1")
	if err == nil && entry == nil {
		err = ldap.NewError(ldap.LDAPResultNoSuchObject, errors.New("the entry is not shown"))
	}
	if err != nil {
		sess.close()
		told := s.refused(e.url, "read base_dn "+s.o.BaseDN, err)
		told.again = true // it took the password, so that the next one may be asked
		return nil, told
	}
	return sess, nil
}

// connectError is a server that could not be used, and whether the next one
// may do better.
type connectError struct {
	url, hint string
	err       error
	again     bool
}

func (e *connectError) Error() string {
	text := e.url + ": " + e.err.Error()
	if e.hint != "" {
		text += "; " + e.hint
	}
	return text
}

func (e *connectError) Unwrap() error { return e.err }

func (s *Source) refused(url, what string, err error) *connectError {
	cause, hint, again := s.explain(err)
	if quiet, ok := errors.AsType[*silentError](err); ok {
		cause = "no answer for " + quiet.after.String() // the URL stands before it
	}
	return &connectError{url: url, err: fmt.Errorf("%s: %w", what, &explained{cause, err}), hint: hint, again: again}
}
