package reconcile_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/audit/keyfile"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

// These tests are about the history: what is sealed, and what is made of a store
// that somebody changed or put back.

// vault is a key of its own in a directory of its own.
func vault(t testing.TB) *keyfile.File {
	t.Helper()
	return keyfile.New(filepath.Join(t.TempDir(), "audit.key"))
}

// sealing is a wiring that seals with a vault's key.
func sealing(v reconcile.Vault) wiring {
	return wiring{change: func(o *reconcile.Options) { o.Vault = v }}
}

// verify reads the whole history of the world's store.
func (w *world) verify(v reconcile.Vault, head *audit.Head) audit.Report {
	w.t.Helper()
	batches, rows := w.history()
	key, err := v.Key(false)
	require.NoError(w.t, err)
	e := audit.Export{Batches: batches, Rows: rows}
	r, err := audit.Verify(key, batches, e.All(), audit.Scope{Head: head})
	require.NoError(w.t, err)
	return r
}

func (w *world) history() ([]audit.Batch, []audit.Row) {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	batches, err := s.AuditBatches(w.t.Context(), state.BatchFilter{})
	require.NoError(w.t, err)
	rows, err := s.AuditRows(w.t.Context(), state.RowFilter{})
	require.NoError(w.t, err)
	return batches, rows
}

// connect opens the store's database behind mmsync's back.
func (w *world) connect() *sql.DB {
	w.t.Helper()
	driver := "sqlite"
	if strings.HasPrefix(w.db, "postgres") {
		driver = "pgx"
	}
	db, err := sql.Open(driver, w.db)
	require.NoError(w.t, err)
	return db
}

// meddle runs statements on the store behind mmsync's back.
func (w *world) meddle(statements ...string) {
	w.t.Helper()
	db := w.connect()
	defer db.Close()
	for _, s := range statements {
		_, err := db.ExecContext(w.t.Context(), s)
		require.NoError(w.t, err, s)
	}
}

