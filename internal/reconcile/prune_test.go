package reconcile_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/reconcile"
)

func TestEngine_PruneAudit(t *testing.T) {
	t.Parallel()
	w, v := newWorld(t), vault(t)
	people := two()
	for _, title := range []string{"", "Clerk", "Head Clerk"} {
		people[0].Title = title
		_, err := w.sync(people, sealing(v))
		require.NoError(t, err)
	}
	s := w.store()
	defer s.Close()
	e := w.engine(s, people, sealing(v))
	got, err := e.PruneAudit(t.Context(), time.Hour, reconcile.RunOptions{Reason: "none is that old"})
	require.NoError(t, err)
	require.Zero(t, got)
	got, err = e.PruneAudit(t.Context(), 0, reconcile.RunOptions{Reason: "all are"})
	require.NoError(t, err)
	require.Equal(t, reconcile.Pruned{Batches: 3, Rows: 4}, got, "all but the last, which the run before made; the guards still count the runs")
	head, _, err := v.Head()
	require.NoError(t, err)
	r := w.verify(v, &head)
	require.Equal(t, audit.Pruned, r.Verdict)
	require.Equal(t, int64(3), r.Pruned)
}

func TestEngine_PruneAudit_journal(t *testing.T) {
	t.Parallel()
	const aged = `update runs set requested_at = requested_at - 35000000000000, started_at = started_at - 35000000000000,
		planned_at = planned_at - 35000000000000, finished_at = finished_at - 35000000000000`
	const days400 = 400 * 24 * time.Hour
	prune := func(w *world, with wiring) reconcile.Pruned {
		s := w.store()
		defer s.Close()
		got, err := w.engine(s, two(), with).PruneAudit(t.Context(), days400, reconcile.RunOptions{Reason: "a year is enough"})
		require.NoError(t, err)
		return got
	}
	t.Run("the last run that read the source whole stays, for the next is compared with it", func(t *testing.T) {
		t.Parallel()
		w, with := newWorldOnFile(t), sealing(vault(t))
		for range 3 {
			_, err := w.sync(two(), with)
			require.NoError(t, err)
		}
		w.meddle(aged)
		require.Equal(t, reconcile.Pruned{Runs: 2}, prune(w, with))
		with.change = func(o *reconcile.Options) { o.PolicyDigest = "another" }
		people := two()
		people[0].Left = "yes"
		rep, err := w.sync(people, with)
		require.NoError(t, err)
		require.True(t, rep.Verdict.Tripped(), "that the configuration changed is still known")
	})
	t.Run("while somebody is missed whose account is on, the runs stay that tell why", func(t *testing.T) {
		t.Parallel()
		w, v := newWorldOnFile(t), vault(t)
		with := wiring{change: func(o *reconcile.Options) { o.Vault, o.Policy.Grace.Missing = v, 10_000*time.Hour }}
		_, err := w.sync(two(), with)
		require.NoError(t, err)
		for range 2 {
			_, err = w.sync(two()[:1], with)
			require.NoError(t, err)
		}
		w.meddle(aged, `update sightings set missed_since = missed_since - 35000000000000`)
		require.Zero(t, prune(w, with).Runs)
		_, err = w.sync(two(), with)
		require.NoError(t, err)
		require.Equal(t, 3, prune(w, with).Runs)
	})
	t.Run("what the guards count stays, however short the time", func(t *testing.T) {
		t.Parallel()
		w, v := newWorldOnFile(t), vault(t)
		with := wiring{change: func(o *reconcile.Options) { o.Vault, o.Limits.Window = v, 1000*24*time.Hour }}
		for range 2 {
			_, err := w.sync(two(), with)
			require.NoError(t, err)
		}
		w.meddle(aged)
		require.Zero(t, prune(w, with).Runs)
	})
}
