package keyfile_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/audit/keyfile"
)

func TestFile_Switch(t *testing.T) {
	t.Parallel()
	f := keyfile.New(filepath.Join(t.TempDir(), "audit.key"))
	first, err := f.Key(true)
	require.NoError(t, err)
	batch, _, err := first.Seal(nil, "run", []audit.Event{{Kind: audit.KindRun}}, []audit.Hex{make(audit.Hex, audit.SaltBytes)}, time.Unix(1, 0))
	require.NoError(t, err)
	next, err := f.Next()
	require.NoError(t, err)
	again, err := f.Next()
	require.NoError(t, err)
	require.Equal(t, next, again, "one that was cut off goes on with the same")
	same, err := f.Key(false)
	require.NoError(t, err)
	require.Equal(t, first, same, "nothing has changed yet")

	require.NoError(t, f.Switch())
	now, err := f.Key(false)
	require.NoError(t, err)
	require.Equal(t, next.Fingerprint(), now.Fingerprint())
	require.True(t, now.Made(batch), "what the first one made still counts")
	require.False(t, next.Made(batch))
	info, err := os.Stat(f.Path() + ".1")
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
	require.NoFileExists(t, f.Path()+".new")

	_, err = f.Next()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(f.Path()+".old", nil, 0o600))
	require.NoError(t, os.WriteFile(f.Path()+".007", nil, 0o600))
	require.NoError(t, f.Switch())
	last, err := f.Key(false)
	require.NoError(t, err, "what has no number of ours is no key")
	require.FileExists(t, f.Path()+".2")
	require.True(t, last.Made(batch), "whatever lies between")

	require.NoError(t, os.Remove(f.Path()+".1"))
	last, err = f.Key(false)
	require.NoError(t, err)
	require.False(t, last.Made(batch))
	require.Error(t, f.Switch(), "there is no next one")
	_, err = f.Key(false)
	require.NoError(t, err, "and the key is where it was")
	require.NoError(t, os.WriteFile(f.Path()+".1", []byte("short"), 0o600))
	_, err = f.Key(false)
	require.ErrorContains(t, err, "must hold exactly 32 bytes")
}
