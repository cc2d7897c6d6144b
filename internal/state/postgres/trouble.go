package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// advice is what to do about a database that is there and cannot be used; "" if the
// error's own text has to do. The codes are PostgreSQL's, appendix A.
func advice(err error) string {
	c := code(err)
	switch c {
	case "53300": // too_many_connections: the server's limit, the database's or the role's
		return "the database has no connection left for mmsync; raise max_connections or the role's limit, or write fewer as pool_max_conns in state.url"
	case codeReadOnly:
		return "the database only reads: is it a standby, or was default_transaction_read_only switched on? Point state.url at the primary; with several hosts in it, add target_session_attrs=read-write"
	case "53100": // disk_full
		return "the database's disk is full; make room there"
	case "57P01", "57P02", "57P03": // admin_shutdown, crash_shutdown, cannot_connect_now
		return "the database is stopping or starting; wait until it is up"
	case "28P01", "28000": // invalid_password, invalid_authorization_specification
		return "the database does not take the user and password of state.url; put the right ones there"
	case "08P01": // protocol_violation: what pgbouncer says for all that is its own
		if strings.Contains(err.Error(), "no more connections allowed") {
			return "the pooler has no connection left for mmsync; raise max_client_conn there"
		}
	}
	if c != "" || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return ""
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return "the database is not there; see that it runs and that state.url names its host and port"
	}
	if _, ok := errors.AsType[net.Error](err); ok || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return "the connection to the database broke; see that it runs and that nothing in between cuts connections"
	}
	return ""
}
