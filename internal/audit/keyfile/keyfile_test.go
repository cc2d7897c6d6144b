package keyfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/audit/keyfile"
)

func TestFile_Key(t *testing.T) {
	t.Parallel()
	t.Run("it is made once, for its owner alone", func(t *testing.T) {
		t.Parallel()
		f := keyfile.New(filepath.Join(t.TempDir(), "audit.key"))
		_, err := f.Key(false)
		require.ErrorIs(t, err, keyfile.ErrNoKey)
		require.NoFileExists(t, f.Path(), "looking makes none")
		first, err := f.Key(true)
		require.NoError(t, err)
		info, err := os.Stat(f.Path())
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
		require.Equal(t, int64(audit.KeyBytes), info.Size())
		for _, create := range []bool{true, false} {
			again, err := f.Key(create)
			require.NoError(t, err)
			require.Equal(t, first, again)
		}
		left, err := os.ReadDir(filepath.Dir(f.Path()))
		require.NoError(t, err)
		require.Len(t, left, 1, "nothing else is left")
	})
	t.Run("two who make it at once have the same", func(t *testing.T) {
		t.Parallel()
		f := keyfile.New(filepath.Join(t.TempDir(), "audit.key"))
		keys, errs := make([]audit.Key, 8), make([]error, 8)
		var wg sync.WaitGroup
		for i := range keys {
			wg.Go(func() { keys[i], errs[i] = f.Key(true) })
		}
		wg.Wait()
		require.NoError(t, errors.Join(errs...))
		for _, k := range keys {
			require.True(t, k == keys[0] && k != audit.Key{})
		}
	})
	t.Run("what is no key, or everybody's, is refused", func(t *testing.T) {
		t.Parallel()
		for name, c := range map[string]struct {
			data []byte
			mode fs.FileMode
			want string
		}{
			"empty":       {nil, 0o600, "must hold exactly 32 bytes"},
			"too short":   {make([]byte, 31), 0o600, "must hold exactly 32 bytes"},
			"too long":    {make([]byte, 33), 0o600, "must hold exactly 32 bytes"},
			"everybody's": {make([]byte, 32), 0o604, "chmod 0600"},
		} {
			path := filepath.Join(t.TempDir(), "audit.key")
			require.NoError(t, os.WriteFile(path, c.data, c.mode))
			require.NoError(t, os.Chmod(path, c.mode))
			_, err := keyfile.New(path).Key(true)
			require.ErrorContains(t, err, c.want, name)
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Len(t, data, len(c.data), "%s: it is left as it is", name)
		}
	})
	t.Run("where it cannot be made it says so and what to do", func(t *testing.T) {
		t.Parallel()
		_, err := keyfile.New(filepath.Join(t.TempDir(), "nowhere", "audit.key")).Key(true)
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.ErrorContains(t, err, "name a file in a directory that mmsync may write to as audit.key_file")
	})
}

func TestFile_Head(t *testing.T) {
	t.Parallel()
	f := keyfile.New(filepath.Join(t.TempDir(), "audit.key"))
	_, ok, err := f.Head()
	require.NoError(t, err)
	require.False(t, ok)
	for _, want := range []audit.Head{{Batch: 7, Seal: make(audit.Hex, 32)}, {Batch: 8, Seal: audit.Hex{1, 2, 255}}} {
		require.NoError(t, f.SetHead(want))
		got, ok, err := f.Head()
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"", "7\n", "x y\n", "0 00\n", "-1 00\n", "7 0g\n", "7 00", "7 00\n8 00\n"} {
		require.NoError(t, os.WriteFile(f.Path()+".head", []byte(text), 0o600))
		_, ok, err := f.Head()
		require.ErrorContains(t, err, "does not hold a batch and its seal", "%q", text)
		require.False(t, ok)
	}
	for range 2 {
		require.NoError(t, f.SetHead(audit.Head{}), "the zero one takes it away, if there is one")
		_, ok, err = f.Head()
		require.NoError(t, err)
		require.False(t, ok)
	}
}
