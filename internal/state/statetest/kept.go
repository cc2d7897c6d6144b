package statetest

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/state"
)

// Kept proves that what a database has is what a backup holds or leaves out for a
// reason. Columns are those of every table there is.
func Kept(t *testing.T, columns map[string][]string) {
	t.Helper()
	kept := map[string]bool{}
	for _, table := range state.Kept() {
		kept[table.Name] = true
		require.ElementsMatch(t, columns[table.Name], table.Names(), "state.Kept and the columns of %s", table.Name)
		for _, name := range table.Order {
			require.True(t, slices.Contains(table.Names(), name), "%s is ordered by %s", table.Name, name)
		}
	}
	out := state.LeftOut()
	for table := range columns {
		require.NotEqual(t, kept[table], out[table] != "",
			"table %s: a backup has to hold it (state.Kept), or there has to be a reason why not (state.LeftOut)", table)
	}
}
