package statetest

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

func audits(t *testing.T, open Factory) {
	t.Helper()
	open.test(t, "Unsealed/closed ops and operators' runs, the oldest first", unsealedOps)
	open.test(t, "Unsealed/a limit keeps the oldest", func(t *testing.T, s state.Store) {
		closedRun(t, s, "01a")
		u := unsealed(t, s, 2)
		require.Equal(t, []string{"01a/1/0", "01a/0/0"}, refs(u))
	})
	open.test(t, "Unsealed/names the approval of an op", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		d := deactivation(1)
		d.Approval = "a7"
		require.NoError(t, s.BeginRun(t.Context(), l, run("01a", l), plan.Plan{Decisions: []plan.Decision{d}}, state.SightingChanges{}))
		require.NoError(t, s.RecordOp(t.Context(), l, outcome(ref("01a", 0, 0), state.OpDone)))
		require.Equal(t, map[state.OpRef]string{ref("01a", 0, 0): "a7"}, unsealed(t, s, 10).Approvals)
	})
	open.test(t, "AppendAudit/comes back as it was, and is sealed once", appendAudit)
	open.test(t, "AppendAudit/all or nothing", appendNothing)
	open.test(t, "AuditBatches/are filtered", filterBatches)
	open.test(t, "AuditRows/are filtered", filterRows)
	open.test(t, "ForgetPerson/takes the values of one person and leaves the rest", forgetPerson)
	open.test(t, "ForgetPerson/takes away sentences that name the person", forgetWords)
	open.test(t, "ForgetPerson/waits for what is still being done", forgetBusy)
	open.test(t, "PruneAudit/takes the rows and leaves the batch", pruneAudit)
	open.test(t, "Audit/needs the lease", func(t *testing.T, s state.Store) {
		closedRun(t, s, "01a")
		u := unsealed(t, s, 10)
		b, rows := sealed(t, s, u)
		require.ErrorIs(t, s.AppendAudit(t.Context(), state.Lease{}, b, rows, u), state.ErrFenced)
		require.ErrorIs(t, s.ForgetPerson(t.Context(), state.Lease{}, state.Forgetting{Keys: []identity.Key{key(1)}}), state.ErrFenced)
		require.ErrorIs(t, s.PruneAudit(t.Context(), state.Lease{}, []audit.Batch{auditKey(t).Prune(b, at(1))}), state.ErrFenced)
		require.Equal(t, u, unsealed(t, s, 10))
	})
}

func auditKey(t testing.TB) audit.Key {
	t.Helper()
	k, err := audit.NewKey(bytes.Repeat([]byte{7}, audit.KeyBytes))
	require.NoError(t, err)
	return k
}

// closedRun begins a run of thePlan and closes three of its ops, not in their order.
func closedRun(t testing.TB, s state.Store, id string) state.Lease {
	t.Helper()
	l := begin(t, s, id)
	for i, r := range []state.OpRef{ref(id, 1, 0), ref(id, 0, 0), ref(id, 0, 1)} {
		o := outcome(r, state.OpDone)
		o.At = at(30 + i)
		if r.Decision == 1 {
			o.AccountID, o.After = accountID(2), account(2)
		}
		require.NoError(t, s.RecordOp(t.Context(), l, o))
	}
	return l
}

func unsealed(t testing.TB, s state.Store, limit int) state.Unsealed {
	t.Helper()
	u, err := s.Unsealed(t.Context(), limit)
	require.NoError(t, err)
	return u
}

func refs(u state.Unsealed) []string {
	var out []string
	for i := range u.Ops {
		out = append(out, u.Ops[i].Ref.String())
	}
	return out
}

// sealed gives the next batch of what is unsealed.
func sealed(t testing.TB, s state.Store, u state.Unsealed) (audit.Batch, []audit.Row) {
	t.Helper()
	batches, err := s.AuditBatches(t.Context(), state.BatchFilter{Limit: 1})
	require.NoError(t, err)
	var last *audit.Batch
	if len(batches) > 0 {
		last = &batches[0]
	}
	events := u.Events()
	salts := make([]audit.Hex, len(events))
	for i := range salts {
		salts[i] = bytes.Repeat([]byte{byte(i)}, audit.SaltBytes)
	}
	b, rows, err := auditKey(t).Seal(last, "01z", events, salts, at(len(events)*100))
	require.NoError(t, err)
	return b, rows
}

