// Package sqlite keeps mmsync's state in one SQLite file: for trials, tests and
// small sites, with one instance of mmsync. It implements state.Store.
//
// It is not a dialect of state/postgres: both are written for their database,
// in files and methods of the same names, and held to state/statetest.
package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/mmsync/mmsync/internal/state"
)

// Scheme starts the URL of a SQLite store: "sqlite:/var/lib/mmsync/state.db".
const Scheme = "sqlite:"

// Options are what differs between uses.
type Options struct {
	// BusyTimeout is how long to wait for another process's write; 0 means 10 s.
	BusyTimeout time.Duration
	// Volatile leaves out the flush to disk at each commit. Only for tests: a
	// power failure may then lose what was committed.
	Volatile bool
}

// Store is a state.Store in one file. Writes go over one connection, one after
// the other; reads see the last commit and never wait for a write.
type Store struct {
	path    string
	writer  *sql.DB
	readers *sql.DB
}

var _ state.Store = (*Store)(nil)

const (
	busyTimeout = 10 * time.Second
	maxReaders  = 4
)

// Open opens the file, and creates an empty one that only its owner may read
// if there is none; the directory must exist. It does not migrate: ask Ready
// before anything else.
func Open(ctx context.Context, stateURL string, o Options) (*Store, error) {
	path, err := parse(stateURL)
	if err != nil {
		return nil, err
	}
	if err := private(path); err != nil {
		return nil, err
	}
	if o.BusyTimeout <= 0 {
		o.BusyTimeout = busyTimeout
	}
	s := &Store{path: path}
	if s.writer, err = sql.Open("sqlite", dsn(path, o, false)); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	s.writer.SetMaxOpenConns(1)
	if s.readers, err = sql.Open("sqlite", dsn(path, o, true)); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), s.writer.Close())
	}
	s.readers.SetMaxOpenConns(maxReaders)
	s.readers.SetMaxIdleConns(maxReaders)
	for _, db := range []*sql.DB{s.writer, s.readers} { // the writer first: it turns WAL on
		if err := db.PingContext(ctx); err != nil {
			return nil, errors.Join(s.fault("open "+path, err), s.Close())
		}
	}
	return s, nil
}

// parse gives the file's path. A store in memory would forget who owns what,
// and SQLite's URL parameters can turn durability off, so both are refused.
func parse(stateURL string) (string, error) {
	path, ok := strings.CutPrefix(stateURL, Scheme)
	switch {
	case !ok:
		return "", fmt.Errorf("state url %q does not start with %q", stateURL, Scheme)
	case path == "" || strings.HasPrefix(path, ":memory:") || strings.HasPrefix(path, "file:") ||
		strings.HasPrefix(path, "//") || strings.ContainsAny(path, "?\x00"):
		return "", fmt.Errorf("state url %q: write %s and the path of a file, as in sqlite:/var/lib/mmsync/state.db", stateURL, Scheme)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("state url %q: %w", stateURL, err)
	}
	return abs, nil
}

// private creates the file if need be and takes it from everybody but its
// owner; SQLite gives its side files the same mode.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open state file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("open state file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("open state file: %s is not a regular file", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := f.Chmod(0o600); err != nil {
			return fmt.Errorf("take state file from other users: %w", err)
		}
	}
	return nil
}

func dsn(path string, o Options, readOnly bool) string {
	q := url.Values{"_txlock": {"immediate"}}
	pragma := func(name string, value any) { q.Add("_pragma", fmt.Sprintf("%s(%v)", name, value)) }
	pragma("busy_timeout", o.BusyTimeout.Milliseconds())
	pragma("journal_mode", "wal")
	pragma("foreign_keys", 1)
	pragma("secure_delete", 1) // what was forgotten does not stay in free pages
	// FULL, not NORMAL: in WAL mode NORMAL may lose the last commits with the
	// power, and a lost "sent" row is a call nobody knows of.
	sync := "full"
	if o.Volatile {
		sync = "off"
	}
	pragma("synchronous", sync)
	if readOnly {
		pragma("query_only", 1)
		q.Set("_txlock", "deferred")
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

// Close closes the file.
func (s *Store) Close() error {
	return errors.Join(s.readers.Close(), s.writer.Close())
}

// write runs f in one transaction that holds the write lock from its start.
func (s *Store) write(ctx context.Context, what string, f func(tx *sql.Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return s.fault(what, err)
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return s.fault(what, err)
	}
	if err := tx.Commit(); err != nil {
		return s.fault(what, err)
	}
	return nil
}

// fault wraps an error with what was attempted, and tells a schema that does
// not fit from other faults.
func (s *Store) fault(what string, err error) error {
	var se *sqlite.Error
	if errors.As(err, &se) && se.Code()&0xff == sqlite3.SQLITE_ERROR &&
		(strings.Contains(se.Error(), "no such table") || strings.Contains(se.Error(), "no such column")) {
		return fmt.Errorf("%s: %w: %w", what, state.ErrSchema, err)
	}
	if do := s.advice(err); do != "" {
		return fmt.Errorf("%s: %s: %w", what, do, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func unique(err error) bool {
	var se *sqlite.Error
	return errors.As(err, &se) &&
		(se.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || se.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}

// collect runs a query and scans every row.
func collect[T any](ctx context.Context, s *Store, what, query string, args []any, scan func(*sql.Rows) (T, error)) ([]T, error) {
	rows, err := s.readers.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, s.fault(what, err)
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, s.fault(what, err)
		}
		out = append(out, v)
	}
	if err := rows.Err(); err != nil {
		return nil, s.fault(what, err)
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

// list makes an argument for json_each.
func list[T any](values []T) string {
	if len(values) == 0 {
		return "[]" // and not null, which is one value
	}
	b, err := json.Marshal(values)
	if err != nil { // strings and pairs of strings only
		panic(err)
	}
	return string(b)
}

// stamp gives the form times are stored in: microseconds, null for zero.
func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// instant scans what stamp gave.
type instant struct{ time.Time }

func (i *instant) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		i.Time = time.Time{}
	case int64:
		i.Time = time.UnixMicro(v).UTC()
	default:
		return fmt.Errorf("%T is not a time", v)
	}
	return nil
}

func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// nullable gives null for a nil pointer or empty list, its JSON otherwise.
func nullable[T any](v T, absent bool) (any, error) {
	if absent {
		return nil, nil //nolint:nilnil // null is the value
	}
	return state.Encode(v)
}
