package sqlite

import (
	"context"
	"fmt"

	"github.com/pressly/goose/v3"

	"github.com/mmsync/mmsync/internal/state"
	"github.com/mmsync/mmsync/migrations"
)

const migrateTries = 5

// Migrate brings the schema up to the program's and gives the names of the
// files it applied. Two processes may do so at once.
func (s *Store) Migrate(ctx context.Context) ([]string, error) {
	var applied []string
	for try := 1; ; try++ {
		names, err := s.migrate(ctx)
		applied = append(applied, names...)
		if err == nil {
			return applied, nil
		}
		// Each file is a transaction, but goose takes no lock between them on
		// SQLite. Who lost a race finds the file applied and goes on.
		if current, wanted, serr := s.Schema(ctx); serr == nil && current == wanted {
			return applied, nil
		}
		if try == migrateTries || ctx.Err() != nil {
			return applied, s.fault("migrate", err)
		}
	}
}

func (s *Store) migrate(ctx context.Context) ([]string, error) {
	if current, wanted, err := s.Schema(ctx); err != nil || current >= wanted {
		return nil, s.Ready(ctx)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, s.writer, migrations.SQLite(),
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
	selectMigrated = `select count(*) from sqlite_master where type = 'table' and name = 'goose_db_version'`
	selectVersion  = `select coalesce(max(version_id), 0) from goose_db_version where is_applied`
)

// Schema gives the database's version (0 = empty) and the program's. It writes
// nothing.
func (s *Store) Schema(ctx context.Context) (current, wanted int64, err error) {
	wanted, err = migrations.Latest(migrations.SQLite())
	if err != nil {
		return 0, 0, err
	}
	var tables int
	if err := s.readers.QueryRowContext(ctx, selectMigrated).Scan(&tables); err != nil {
		return 0, wanted, s.fault("read schema version", err)
	}
	if tables == 0 {
		return 0, wanted, nil
	}
	if err := s.readers.QueryRowContext(ctx, selectVersion).Scan(&current); err != nil {
		return 0, wanted, s.fault("read schema version", err)
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
	return state.CheckSchema(current, wanted, fmt.Sprintf("%s%s", Scheme, s.path))
}
