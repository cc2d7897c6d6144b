package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/reconcile"
)

// A folder that vanishes while everything is read is named as one that never was, and
// what is looked at for it beforehand leaves nothing behind.
func TestWritePlan_whereNoneCanBe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "plans", "one.json")
	require.NoError(t, os.Mkdir(filepath.Dir(path), 0o700))
	require.NoError(t, checkPlanPlace(path))
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Empty(t, left)
	require.NoError(t, os.Remove(filepath.Dir(path)))
	for _, err := range []error{checkPlanPlace(path), writePlan(path, reconcile.SavedPlan{Run: "r"})} {
		require.EqualError(t, err, "the plan cannot be saved as "+path+": no such file or directory")
		end := judge(t.Context(), err)
		require.Equal(t, exitFailed, end.code)
		require.Contains(t, end.hint, "--out")
	}
}
