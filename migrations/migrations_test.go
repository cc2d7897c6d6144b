package migrations_test

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/migrations"
)

func TestMigrations_SameOnBoth(t *testing.T) {
	t.Parallel()
	require.Equal(t, names(t, migrations.SQLite()), names(t, migrations.Postgres()), "file names")
	require.Equal(t, columns(t, migrations.SQLite()), columns(t, migrations.Postgres()), "tables and columns")
}

func TestMigrations_NumberedWithoutGapsForwardOnly(t *testing.T) {
	t.Parallel()
	for _, fsys := range []fs.FS{migrations.Postgres(), migrations.SQLite()} {
		list := names(t, fsys)
		latest, err := migrations.Latest(fsys)
		require.NoError(t, err)
		require.Equal(t, int64(len(list)), latest)
		for _, n := range list {
			require.Contains(t, read(t, fsys, n), "-- +goose Up")
			require.NotContains(t, read(t, fsys, n), "-- +goose Down", n)
		}
	}
}

// A program that is at work while a newer one migrates goes on with the tables and
// columns it knows: none is taken away or renamed, and it need not fill new ones.
func TestMigrations_TakeNothingFromTheVersionBefore(t *testing.T) {
	t.Parallel()
	for _, fsys := range []fs.FS{migrations.Postgres(), migrations.SQLite()} {
		for _, n := range names(t, fsys) {
			for line := range strings.SplitSeq(strings.ToLower(read(t, fsys, n)), "\n") {
				statement, _, _ := strings.Cut(line, "--")
				require.NotRegexp(t, `\bdrop (table|column|view|function|sequence)\b|\brename\b|\balter column\b|\badd (constraint|check|unique)\b`, statement, n)
				if strings.Contains(statement, "add column") && strings.Contains(statement, "not null") {
					require.Contains(t, statement, "default", n)
				}
			}
		}
	}
}

func names(t *testing.T, fsys fs.FS) []string {
	t.Helper()
	list, err := fs.Glob(fsys, "*.sql")
	require.NoError(t, err)
	require.NotEmpty(t, list)
	return list
}

func read(t *testing.T, fsys fs.FS, name string) string {
	t.Helper()
	b, err := fs.ReadFile(fsys, name)
	require.NoError(t, err)
	return string(b)
}

var (
	table  = regexp.MustCompile(`(?ms)^create table (\w+) \(\n(.*?)^\)`)
	column = regexp.MustCompile(`(?m)^    (\w+) `)
	added  = regexp.MustCompile(`(?m)^alter table (\w+) add column (\w+) `)
)

// columns gives "table.column" for every column, in order of creation.
func columns(t *testing.T, fsys fs.FS) []string {
	t.Helper()
	var out []string
	for _, name := range names(t, fsys) {
		text := read(t, fsys, name)
		tables := table.FindAllStringSubmatch(text, -1)
		require.Len(t, tables, strings.Count(text, "create table "), "every table is written in the form this test reads")
		for _, m := range tables {
			for _, c := range column.FindAllStringSubmatch(m[2], -1) {
				if !slices.Contains([]string{"primary", "foreign", "unique", "check"}, c[1]) {
					out = append(out, m[1]+"."+c[1])
				}
			}
		}
		for _, m := range added.FindAllStringSubmatch(text, -1) {
			out = append(out, m[1]+"."+m[2])
		}
	}
	require.NotEmpty(t, out)
	return out
}
