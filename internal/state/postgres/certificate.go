package postgres

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/jackc/pgx/v5"
)

// CertificateEnds tells when the certificate ends that the server showed to the last new
// connection; zero without TLS, and where state.url has nobody look at it (sslmode
// require and weaker).
func (s *Store) CertificateEnds() time.Time {
	if at := s.certificate.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// showed notes the certificate of the server on a new connection.
func (s *Store) showed(_ context.Context, c *pgx.Conn) error {
	t, ok := c.PgConn().Conn().(*tls.Conn)
	if !ok {
		return nil
	}
	// sslmode verify-ca leaves the name out, and checks all else itself.
	if v := c.Config().TLSConfig; v != nil && v.InsecureSkipVerify && v.VerifyPeerCertificate == nil {
		return nil
	}
	if list := t.ConnectionState().PeerCertificates; len(list) > 0 {
		at := list[0].NotAfter
		s.certificate.Store(&at)
	}
	return nil
}