func seal(t testing.TB, s state.Store, l state.Lease) (audit.Batch, []audit.Row) {
	t.Helper()
	u := unsealed(t, s, 1000)
	b, rows := sealed(t, s, u)
	require.NoError(t, s.AppendAudit(t.Context(), l, b, rows, u))
	return b, rows
}

func auditRows(t testing.TB, s state.Store, f state.RowFilter) []audit.Row {
	t.Helper()
	rows, err := s.AuditRows(t.Context(), f)
	require.NoError(t, err)
	return rows
}

func auditBatches(t testing.TB, s state.Store, f state.BatchFilter) []audit.Batch {
	t.Helper()
	batches, err := s.AuditBatches(t.Context(), f)
	require.NoError(t, err)
	return batches
}

func unsealedOps(t *testing.T, s state.Store) {
	l := closedRun(t, s, "01a")
	for i, kind := range []string{"hold", "plan", "sync", "rebind"} {
		r := state.Run{ID: fmt.Sprintf("02%d", i), Kind: kind, Status: state.RunDone, Token: l.Token, FinishedAt: at(90 - i), RequestedAt: at(1)}
		save(t, s, r)
	}
	save(t, s, state.Run{ID: "03a", Kind: "hold", Status: state.RunApplying, Token: l.Token, RequestedAt: at(1)})
	u := unsealed(t, s, 10)
	require.Equal(t, []string{"01a/1/0", "01a/0/0", "01a/0/1"}, refs(u), "by the time they were closed; what is open is not there")
	require.Equal(t, listOps(t, s, state.OpFilter{Run: "01a"})[0], u.Ops[1], "as Ops gives it")
	require.Equal(t, map[string]state.Run{"01a": run("01a", l)}, u.Of)
	require.Empty(t, u.Approvals)
	var runs []string
	for _, r := range u.Runs {
		runs = append(runs, r.Kind)
	}
	require.Equal(t, []string{"rebind", "hold"}, runs, "neither plans nor syncs, nor what has not ended")
	events := u.Events()
	require.Len(t, events, 5)
	require.Equal(t, audit.KindRun, events[4].Kind)
	require.Equal(t, "root@host", events[0].Body.RequestedBy)
	require.Equal(t, "because", events[0].Body.Why)
}

func appendAudit(t *testing.T, s state.Store) {
	l := closedRun(t, s, "01a")
	first, rows := seal(t, s, l)
	require.Equal(t, []audit.Batch{first}, auditBatches(t, s, state.BatchFilter{}))
	require.Equal(t, rows, auditRows(t, s, state.RowFilter{}))
	require.Empty(t, unsealed(t, s, 10))

	require.NoError(t, s.RecordOp(t.Context(), l, outcome(ref("01a", 1, 1), state.OpFailed)))
	second, more := seal(t, s, l)
	require.Equal(t, int64(2), second.ID)
	require.Equal(t, []audit.Batch{first, second}, auditBatches(t, s, state.BatchFilter{}))
	require.Equal(t, append(rows, more...), auditRows(t, s, state.RowFilter{}))
}

