package postgres

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/mmsync/mmsync/internal/state"
	"github.com/mmsync/mmsync/migrations"
)

const (
	migrateTries = 5
	lockEvery    = time.Second
	lockTries    = 120
)

// Migrate brings the schema up to the program's and gives the names of the
// files it applied. Several processes may do so at once; a row in a table is
// their lock, because a pooler would lose a session's.
func (s *Store) Migrate(ctx context.Context) ([]string, error) {
	var applied []string
	for try := 1; ; try++ {
		names, err := s.migrate(ctx)
		applied = append(applied, names...)
		if err == nil {
			return applied, nil
		}
		// Creating the lock's own table is not locked. Who lost that race finds
		// it there and goes on.
		if current, wanted, serr := s.Schema(ctx); serr == nil && current == wanted {
			return applied, nil
		}
		if try == migrateTries || ctx.Err() != nil || code(err) != codeUnique {
			return applied, s.fault(ctx, "migrate", err)
		}
	}
}

func (s *Store) migrate(ctx context.Context) ([]string, error) {
	if current, wanted, err := s.Schema(ctx); err != nil || current >= wanted {
		return nil, s.Ready(ctx)
	}
	locker, err := lock.NewPostgresTableLocker(
		lock.WithTableLockTimeout(lockEvery, lockTries),
		lock.WithTableLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDBFromPool(s.pool)
	defer db.Close()
	p, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Postgres(), goose.WithLocker(locker),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return nil, err
	}
	results, err := p.Up(ctx)
	names := make([]string, 0, len(results))
	for _, r := range results {
		names = append(names, r.Source.Path)
	}
	return names, err
}

const (
	selectMigrated = `select to_regclass('goose_db_version') is not null`
	selectVersion  = `select coalesce(max(version_id), 0) from goose_db_version where is_applied`
)

// Schema gives the database's version (0 = empty) and the program's. It writes
// nothing.
func (s *Store) Schema(ctx context.Context) (current, wanted int64, err error) {
	wanted, err = migrations.Latest(migrations.Postgres())
	if err != nil {
		return 0, 0, err
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	var migrated bool
	if err := s.pool.QueryRow(ctx, selectMigrated).Scan(&migrated); err != nil {
		return 0, wanted, s.fault(ctx, "read schema version", err)
	}
	if !migrated {
		return 0, wanted, nil
	}
	if err := s.pool.QueryRow(ctx, selectVersion).Scan(&current); err != nil {
		return 0, wanted, s.fault(ctx, "read schema version", err)
	}
	return current, wanted, nil
}

// Ready returns ErrSchema, with the next step, unless the schema is exactly the
// program's.
func (s *Store) Ready(ctx context.Context) error {
	current, wanted, err := s.Schema(ctx)
	if err != nil {
		return err
	}
	return state.CheckSchema(current, wanted, s.where)
}
