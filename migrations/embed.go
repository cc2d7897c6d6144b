// Package migrations holds the database schema as numbered SQL files, one folder
// for Postgres and one for SQLite, with the same file names, tables and columns
// in both. They go forward only, one transaction each.
//
// It does not run them; state/postgres and state/sqlite do.
package migrations

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

//go:embed postgres/*.sql sqlite/*.sql
var files embed.FS

// Postgres gives the files for PostgreSQL 13 and later.
func Postgres() fs.FS { return folder("postgres") }

// SQLite gives the files for SQLite 3.38 and later.
func SQLite() fs.FS { return folder("sqlite") }

func folder(name string) fs.FS {
	sub, err := fs.Sub(files, name)
	if err != nil { // only an invalid name fails, and the names are constants
		panic(err)
	}
	return sub
}

// Latest gives the highest version among the files: the schema this program
// was written for.
func Latest(fsys fs.FS) (int64, error) {
	names, err := fs.Glob(fsys, "*.sql")
	if err != nil {
		return 0, fmt.Errorf("list migrations: %w", err)
	}
	var latest int64
	for _, n := range names {
		number, _, _ := strings.Cut(path.Base(n), "_")
		v, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("migration %s does not start with a number: %w", n, err)
		}
		latest = max(latest, v)
	}
	return latest, nil
}