func appendNothing(t *testing.T, s state.Store) {
	l := closedRun(t, s, "01a")
	u := unsealed(t, s, 10)
	b, rows := sealed(t, s, u)
	for name, c := range map[string]struct {
		want error
		do   func() error
	}{
		"another id":    {state.ErrConflict, func() error { x, r := b, relabel(rows, 2); x.ID = 2; return s.AppendAudit(t.Context(), l, x, r, u) }},
		"a row missing": {state.ErrInvalid, func() error { return s.AppendAudit(t.Context(), l, b, rows[1:], u) }},
		"a NUL byte":    {state.ErrInvalid, func() error { r := relabel(rows, 1); r[1].Body = "\x00"; return s.AppendAudit(t.Context(), l, b, r, u) }},
		"an open op": {state.ErrConflict, func() error {
			x := u
			x.Ops = append([]state.OpRecord{{Ref: ref("01a", 1, 2)}}, u.Ops[1:]...)
			return s.AppendAudit(t.Context(), l, b, rows, x)
		}},
	} {
		require.ErrorIs(t, c.do(), c.want, name)
		require.Empty(t, auditBatches(t, s, state.BatchFilter{}), name)
		require.Empty(t, auditRows(t, s, state.RowFilter{}), name)
		require.Equal(t, u, unsealed(t, s, 10), name)
	}
	require.NoError(t, s.AppendAudit(t.Context(), l, b, rows, u))
	require.ErrorIs(t, s.AppendAudit(t.Context(), l, b, rows, u), state.ErrConflict, "once")
	next, again, err := auditKey(t).Seal(&b, "01z", u.Events(), salts(rows), at(500))
	require.NoError(t, err)
	require.ErrorIs(t, s.AppendAudit(t.Context(), l, next, again, u), state.ErrConflict, "what was sealed is not sealed again")
	require.Len(t, auditRows(t, s, state.RowFilter{}), len(rows))
}

func salts(rows []audit.Row) []audit.Hex {
	var out []audit.Hex
	for _, r := range rows {
		out = append(out, r.Salt)
	}
	return out
}

func relabel(rows []audit.Row, batch int64) []audit.Row {
	out := append([]audit.Row(nil), rows...)
	for i := range out {
		out[i].Batch = batch
	}
	return out
}

func filterBatches(t *testing.T, s state.Store) {
	l := closedRun(t, s, "01a")
	first, _ := seal(t, s, l) // sealed at 300
	require.NoError(t, s.RecordOp(t.Context(), l, outcome(ref("01a", 1, 1), state.OpFailed)))
	second, _ := seal(t, s, l) // at 100
	for name, c := range map[string]struct {
		f    state.BatchFilter
		want []audit.Batch
	}{
		"by id":             {state.BatchFilter{IDs: []int64{2, 9}}, []audit.Batch{second}},
		"since, inclusive":  {state.BatchFilter{Since: at(300)}, []audit.Batch{first}},
		"until, exclusive":  {state.BatchFilter{Until: at(300)}, []audit.Batch{second}},
		"the newest":        {state.BatchFilter{Limit: 1}, []audit.Batch{second}},
		"all must match":    {state.BatchFilter{IDs: []int64{2}, Since: at(300)}, nil},
		"nothing is asked":  {state.BatchFilter{}, []audit.Batch{first, second}},
		"an id there isn't": {state.BatchFilter{IDs: []int64{7}}, nil},
	} {
		require.Equal(t, c.want, auditBatches(t, s, c.f), name)
	}
}

func filterRows(t *testing.T, s state.Store) {
	l := closedRun(t, s, "01a")
	seal(t, s, l)
	save(t, s, state.Run{ID: "02a", Kind: "hold", Status: state.RunDone, Token: l.Token, FinishedAt: at(95), RequestedAt: at(1), RequestedBy: "user.000001"})
	seal(t, s, l)
	for name, c := range map[string]struct {
		f    state.RowFilter
		want []int64
	}{
		"all":                          {state.RowFilter{}, []int64{1, 2, 3, 4}},
		"batches":                      {state.RowFilter{FromBatch: 2, ToBatch: 2}, []int64{4}},
		"up to a batch":                {state.RowFilter{ToBatch: 1}, []int64{1, 2, 3}},
		"run":                          {state.RowFilter{Run: "02a"}, []int64{4}},
		"key":                          {state.RowFilter{Keys: []identity.Key{key(1), key(9)}}, []int64{2, 3}},
		"a person by account":          {state.RowFilter{Person: accountID(2)}, []int64{1}},
		"a person by anchor":           {state.RowFilter{Person: key(1).Anchor}, []int64{2, 3}},
		"a person by key":              {state.RowFilter{Person: key(1).String()}, []int64{2, 3}},
		"a person by username":         {state.RowFilter{Person: "user.000001"}, []int64{2, 3}},
		"part of a username is none":   {state.RowFilter{Person: "user.00000"}, nil},
		"a username that is no JSON":   {state.RowFilter{Person: `us"er%_`}, nil},
		"since, inclusive":             {state.RowFilter{Since: at(32)}, []int64{3, 4}},
		"the newest":                   {state.RowFilter{Limit: 2}, []int64{3, 4}},
		"all must match":               {state.RowFilter{Keys: []identity.Key{key(1)}, Since: at(32)}, []int64{3}},
		"whom an operator's row names": {state.RowFilter{Person: "/"}, nil},
	} {
		var got []int64
		for _, r := range auditRows(t, s, c.f) {
			got = append(got, r.ID)
		}
		require.Equal(t, c.want, got, name)
	}
}

