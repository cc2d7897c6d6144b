//go:build unix

package pgtest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/pgtest"
)

func TestOwn_KeepsWhatItCommitted(t *testing.T) {
	t.Parallel()
	s := pgtest.Own(t)
	do := func(statement string) error {
		c, err := pgx.Connect(t.Context(), s.URL())
		if err != nil {
			return err
		}
		defer c.Close(t.Context())
		_, err = c.Exec(t.Context(), statement)
		return err
	}
	require.NoError(t, do("create table kept (x int)"))
	for range 2 {
		s.Stop()
		require.Error(t, do("select 1"))
		s.Start()
		require.NoError(t, do("insert into kept values (1)"))
	}
}