func TestEngine_Seal(t *testing.T) {
	t.Parallel()
	t.Run("what a run did is sealed at its end, and nothing where nothing was done", func(t *testing.T) {
		t.Parallel()
		w, v := newWorld(t), vault(t)
		rep, err := w.run(t.Context(), two(), sealing(v), reconcile.RunOptions{Reason: "first day"})
		require.NoError(t, err)
		batches, rows := w.history()
		require.Len(t, batches, 1)
		require.Equal(t, rep.RunID, batches[0].Run)
		require.Len(t, rows, 2)
		body, err := audit.ReadBody(rows[0])
		require.NoError(t, err)
		require.Equal(t, "sync", body.RunKind)
		require.Equal(t, "test", body.RequestedBy)
		require.Equal(t, "first day", body.Why)
		require.Equal(t, "done", body.Status)
		require.NotContains(t, rows[0].Body+rows[1].Body, "example.test", "no value of anybody")
		head, ok, err := v.Head()
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, audit.HeadOf(batches[0]), head)
		_, err = w.sync(two(), sealing(v))
		require.NoError(t, err)
		again, _ := w.history()
		require.Equal(t, batches, again)
	})
	t.Run("what was done before there was a key is sealed by the next run", func(t *testing.T) {
		t.Parallel()
		w, v := newWorld(t), vault(t)
		_, err := w.sync(two(), wiring{})
		require.NoError(t, err)
		_, err = w.sync(two(), sealing(v))
		require.NoError(t, err)
		_, rows := w.history()
		require.Len(t, rows, 2)
		require.Equal(t, audit.OK, w.verify(v, nil).Verdict)
	})
	t.Run("what a run left that died is sealed before the next does anything", func(t *testing.T) {
		t.Parallel()
		w, v := newWorld(t), vault(t)
		_, err := w.sync(two(), wiring{})
		require.NoError(t, err)
		people := two()
		people[0].Title = "Clerk"
		var before []audit.Row
		with := sealing(v)
		with.wrap = func(s state.Store) state.Store {
			return journaled{s, func() { _, before = w.history() }}
		}
		_, err = w.sync(people, with)
		require.NoError(t, err)
		require.Len(t, before, 2, "when the plan was journaled")
		batches, rows := w.history()
		require.Len(t, batches, 2)
		require.Len(t, rows, 3)
	})
	t.Run("what an operator did is a row of its own, with who and why", func(t *testing.T) {
		t.Parallel()
		w, v := newWorld(t), vault(t)
		_, err := w.sync(two(), sealing(v))
		require.NoError(t, err)
		s := w.store()
		defer s.Close()
		_, err = w.engine(s, two(), sealing(v)).Rebind(t.Context(), "source/corp", reconcile.RunOptions{RequestedBy: "eve@desk", Reason: "moved house"})
		require.NoError(t, err)
		_, rows := w.history()
		last := rows[len(rows)-1]
		require.Equal(t, audit.KindRun, last.Kind)
		body, err := audit.ReadBody(last)
		require.NoError(t, err)
		require.Equal(t, audit.Body{RunKind: "rebind", RequestedBy: "eve@desk", Why: "moved house", Status: "done"}, body)
	})
	t.Run("a head that was not noted any more lags, and that is well", func(t *testing.T) {
		t.Parallel()
		w, v := newWorld(t), vault(t)
		_, err := w.sync(two(), sealing(v))
		require.NoError(t, err)
		head, _, err := v.Head()
		require.NoError(t, err)
		_, err = w.sync(gone(two()), sealing(v))
		require.NoError(t, err)
		require.NoError(t, v.SetHead(head))
		people := two()
		people[0].Title = "Clerk"
		_, err = w.sync(people, sealing(v))
		require.NoError(t, err)
		now, _, err := v.Head()
		require.NoError(t, err)
		require.Greater(t, now.Batch, head.Batch)
		require.Equal(t, audit.OK, w.verify(v, &head).Verdict)
	})
	t.Run("in PostgreSQL as well", func(t *testing.T) {
		t.Parallel()
		w, v := newWorld(t), vault(t)
		w.db = pgtest.URL(t)
		_, err := w.sync(two(), sealing(v))
		require.NoError(t, err)
		head, _, err := v.Head()
		require.NoError(t, err)
		r := w.verify(v, &head)
		require.Equal(t, audit.OK, r.Verdict)
		require.Equal(t, int64(2), r.Rows)
	})
}

