package daemon_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/pgtest"
)

// A disk of its own can be filled up.
func TestServe_readyz_names_a_full_disk_under_SQLite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		if pgtest.Requires("mount") {
			t.Fatalf("%s requires mount: %v", pgtest.EnvRequire, err)
		}
		t.Skipf("a small disk cannot be mounted: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	w := watch(t, "sqlite:"+filepath.Join(dir, "state.db"), "")
	filler := filepath.Join(dir, "filler")
	require.ErrorIs(t, os.WriteFile(filler, make([]byte, 32<<20), 0o600), syscall.ENOSPC)
	w.names(t, "store", "is full")
	require.NoError(t, os.Remove(filler))
	w.mended(t)
}
