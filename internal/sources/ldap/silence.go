package ldap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// boundedConn gives every write a deadline. The library's own timeout begins when a
// request has been written, so that a server that stops reading would hold it for ever.
type boundedConn struct {
	net.Conn
	timeout time.Duration
}

func (c *boundedConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// silentError is a server that holds the line and says nothing.
type silentError struct {
	url   string
	after time.Duration
	err   error
}

func (e *silentError) Error() string {
	return fmt.Sprintf("%s has not answered for %s", e.url, e.after)
}
func (e *silentError) Unwrap() error { return e.err }

// silent tells a timeout. Of some the library keeps only the text.
func silent(err error) bool {
	var n net.Error
	if errors.As(err, &n) && n.Timeout() || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	text := err.Error()
	return strings.Contains(text, "connection timed out") || strings.Contains(text, "i/o timeout")
}

// cause prefers the reason why the read was ended over how the line broke, names a
// server that has fallen silent, and lets the next read begin elsewhere.
func (s *session) cause(err error) error {
	if s.ctx.Err() != nil {
		return s.ctx.Err()
	}
	var e *ldap.Error
	answered := errors.As(err, &e) && e.ResultCode < ldap.ErrorNetwork
	if !answered && silent(err) {
		err = &silentError{url: s.url, after: s.timeout, err: err}
	}
	if !answered || ldap.IsErrorAnyOf(err, ldap.LDAPResultBusy, ldap.LDAPResultUnavailable) {
		s.failed()
	}
	return err
}