// Each is what somebody does who can write to the store and has no key.
func TestEngine_Seal_tampering(t *testing.T) {
	t.Parallel()
	// forged seals all of the store, or all but its first batches, with another key.
	forged := func(t *testing.T, w *world, from string) {
		w.meddle(
			"delete from audit_rows where batch >= "+from, "delete from audit_batches where id >= "+from,
			"update ops set sealed_in = null where sealed_in >= "+from, "update ops set error = 'nothing to see'",
		)
		other := vault(t)
		s := w.store()
		defer s.Close()
		u, err := s.Unsealed(t.Context(), 100)
		require.NoError(t, err)
		key, err := other.Key(true)
		require.NoError(t, err)
		batches, err := s.AuditBatches(t.Context(), state.BatchFilter{Limit: 1})
		require.NoError(t, err)
		var last *audit.Batch
		if len(batches) > 0 {
			last = &batches[0]
		}
		events := u.Events()
		salts := make([]audit.Hex, len(events))
		for i := range salts {
			salts[i] = make(audit.Hex, audit.SaltBytes)
		}
		b, rows, err := key.Seal(last, "forged", events, salts, time.Now())
		require.NoError(t, err)
		l, err := s.AcquireLease(t.Context(), "reconcile", "test", time.Minute)
		require.NoError(t, err)
		require.NoError(t, s.AppendAudit(t.Context(), l, b, rows, u))
	}
	for name, c := range map[string]struct {
		do    func(t *testing.T, w *world)
		want  audit.Verdict
		batch int64
	}{
		"nothing": {func(*testing.T, *world) {}, audit.OK, 0},
		"a value": {func(_ *testing.T, w *world) { w.meddle("update audit_rows set personal = '{}' where id = 1") }, audit.Edited, 1},
		"a body": {func(_ *testing.T, w *world) {
			w.meddle(`update audit_rows set body = replace(body, '"done"', '"failed"')`)
		}, audit.Edited, 1},
		"a value taken away": {func(_ *testing.T, w *world) {
			w.meddle("update audit_rows set personal = null, salt = null where id = 3")
		}, audit.Edited, 2},
		"a batch's time": {func(_ *testing.T, w *world) {
			w.meddle("update audit_batches set sealed_at = sealed_at + 1 where id = 2")
		}, audit.Edited, 2},
		"a row deleted": {func(_ *testing.T, w *world) { w.meddle("delete from audit_rows where id = 1") }, audit.Cut, 1},
		"a batch deleted": {func(_ *testing.T, w *world) {
			w.meddle("delete from audit_rows where batch = 2", "delete from audit_batches where id = 2")
		}, audit.Cut, 3},
		"the end deleted": {func(_ *testing.T, w *world) {
			w.meddle("delete from audit_rows where batch = 3", "delete from audit_batches where id = 3")
		}, audit.Cut, 2},
		"everything deleted":          {func(_ *testing.T, w *world) { w.meddle("delete from audit_rows", "delete from audit_batches") }, audit.Cut, 0},
		"recomputed from the start":   {func(t *testing.T, w *world) { forged(t, w, "1") }, audit.Recomputed, 1},
		"recomputed from the middle":  {func(t *testing.T, w *world) { forged(t, w, "2") }, audit.Recomputed, 2},
		"recomputed at the end alone": {func(t *testing.T, w *world) { forged(t, w, "3") }, audit.Recomputed, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, v := newWorldOnFile(t), vault(t)
			people := two()
			for _, title := range []string{"", "Clerk", "Head Clerk"} {
				people[0].Title = title
				_, err := w.sync(people, sealing(v))
				require.NoError(t, err)
			}
			head, _, err := v.Head()
			require.NoError(t, err)
			require.Equal(t, int64(3), head.Batch)
			c.do(t, w)
			r := w.verify(v, &head)
			require.Equal(t, c.want, r.Verdict, "%+v", r.Findings)
			if c.want != audit.OK {
				require.Equal(t, c.batch, r.Findings[0].Batch)
			}
		})
	}
}

