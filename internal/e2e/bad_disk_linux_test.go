package e2e_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/pgtest"
)

// smallDisk gives a folder on a disk of its own that is soon full, or skips.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "disk")
	require.NoError(t, os.Mkdir(dir, 0o700))
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=8m,mode=700"); err != nil {
		if pgtest.Requires("mount") {
			t.Fatalf("%s requires mount: %v", pgtest.EnvRequire, err)
		}
		t.Skipf("a disk of its own takes the right to mount one: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, 0)) })
	return dir
}

// fill takes all the room there is.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	for size := 1 << 16; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(bytes.Repeat([]byte("x"), size))
		}
		require.ErrorIs(t, err, syscall.ENOSPC)
	}
}

func TestBadDay_fullDisk(t *testing.T) {
	t.Parallel()
	const people = 20
	disk := smallDisk(t)
	st := store{"sqlite", func(testing.TB, string) string { return "sqlite:" + filepath.Join(disk, "state.db") }}
	w := newWorld(t, st, settings{scim: []string{"idp"}})
	idp := w.provider("idp")
	s := w.serve()
	idp.to(s)
	ids := make([]string, people)
	side(people, 8, func(i int) { ids[i] = idp.create(i) })
	within(t, 20*time.Second, "all are there", func() bool { return w.active() == people })

	filler := filepath.Join(disk, "filler")
	fill(t, filler)
	done := make(chan struct{})
	go func() {
		defer close(done)
		side(people, 8, func(i int) {
			idp.persist(http.MethodPatch, "/Users/"+ids[i], object{
				"schemas":    []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
				"Operations": []object{{"op": "replace", "value": object{"title": "Chief", "active": i%3 != 0}}},
			})
		})
	}()
	within(t, 10*time.Second, "it is said", func() bool {
		fill(t, filler+"2") // what was freed meanwhile
		return strings.Contains(s.stderr.String(), "is full; make room")
	})
	select {
	case <-s.ended:
		require.Fail(t, "the service ended", s.stderr.String())
	default:
	}
	require.NoError(t, os.Remove(filler))
	require.NoError(t, os.Remove(filler+"2"))
	<-done
	w.calm(w.observed(), 20*time.Second)
	for i, u := range w.pushed(people) {
		require.NotNil(t, u, "p%04d", i)
		require.Equal(t, i%3 != 0, u.Active(), "p%04d", i)
	}
	s.end()
	requireJournal(t, w, time.Time{})
}
