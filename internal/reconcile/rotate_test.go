package reconcile_test

import (
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/audit/keyfile"
	"github.com/mmsync/mmsync/internal/reconcile"
)

func (w *world) rotate(v reconcile.Vault) (audit.Keys, error) {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	return w.engine(s, two(), sealing(v)).RotateKey(w.t.Context(), byHand)
}

// stuck is a vault that cannot put a new key in its place.
type stuck struct{ *keyfile.File }

var errStuck = errors.New("the disk is full")

func (stuck) Switch() error { return errStuck }

func TestEngine_RotateKey(t *testing.T) {
	t.Parallel()
	t.Run("the old key names the new one, and the new one goes on", func(t *testing.T) {
		t.Parallel()
		w, v := newWorld(t), vault(t)
		_, err := w.sync(two(), sealing(v))
		require.NoError(t, err)
		old, err := v.Key(false)
		require.NoError(t, err)
		keys, err := w.rotate(v)
		require.NoError(t, err)
		now, err := v.Key(false)
		require.NoError(t, err)
		require.Equal(t, audit.Keys{From: old.Fingerprint(), To: now.Fingerprint()}, keys)
		batches, rows := w.history()
		require.Len(t, batches, 3)
		require.True(t, old.Made(batches[1]))
		require.False(t, old.Made(batches[2]))
		body, err := audit.ReadBody(rows[2])
		require.NoError(t, err)
		require.Equal(t, &audit.Keys{To: keys.To}, body.Keys)
		body, err = audit.ReadBody(rows[3])
		require.NoError(t, err)
		require.Equal(t, &keys, body.Keys)

		people := two()
		people[0].Title = "Clerk"
		_, err = w.sync(people, sealing(v))
		require.NoError(t, err)
		head, _, err := v.Head()
		require.NoError(t, err)
		require.Equal(t, audit.OK, w.verify(v, &head).Verdict)
		require.NoError(t, os.Remove(v.Path()+".1"))
		r := w.verify(v, &head)
		require.Equal(t, audit.Unproven, r.Verdict)
		require.Len(t, r.Findings, 1)
		_, err = w.sync(people, sealing(v))
		require.NoError(t, err, "what was sealed before is not needed for going on")
	})
	t.Run("one that was cut off leaves a whole history, and is done again", func(t *testing.T) {
		t.Parallel()
		w, v := newWorld(t), vault(t)
		_, err := w.sync(two(), sealing(v))
		require.NoError(t, err)
		_, err = w.rotate(stuck{v})
		require.ErrorIs(t, err, errStuck)
		_, err = w.sync(two(), sealing(v))
		require.NoError(t, err)
		require.Equal(t, audit.OK, w.verify(v, nil).Verdict)
		keys, err := w.rotate(v)
		require.NoError(t, err)
		now, err := v.Key(false)
		require.NoError(t, err)
		require.Equal(t, keys.To, now.Fingerprint())
		require.Equal(t, audit.OK, w.verify(v, nil).Verdict)
	})
	t.Run("a process that died behind the switch goes on with the new key", func(t *testing.T) {
		t.Parallel()
		w, v := newWorld(t), vault(t)
		_, err := w.sync(two(), sealing(v))
		require.NoError(t, err)
		_, err = w.rotate(stuck{v})
		require.ErrorIs(t, err, errStuck)
		require.NoError(t, v.Switch())
		people := two()
		people[0].Title = "Clerk"
		_, err = w.sync(people, sealing(v))
		require.NoError(t, err)
		require.Equal(t, audit.OK, w.verify(v, nil).Verdict)
		require.NoError(t, os.Remove(v.Path()+".1"))
		require.Equal(t, audit.Unproven, w.verify(v, nil).Verdict, "the first batch of the new key says who sealed before")
	})
	t.Run("retention leaves the word of the new key", func(t *testing.T) {
		t.Parallel()
		w, v := newWorld(t), vault(t)
		_, err := w.sync(two(), sealing(v))
		require.NoError(t, err)
		_, err = w.rotate(v)
		require.NoError(t, err)
		s := w.store()
		defer s.Close()
		e := w.engine(s, two(), sealing(v))
		for range 3 {
			_, err = e.PruneAudit(t.Context(), 0, byHand)
			require.NoError(t, err)
		}
		require.Equal(t, int64(3), w.verify(v, nil).Pruned, "both of the old key, and that of the first pruning")
		require.NoError(t, os.Remove(v.Path()+".1"))
		require.Equal(t, audit.Unproven, w.verify(v, nil).Verdict)
	})
	t.Run("a store that was put back is refused", func(t *testing.T) {
		t.Parallel()
		w, v := newWorld(t), vault(t)
		_, err := w.sync(two(), sealing(v))
		require.NoError(t, err)
		next := w.lost(false)
		_, err = next.rotate(v)
		require.ErrorIs(t, err, reconcile.ErrRefused)
		require.NoFileExists(t, v.Path()+".1")
	})
	t.Run("an export of before is taken with the key of its time at hand", func(t *testing.T) {
		t.Parallel()
		w, v := newWorld(t), vault(t)
		_, err := w.sync(two(), sealing(v))
		require.NoError(t, err)
		text := w.export(v, true)
		_, err = w.rotate(v)
		require.NoError(t, err)
		_, err = w.lost(false).rebuild(v, text)
		require.NoError(t, err)
		require.NoError(t, os.Remove(v.Path()+".1"))
		_, err = w.lost(false).rebuild(v, text)
		require.ErrorIs(t, err, reconcile.ErrRefused)
	})
}
