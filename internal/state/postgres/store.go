// Package postgres keeps mmsync's state in PostgreSQL (13 or later), for one or
// several instances of mmsync. It implements state.Store.
//
// It is not a dialect of state/sqlite: both are written for their database, in
// files and methods of the same names, and held to state/statetest. It keeps no
// session state (no named statements, no session settings), so that a
// transaction-pooling pgbouncer may stand in between. LISTEN alone has a connection and
// a URL of its own.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mmsync/mmsync/internal/state"
)

// Options are what differs between uses.
type Options struct {
	// MaxConns limits the connections; 0 means what the URL says in
	// pool_max_conns, or 10. Fewer than 2 become 2, which migrating takes.
	MaxConns int
	// ConnectTimeout limits one attempt to connect; 0 means what the URL says in
	// connect_timeout, or 10 s.
	ConnectTimeout time.Duration
	// Renewed, if set, is asked for the URL before each new connection: its user and
	// password are those to connect with. One that cannot be read or parsed leaves those
	// before in force; anything else that it says is not looked at.
	Renewed func() (string, error)
	// CallTimeout limits each method, waiting for a connection included; 0 means
	// one minute. It is kept on this side and the server is told to cancel: a
	// statement_timeout of the session would not survive a pooler.
	CallTimeout time.Duration
	// Listen, if set, gives the URL that Store.Listen connects to, which a pooler that
	// pools transactions may not stand before. What makes somebody due, or asks for a run,
	// is said to all who listen then.
	Listen func() (string, error)
}

// Store is a state.Store in one database.
type Store struct {
	pool    *pgxpool.Pool
	where   string // for messages: host, port, database
	timeout time.Duration
	listen  func() (string, error)

	certificate atomic.Pointer[time.Time] // when the server's ends
}

var _ state.Store = (*Store)(nil)

const (
	defaultConns   = 10
	leastConns     = 2
	connectTimeout = 10 * time.Second
	callTimeout    = time.Minute
)

// Open connects to a postgres:// URL. It does not migrate: ask Ready before
// anything else. No error holds the URL's password.
func Open(ctx context.Context, stateURL string, o Options) (*Store, error) {
	cfg, err := parse(stateURL, o)
	if err != nil {
		return nil, err
	}
	s := &Store{
		where:   fmt.Sprintf("postgres database %s on %s:%d", cfg.ConnConfig.Database, cfg.ConnConfig.Host, cfg.ConnConfig.Port),
		timeout: o.CallTimeout, listen: o.Listen,
	}
	if s.timeout <= 0 {
		s.timeout = callTimeout
	}
	cfg.AfterConnect = s.showed
	if s.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return nil, fmt.Errorf("open %s: %w", s.where, err)
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	if err := s.pool.Ping(ctx); err != nil {
		s.pool.Close()
		return nil, s.fault(ctx, "open "+s.where, err)
	}
	return s, nil
}

func parse(stateURL string, o Options) (*pgxpool.Config, error) {
	u, err := url.Parse(stateURL)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		// The text of the URL stays out: what cannot be parsed cannot be redacted.
		return nil, errors.New("state url: not of the form postgres://user:password@host:5432/database (escape special characters as %XX)")
	}
	cfg, err := pgxpool.ParseConfig(stateURL)
	if err != nil {
		return nil, fmt.Errorf("state url %s: it has a part that is not understood; see the parameters of postgres:// URLs", redacted(u))
	}
	given := u.Query()
	switch {
	case o.MaxConns > 0:
		cfg.MaxConns = int32(min(o.MaxConns, 1000)) //nolint:gosec // bounded
	case !given.Has("pool_max_conns"):
		cfg.MaxConns = defaultConns
	}
	cfg.MaxConns = max(cfg.MaxConns, leastConns)
	switch {
	case o.ConnectTimeout > 0:
		cfg.ConnConfig.ConnectTimeout = o.ConnectTimeout
	case !given.Has("connect_timeout"):
		cfg.ConnConfig.ConnectTimeout = connectTimeout
	}
	if !given.Has("default_query_exec_mode") {
		cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	if cfg.ConnConfig.RuntimeParams["application_name"] == "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = "mmsync"
	}
	cfg.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		if c.TLSConfig != nil {
			reread(c, stateURL)
		}
		if o.Renewed != nil {
			renewed(c, o.Renewed)
		}
		return nil
	}
	return cfg, nil
}