func TestEngine_Restored(t *testing.T) {
	t.Parallel()
	// restored is a world whose store is put back to before somebody left.
	restored := func(t *testing.T) (*world, *keyfile.File) {
		t.Helper()
		w, v := newWorldOnFile(t), vault(t)
		w.rest(two(), sealing(v))
		_, err := w.sync(two(), sealing(v))
		require.NoError(t, err)
		require.True(t, w.settled()["1"])
		saved := filepath.Join(t.TempDir(), "saved.db")
		copyFile(t, w.db, saved)
		people := two()
		people[0].Left = "yes"
		_, err = w.sync(people, sealing(v))
		require.NoError(t, err)
		copyFile(t, saved, w.db)
		w.sim.ResetCalls()
		return w, v
	}
	t.Run("nothing is written, and plan says why", func(t *testing.T) {
		t.Parallel()
		w, v := restored(t)
		people := two()
		people[1].Left = "yes"
		batches, _ := w.history()
		_, err := w.sync(people, sealing(v))
		require.ErrorIs(t, err, reconcile.ErrRefused)
		var refused *reconcile.HistoryError
		require.ErrorAs(t, err, &refused)
		require.True(t, refused.Restored)
		require.Empty(t, w.sim.Writes())
		after, _ := w.history()
		require.Equal(t, batches, after, "nor is anything sealed upon it")
		rep := w.plan(people, sealing(v))
		require.Len(t, rep.Problems, 1)
		require.Contains(t, rep.Problems[0], "nothing can be carried out: the history in the store ends with batch 1")
	})
	t.Run("it goes on once somebody accepts, and decides about everybody", func(t *testing.T) {
		t.Parallel()
		w, v := restored(t)
		people := two()
		people[0].Left, people[1].Left = "yes", "yes"
		s := w.store()
		head, err := w.engine(s, people, sealing(v)).AcceptRestore(t.Context(), reconcile.RunOptions{Reason: "the disk died"})
		require.NoError(t, err)
		require.NoError(t, s.Close())
		require.Equal(t, int64(2), head.Batch)
		for anchor, settled := range w.settled() {
			require.False(t, settled, anchor)
		}
		rep, err := w.sync(people, sealing(v))
		require.NoError(t, err)
		require.Equal(t, 1, rep.Counts.Done)
		now, _, err := v.Head()
		require.NoError(t, err)
		require.Equal(t, audit.OK, w.verify(v, &now).Verdict)
	})
	t.Run("with the key lost it goes on with another, and what was sealed before says so", func(t *testing.T) {
		t.Parallel()
		w, v := newWorld(t), vault(t)
		_, err := w.sync(two(), sealing(v))
		require.NoError(t, err)
		require.NoError(t, os.Remove(v.Path()))
		_, err = w.sync(gone(two()), sealing(v))
		require.ErrorContains(t, err, "there is no key")
		require.NoFileExists(t, v.Path(), "none is made while there is a history")
		s := w.store()
		_, err = w.engine(s, two(), sealing(v)).AcceptRestore(t.Context(), reconcile.RunOptions{Reason: "lost"})
		require.NoError(t, err)
		require.NoError(t, s.Close())
		_, err = w.sync(gone(two()), sealing(v))
		require.NoError(t, err)
		require.Equal(t, audit.Recomputed, w.verify(v, nil).Verdict)
	})
	t.Run("a store that nobody changed has nothing to accept", func(t *testing.T) {
		t.Parallel()
		w, v := newWorld(t), vault(t)
		_, err := w.sync(two(), sealing(v))
		require.NoError(t, err)
		s := w.store()
		defer s.Close()
		_, err = w.engine(s, two(), sealing(v)).AcceptRestore(t.Context(), reconcile.RunOptions{Reason: "why not"})
		require.ErrorIs(t, err, reconcile.ErrRefused)
	})
}

