package pgtest_test

import (
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestURL_EachIsEmptyAndApart(t *testing.T) {
	t.Parallel()
	first, second := pgtest.URL(t), pgtest.URL(t)
	require.NotEqual(t, first, second)
	for _, u := range []string{first, second} {
		c, err := pgx.Connect(t.Context(), u)
		require.NoError(t, err)
		_, err = c.Exec(t.Context(), "create table only_here (x int)")
		require.NoError(t, err)
		require.NoError(t, c.Close(t.Context()))
	}
}

func TestURL_IsDroppedWithItsTest(t *testing.T) {
	t.Parallel()
	var gone string
	t.Run("inner", func(t *testing.T) { gone = pgtest.URL(t) })
	if gone == "" {
		t.Skip("no postgres")
	}
	c, err := pgx.Connect(t.Context(), gone)
	require.NoError(t, err)
	defer c.Close(t.Context())
	_, err = c.Exec(t.Context(), "create table nowhere (x int)")
	require.ErrorContains(t, err, "no schema has been selected")
}
