package file_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/sources/file"
)

func TestSource_Reach(t *testing.T) {
	t.Parallel()
	require.NoError(t, newSource(t, "people.csv", "not even a header").Reach(t.Context()), "nothing is read")
	gone := newSource(t, "people.csv", "", func(o *file.Options) { o.FS, o.Path = nil, filepath.Join(t.TempDir(), "people.csv") })
	require.ErrorContains(t, gone.Reach(t.Context()), "no such file")
}