func TestEngine_Forget(t *testing.T) {
	t.Parallel()
	leftAndSealed := func(t *testing.T) (*world, *keyfile.File) {
		t.Helper()
		w, v := newWorldOnFile(t), vault(t)
		people := []human{{ID: "1", UID: "annabel", Title: "Clerk"}, {ID: "2", UID: "bert"}}
		_, err := w.sync(people, sealing(v))
		require.NoError(t, err)
		people[0].Left = "yes"
		_, err = w.sync(people, sealing(v))
		require.NoError(t, err)
		return w, v
	}
	forget := func(w *world, v reconcile.Vault, who string) (reconcile.Forgotten, error) {
		s := w.store()
		defer s.Close()
		return w.engine(s, nil, sealing(v)).Forget(w.t.Context(), who, reconcile.RunOptions{Reason: "asked"})
	}
	t.Run("nothing of the person is left in journal and history, and it verifies", func(t *testing.T) {
		t.Parallel()
		w, v := leftAndSealed(t)
		got, err := forget(w, v, "annabel")
		require.NoError(t, err)
		require.Equal(t, identity.Key{Source: "corp", Anchor: "1"}, got.Key)
		require.Equal(t, 2, got.Rows)
		require.NotEmpty(t, got.Account)
		for _, table := range []string{"ops", "decisions", "audit_rows", "runs", "verdict_items"} {
			require.NotContains(t, strings.ToLower(w.dump(table)), "annabel", table)
		}
		require.Contains(t, w.dump("ops"), "bert")
		head, _, err := v.Head()
		require.NoError(t, err)
		r := w.verify(v, &head)
		require.Equal(t, audit.Forgotten, r.Verdict)
		require.Equal(t, int64(2), r.Forgotten)
		again, err := forget(w, v, "corp/1")
		require.NoError(t, err)
		require.Zero(t, again.Rows)
	})
	t.Run("what was said about others with his name is gone as well", func(t *testing.T) {
		t.Parallel()
		w, v := leftAndSealed(t)
		people := []human{{ID: "1", UID: "annabel", Title: "Clerk", Left: "yes"}, {ID: "2", UID: "bert"}, {ID: "3", UID: "annabel", Mail: "bella@example.test"}}
		rep, err := w.sync(people, sealing(v))
		require.NoError(t, err)
		require.Contains(t, decisionOn(t, rep, "3").Detail, `"annabel"`)
		require.Contains(t, w.dump("decisions"), `account "annabel" (`)
		_, err = forget(w, v, "corp/1")
		require.NoError(t, err)
		require.NotContains(t, w.dump("decisions"), `account "annabel" (`)
	})
	t.Run("somebody whose account is active is refused", func(t *testing.T) {
		t.Parallel()
		w, v := leftAndSealed(t)
		before := w.dump("ops") + w.dump("audit_rows")
		_, err := forget(w, v, "bert")
		require.ErrorIs(t, err, reconcile.ErrRefused)
		require.Equal(t, before, w.dump("ops")+w.dump("audit_rows"))
	})
	t.Run("somebody who was only ever held is named by his key", func(t *testing.T) {
		t.Parallel()
		w, v := newWorldOnFile(t), vault(t)
		with := sealing(v)
		seal := with.change
		with.change = func(o *reconcile.Options) { seal(o); o.Policy.ReservedNames = []string{"svc-*"} }
		_, err := w.sync(append(two(), human{ID: "9", UID: "svc-robot"}), with)
		require.NoError(t, err)
		require.Contains(t, w.dump("decisions"), "svc-robot")
		_, err = forget(w, v, "svc-robot")
		require.ErrorIs(t, err, reconcile.ErrRefused)
		_, err = forget(w, v, "nowhere/9")
		require.ErrorIs(t, err, reconcile.ErrRefused)
		got, err := forget(w, v, "corp/9")
		require.NoError(t, err)
		require.Zero(t, got.Rows)
		require.NotContains(t, w.dump("decisions"), "svc-robot")
	})
	t.Run("a name that two people had is nobody's", func(t *testing.T) {
		t.Parallel()
		w, v := newWorldOnFile(t), vault(t)
		for _, id := range []string{"1", "2"} {
			_, err := w.sync([]human{{ID: id, UID: "annabel"}}, sealing(v))
			require.NoError(t, err)
			w.meddle("delete from links", "delete from link_heads")
			u, ok := w.sim.UserByName("annabel")
			require.True(t, ok)
			w.sim.RemoveUser(u.ID)
		}
		_, err := forget(w, v, "annabel")
		require.ErrorIs(t, err, reconcile.ErrRefused)
		require.ErrorContains(t, err, "corp/1 and corp/2: name one of them")
		_, err = forget(w, v, "corp/1")
		require.NoError(t, err)
		require.Contains(t, w.dump("audit_rows"), "annabel", "the other's")
	})
}

// dump gives a table as text.
func (w *world) dump(table string) string {
	w.t.Helper()
	db := w.connect()
	defer db.Close()
	rows, err := db.QueryContext(w.t.Context(), "select * from "+table)
	require.NoError(w.t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	require.NoError(w.t, err)
	var b strings.Builder
	for rows.Next() {
		cells := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range cells {
			into[i] = &cells[i]
		}
		require.NoError(w.t, rows.Scan(into...))
		for _, c := range cells {
			b.WriteString(c.String + "\t")
		}
		b.WriteString("\n")
	}
	require.NoError(w.t, rows.Err())
	return b.String()
}

// refusing is a vault whose head cannot be noted.
type refusing struct{ *keyfile.File }

func (refusing) SetHead(audit.Head) error { return errors.New("a read-only disk") }

func TestEngine_Seal_headThatCannotBeNoted(t *testing.T) {
	t.Parallel()
	w, v := newWorld(t), vault(t)
	rep, err := w.sync(two(), sealing(refusing{v}))
	require.NoError(t, err)
	require.Equal(t, 2, rep.Counts.Done)
	_, err = w.sync(gone(two()), sealing(refusing{v}))
	require.NoError(t, err)
	require.Equal(t, audit.OK, w.verify(v, nil).Verdict)
}