func forgetPerson(t *testing.T, s state.Store) {
	l := closedRun(t, s, "01a")
	_, rows := seal(t, s, l)
	before := listOps(t, s, state.OpFilter{})
	used, open := verdict("used", true, 1, 2), verdict("open", false, 3)
	say(t, s, used, open)
	require.NoError(t, s.UseVerdicts(t.Context(), l, "01b", nil, []string{"used"}, at(7)))
	shown := run("01p", state.Lease{})
	require.NoError(t, s.SavePlan(t.Context(), shown, []plan.Decision{deactivation(1), deactivation(2)}))
	f := state.Forgetting{Keys: []identity.Key{key(1)}}
	for _, r := range rows {
		if r.Key == key(1) {
			f.Rows = append(f.Rows, auditKey(t).Forget(r))
		}
	}
	require.Len(t, f.Rows, 2)
	require.NoError(t, s.ReplaceIndex(t.Context(), l, []state.IndexedAccount{{ID: accountID(1), Username: "ann"}, {ID: accountID(2), Username: "bob"}}))
	require.NoError(t, s.ForgetPerson(t.Context(), l, f))
	index, err := s.Index(t.Context(), state.IndexFilter{})
	require.NoError(t, err)
	require.Equal(t, []state.IndexedAccount{{ID: accountID(2), Username: "bob"}}, index)
	require.Equal(t, f.Rows, auditRows(t, s, state.RowFilter{Keys: f.Keys}))
	require.Equal(t, f.Rows, auditRows(t, s, state.RowFilter{Forgotten: true}))
	require.Equal(t, rows[0], auditRows(t, s, state.RowFilter{})[0], "somebody else's row")

	after := listOps(t, s, state.OpFilter{})
	for i := range before {
		if want := before[i]; want.Key == key(1) {
			want.Username, want.SourceRef, want.Detail, want.Before, want.After, want.Error = "", "", "", nil, nil, ""
			want.Op = state.Blank(want.Op)
			before[i] = want
		}
	}
	require.Equal(t, before, after, "ids, kinds, fields, times and outcomes stay")
	decisions, err := s.Decisions(t.Context(), "01a")
	require.NoError(t, err)
	require.Equal(t, plan.Decision{Key: key(1), Action: plan.Deactivate, Reason: plan.SourceMissing, AccountID: accountID(1)}, decisions[0].Decision)
	require.NotEmpty(t, decisions[1].Decision.Username)
	decisions, err = s.Decisions(t.Context(), "01p")
	require.NoError(t, err)
	require.Equal(t, plan.Decision{Key: key(1), Action: plan.Deactivate, Reason: plan.SourceMissing, AccountID: accountID(1)}, decisions[0].Decision)
	require.Equal(t, deactivation(2), decisions[1].Decision)
	items := said(t, s, state.VerdictFilter{ID: "used"})[0].Items
	require.Equal(t, state.VerdictItem{Key: key(1), AccountID: accountID(1), Action: plan.Deactivate, Ops: []plan.Op{}}, items[0])
	require.Equal(t, used.Items[1], items[1])
	require.Equal(t, open, said(t, s, state.VerdictFilter{ID: "open"})[0])

	require.NoError(t, s.ForgetPerson(t.Context(), l, f), "again")
	f.Rows[0].Personal = "{}"
	require.ErrorIs(t, s.ForgetPerson(t.Context(), l, f), state.ErrInvalid)
	other := auditKey(t).Forget(rows[0])
	require.NotEqual(t, key(1), other.Key)
	require.NoError(t, s.ForgetPerson(t.Context(), l, state.Forgetting{Keys: []identity.Key{key(1)}, Rows: []audit.Row{other}}))
	require.Equal(t, other, auditRows(t, s, state.RowFilter{})[0], "a row of somebody else that names the person")
}