// reread takes what the files of certificates that the URL names hold now. As long as one
// cannot be used, what they held when the store was opened is in force.
func reread(c *pgx.ConnConfig, stateURL string) {
	now, err := pgx.ParseConfig(stateURL)
	if err != nil || now.TLSConfig == nil || len(now.Fallbacks) != len(c.Fallbacks) {
		return
	}
	c.TLSConfig = now.TLSConfig
	for i := range c.Fallbacks {
		c.Fallbacks[i].TLSConfig = now.Fallbacks[i].TLSConfig
	}
}

// renewed takes user and password of the URL as it is now.
func renewed(c *pgx.ConnConfig, read func() (string, error)) {
	text, err := read()
	if err != nil {
		return
	}
	now, err := pgx.ParseConfig(text)
	if err != nil || now.User == "" {
		return
	}
	c.User, c.Password = now.User, now.Password
}

// redacted gives the URL without password and parameters, which may hold one.
func redacted(u *url.URL) string {
	c := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if name := u.User.Username(); name != "" {
		c.User = url.User(name)
	}
	return c.String()
}

// Close closes the connections once their calls have ended.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}

const onlyReads = `select pg_is_in_recovery() or current_setting('transaction_read_only')::boolean`

// Writable fails if the database only reads, as a standby does. That there is room for
// more it does not show.
func (s *Store) Writable(ctx context.Context) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	var reads bool
	err := s.pool.QueryRow(ctx, onlyReads).Scan(&reads)
	if err == nil && reads {
		err = &pgconn.PgError{Severity: "ERROR", Code: codeReadOnly, Message: "cannot write in a read-only transaction"}
	}
	return s.fault(ctx, "see whether it can be written", err)
}

var errSlow = errors.New("the database did not answer in time")

func (s *Store) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.timeout, errSlow)
}

// write runs f in one transaction. Read committed is enough: every statement
// that decides on what it reads takes the row's lock as well.
func (s *Store) write(ctx context.Context, what string, f func(ctx context.Context, tx pgx.Tx) error) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return f(ctx, tx) })
	return s.fault(ctx, what, err)
}

const (
	codeUnique          = "23505"
	codeReadOnly        = "25006"
	codeUndefinedTable  = "42P01"
	codeUndefinedColumn = "42703"
)

// fault wraps an error with what was attempted, and tells a schema that does
// not fit, and the end of the context, from other faults.
func (s *Store) fault(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if c := code(err); c == codeUndefinedTable || c == codeUndefinedColumn {
		return fmt.Errorf("%s: %w: %w", what, state.ErrSchema, err)
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%s: %w: %w", what, cause, err)
	}
	if code(err) == codeReadOnly {
		s.pool.Reset() // what was the primary may be another one by now
	}
	if do := advice(err); do != "" {
		return fmt.Errorf("%s: %s: %w", what, do, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func code(err error) string {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pe.Code
	}
	return ""
}

// collect runs a query and scans every row.
func collect[T any](ctx context.Context, s *Store, what, query string, args []any, scan func(pgx.CollectableRow) (T, error)) ([]T, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, s.fault(ctx, what, err)
	}
	out, err := pgx.AppendRows([]T(nil), rows, scan)
	if err != nil {
		return nil, s.fault(ctx, what, err)
	}
	return out, nil
}

// where gathers conditions; each "$%d" in one stands for its next argument.
type where struct {
	conds []string
	args  []any
}

func (w *where) and(cond string, args ...any) {
	numbers := make([]any, len(args))
	for i := range args {
		numbers[i] = len(w.args) + 1 + i
	}
	w.conds = append(w.conds, fmt.Sprintf(cond, numbers...))
	w.args = append(w.args, args...)
}

func (w *where) String() string {
	if len(w.conds) == 0 {
		return ""
	}
	return " where " + strings.Join(w.conds, " and ")
}

// strs gives the plain strings that pgx makes a text[] of.
func strs[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

// stamp gives the form times are stored in: null for zero.
func stamp(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// instant scans what stamp gave.
type instant struct{ time.Time }

// ScanTimestamptz implements pgtype.TimestamptzScanner.
func (i *instant) ScanTimestamptz(v pgtype.Timestamptz) error {
	i.Time = time.Time{}
	if v.Valid {
		i.Time = v.Time.UTC()
	}
	return nil
}

// nullable gives null for a nil pointer or empty list, its JSON otherwise.
func nullable[T any](v T, absent bool) (*string, error) {
	if absent {
		return nil, nil //nolint:nilnil // null is the value
	}
	text, err := state.Encode(v)
	return &text, err
}
