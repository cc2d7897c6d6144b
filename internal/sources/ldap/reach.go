package ldap

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// Reach tells whether any of the servers takes a connection. Nothing is asked on it: a
// directory notes each bind, and this is asked every few seconds.
func (s *Source) Reach(ctx context.Context) error {
	var all []error
	list, err := s.servers(ctx)
	if err != nil {
		return fmt.Errorf("source %s: %w", s.o.Name, err)
	}
	for _, e := range list {
		d := net.Dialer{Resolver: s.o.Resolver}
		conn, err := d.DialContext(ctx, e.network, e.host)
		if err == nil {
			_ = conn.Close() // nothing was written that could be lost
			return nil
		}
		all = append(all, fmt.Errorf("%s: %s", e.url, oneLine(err)))
		if ctx.Err() != nil {
			break
		}
	}
	return fmt.Errorf("source %s: %w", s.o.Name, errors.Join(all...))
}