func forgetWords(t *testing.T, s state.Store) {
	l := acquire(t, s)
	about := func(n int, detail, note string) plan.Decision {
		d := deactivation(n)
		d.Detail, d.Notes = detail, []plan.Note{{Field: "email", Reason: plan.EmailTaken, Detail: note}}
		return d
	}
	p := plan.Plan{Decisions: []plan.Decision{
		about(1, `account "ann" (1) has it`, `account "annabel" (2) has it`), about(2, `account "annabel" (2) has it`, `account "ann" (1) has it`),
	}}
	r := run("01a", l)
	r.Message = `entry "ann" is there twice`
	require.NoError(t, s.BeginRun(t.Context(), l, r, p, state.SightingChanges{}))
	for i, text := range []string{`"annabel" was there first`, `"ann" was there first`} {
		o := outcome(ref("01a", i, 0), state.OpFailed)
		o.Error = text
		require.NoError(t, s.RecordOp(t.Context(), l, o))
	}
	require.NoError(t, s.ForgetPerson(t.Context(), l, state.Forgetting{Words: []string{`"ann"`, "50% _"}}))
	got, err := s.Decisions(t.Context(), "01a")
	require.NoError(t, err)
	require.Empty(t, got[0].Decision.Detail)
	require.NotEmpty(t, got[0].Decision.Notes)
	require.NotEmpty(t, got[1].Decision.Detail)
	require.Empty(t, got[1].Decision.Notes)
	require.Empty(t, listRuns(t, s, state.RunFilter{})[0].Message)
	ops := listOps(t, s, state.OpFilter{Statuses: []state.OpStatus{state.OpFailed}})
	require.Equal(t, []string{`"annabel" was there first`, ""}, []string{ops[0].Error, ops[1].Error})
	require.ErrorIs(t, s.ForgetPerson(t.Context(), l, state.Forgetting{Words: []string{""}}), state.ErrInvalid)
}

func forgetBusy(t *testing.T, s state.Store) {
	l := closedRun(t, s, "01a") // of key 2 two ops are still to come
	seal(t, s, l)
	before := listOps(t, s, state.OpFilter{})
	both := state.Forgetting{Keys: []identity.Key{key(1), key(2)}}
	require.ErrorIs(t, s.ForgetPerson(t.Context(), l, both), state.ErrConflict)
	require.Equal(t, before, listOps(t, s, state.OpFilter{}))
	for op := 1; op <= 2; op++ {
		require.NoError(t, s.RecordOp(t.Context(), l, outcome(ref("01a", 1, op), state.OpDropped)))
	}
	require.ErrorIs(t, s.ForgetPerson(t.Context(), l, both), state.ErrConflict, "closed, and not sealed")
	seal(t, s, l)
	require.NoError(t, s.ForgetPerson(t.Context(), l, both))
}

// sealBench seals a thousand ops.
func sealBench(b *testing.B, open Factory) {
	b.Helper()
	s := open(b)
	l := acquire(b, s)
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		id := fmt.Sprintf("%06d", n)
		var p plan.Plan
		for i := range 1000 {
			d := deactivation(i)
			d.Ops = d.Ops[:1]
			p.Decisions = append(p.Decisions, d)
		}
		require.NoError(b, s.BeginRun(b.Context(), l, run(id, l), p, state.SightingChanges{}))
		for i := range 1000 {
			o := outcome(ref(id, i, 0), state.OpDone)
			o.At, o.Before, o.After = at(n).Add(time.Duration(i)*time.Microsecond), account(i), account(i)
			require.NoError(b, s.RecordOp(b.Context(), l, o))
		}
		b.StartTimer()
		seal(b, s, l)
	}
}
