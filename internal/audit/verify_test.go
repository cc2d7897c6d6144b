package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func key(t testing.TB, n byte) audit.Key {
	t.Helper()
	k, err := audit.NewKey(bytes.Repeat([]byte{n}, audit.KeyBytes))
	require.NoError(t, err)
	return k
}

func at(minutes int) time.Time {
	return time.Date(2026, 3, 4, 5, 6, 7, 123456000, time.UTC).Add(time.Duration(minutes) * time.Minute)
}

func event(n int) audit.Event {
	return audit.Event{
		At: at(n), Kind: string(plan.PatchProfile), Run: fmt.Sprintf("run-%d", n/3), AccountID: fmt.Sprintf("account%d", n),
		Key:      identity.Key{Source: "corp", Anchor: fmt.Sprint(n)},
		Body:     audit.Body{Op: fmt.Sprintf("run-%d/0/%d", n/3, n), RunKind: "sync", RequestedBy: "root@host", Status: "done", Fields: []plan.Field{"email"}},
		Personal: audit.Personal{Username: fmt.Sprintf("user%d", n), Values: []plan.Change{{Field: "email", From: "a@x", To: fmt.Sprintf("b%d@x", n)}}},
	}
}

// history is five batches of three, two, one, three and two rows.
func history(t testing.TB, k audit.Key) audit.Export {
	t.Helper()
	var out audit.Export
	n := 0
	for _, size := range []int{3, 2, 1, 3, 2} {
		var events []audit.Event
		var salts []audit.Hex
		for range size {
			events = append(events, event(n))
			salts = append(salts, bytes.Repeat([]byte{byte(n + 1)}, audit.SaltBytes))
			n++
		}
		var last *audit.Batch
		if len(out.Batches) > 0 {
			last = &out.Batches[len(out.Batches)-1]
		}
		b, rows, err := k.Seal(last, fmt.Sprintf("run-%d", n), events, salts, at(n))
		require.NoError(t, err)
		out.Batches, out.Rows = append(out.Batches, b), append(out.Rows, rows...)
	}
	return out
}

func (w *tampered) verify(t testing.TB, s audit.Scope) audit.Report {
	t.Helper()
	r, err := audit.Verify(w.key, w.Batches, w.All(), s)
	require.NoError(t, err)
	return r
}

// tampered is a history somebody has got at.
type tampered struct {
	audit.Export
	key audit.Key
}

// reseal gives batches from one on what they would have under a key: digests, root,
// previous and seal.
func (w *tampered) reseal(t testing.TB, from int, k audit.Key) {
	t.Helper()
	for i := from; i < len(w.Batches); i++ {
		b := &w.Batches[i]
		var events []audit.Event
		var salts []audit.Hex
		for _, r := range w.Rows[b.FirstRow-1 : b.FirstRow-1+b.Rows] {
			body, err := audit.ReadBody(r)
			require.NoError(t, err)
			personal, err := audit.ReadPersonal(r)
			require.NoError(t, err)
			events = append(events, audit.Event{At: r.At, Kind: r.Kind, Run: r.Run, Key: r.Key, AccountID: r.AccountID, Body: body, Personal: personal})
			salts = append(salts, r.Salt)
		}
		var last *audit.Batch
		if i > 0 {
			last = &w.Batches[i-1]
		}
		made, rows, err := k.Seal(last, b.Run, events, salts, b.SealedAt)
		require.NoError(t, err)
		*b = made
		copy(w.Rows[b.FirstRow-1:], rows)
	}
}

func (w *tampered) drop(batch int64, rowsToo bool) {
	w.Batches = slices.DeleteFunc(w.Batches, func(b audit.Batch) bool { return b.ID == batch })
	if rowsToo {
		w.dropRows(batch)
	}
}

func (w *tampered) dropRows(batch int64) {
	w.Rows = slices.DeleteFunc(w.Rows, func(r audit.Row) bool { return r.Batch == batch })
}

// raise makes a row say that something else was done.
func raise(r *audit.Row) {
	r.Body = `{"op":"run-1/0/5","run_kind":"sync","requested_by":"nobody@host","status":"failed"}`
}

func TestVerify(t *testing.T) {
	t.Parallel()
	const ok, edited, cut, recomputed = audit.OK, audit.Edited, audit.Cut, audit.Recomputed
	type place struct {
		verdict    audit.Verdict
		batch, row int64
	}
	for name, c := range map[string]struct {
		do   func(t *testing.T, w *tampered)
		head int // which batch's head is kept outside; 0 for none
		want place
	}{
		"nobody touched it":               {func(*testing.T, *tampered) {}, 5, place{ok, 0, 0}},
		"nor without a head":              {func(*testing.T, *tampered) {}, 0, place{ok, 0, 0}},
		"a head that lags":                {func(*testing.T, *tampered) {}, 2, place{ok, 0, 0}},
		"a body":                          {func(_ *testing.T, w *tampered) { raise(&w.Rows[4]) }, 0, place{edited, 2, 5}},
		"a value":                         {func(_ *testing.T, w *tampered) { w.Rows[4].Personal = `{"username":"mallory"}` }, 0, place{edited, 2, 5}},
		"a salt":                          {func(_ *testing.T, w *tampered) { w.Rows[4].Salt = bytes.Repeat([]byte{9}, 16) }, 0, place{edited, 2, 5}},
		"an account":                      {func(_ *testing.T, w *tampered) { w.Rows[4].AccountID = "other" }, 0, place{edited, 2, 5}},
		"a time":                          {func(_ *testing.T, w *tampered) { w.Rows[4].At = at(99) }, 0, place{edited, 2, 5}},
		"a run":                           {func(_ *testing.T, w *tampered) { w.Rows[4].Run = "run-9" }, 0, place{edited, 2, 5}},
		"a kind":                          {func(_ *testing.T, w *tampered) { w.Rows[4].Kind = "run" }, 0, place{edited, 2, 5}},
		"a person":                        {func(_ *testing.T, w *tampered) { w.Rows[4].Key.Anchor = "0" }, 0, place{edited, 2, 5}},
		"a row's digest":                  {func(_ *testing.T, w *tampered) { w.Rows[4].Digest = w.Rows[3].Digest }, 0, place{edited, 2, 5}},
		"a row moved to another batch":    {func(_ *testing.T, w *tampered) { w.Rows[4].Batch = 3 }, 0, place{edited, 2, 5}},
		"two rows exchanged":              {func(_ *testing.T, w *tampered) { swap(w, 0, 1) }, 0, place{edited, 1, 1}},
		"a row added":                     {func(_ *testing.T, w *tampered) { w.Rows = append(w.Rows, w.Rows[0]) }, 0, place{edited, 5, 1}},
		"a row and its digests":           {func(t *testing.T, w *tampered) { raise(&w.Rows[4]); w.onlyRows(t, 1) }, 0, place{edited, 2, 0}},
		"a row, its digests and the root": {func(t *testing.T, w *tampered) { raise(&w.Rows[4]); w.allButSeal(t, 1) }, 0, place{edited, 2, 0}},
		"the same in the last batch, with a head": {func(t *testing.T, w *tampered) { raise(&w.Rows[10]); w.allButSeal(t, 4) }, 5, place{edited, 5, 0}},
		"the same in the last batch, without":     {func(t *testing.T, w *tampered) { raise(&w.Rows[10]); w.allButSeal(t, 4) }, 0, place{recomputed, 5, 0}},
		"a batch's time":                          {func(_ *testing.T, w *tampered) { w.Batches[2].SealedAt = at(77) }, 0, place{edited, 3, 0}},
		"a batch's run":                           {func(_ *testing.T, w *tampered) { w.Batches[2].Run = "run-77" }, 0, place{edited, 3, 0}},
		"a batch's root":                          {func(_ *testing.T, w *tampered) { w.Batches[2].Root = w.Batches[1].Root }, 0, place{edited, 3, 0}},
		"a batch's seal":                          {func(_ *testing.T, w *tampered) { w.Batches[2].Seal = w.Batches[1].Seal }, 0, place{edited, 3, 0}},
		"a batch's previous":                      {func(_ *testing.T, w *tampered) { w.Batches[2].Previous = nil }, 0, place{edited, 3, 0}},
		"a batch exchanged for a genuine one":     {func(t *testing.T, w *tampered) { w.fork(t) }, 0, place{edited, 3, 0}},
		"a row taken away":                        {func(_ *testing.T, w *tampered) { w.Rows = slices.Delete(w.Rows, 4, 5) }, 0, place{cut, 2, 5}},
		"the last row":                            {func(_ *testing.T, w *tampered) { w.Rows = w.Rows[:10] }, 0, place{cut, 5, 11}},
		"a batch's rows":                          {func(_ *testing.T, w *tampered) { w.dropRows(3) }, 0, place{cut, 3, 0}},
		"a batch with its rows":                   {func(_ *testing.T, w *tampered) { w.drop(3, true) }, 0, place{cut, 4, 0}},
		"a batch without its rows":                {func(_ *testing.T, w *tampered) { w.drop(3, false) }, 0, place{cut, 4, 0}},
		"the first batch":                         {func(_ *testing.T, w *tampered) { w.drop(1, true) }, 0, place{cut, 2, 0}},
		"the last batch, with a head":             {func(_ *testing.T, w *tampered) { w.drop(5, true) }, 5, place{cut, 4, 0}},
		"the last batch, leaving its rows":        {func(_ *testing.T, w *tampered) { w.drop(5, false) }, 0, place{cut, 5, 10}},
		"everything, with a head":                 {func(_ *testing.T, w *tampered) { w.Export = audit.Export{} }, 5, place{cut, 0, 0}},
		"cut and sealed anew with the key":        {func(t *testing.T, w *tampered) { w.anew(t) }, 5, place{cut, 5, 0}},
		"recomputed with another key":             {func(t *testing.T, w *tampered) { raise(&w.Rows[4]); w.reseal(t, 1, key(t, 2)) }, 0, place{recomputed, 2, 0}},
		"the same, and the head is kept":          {func(t *testing.T, w *tampered) { raise(&w.Rows[4]); w.reseal(t, 1, key(t, 2)) }, 5, place{recomputed, 2, 0}},
		"from the beginning":                      {func(t *testing.T, w *tampered) { w.reseal(t, 0, key(t, 2)) }, 0, place{recomputed, 1, 0}},
		"one batch in the middle":                 {func(t *testing.T, w *tampered) { raise(&w.Rows[4]); w.one(t, 1) }, 0, place{recomputed, 2, 0}},
		"pruned by hand":                          {func(_ *testing.T, w *tampered) { w.dropRows(1); w.Batches[0].PrunedAt = at(90) }, 0, place{cut, 1, 0}},
		"pruned with another key":                 {func(t *testing.T, w *tampered) { w.dropRows(1); w.Batches[0] = key(t, 2).Prune(w.Batches[0], at(90)) }, 0, place{cut, 1, 0}},
		"marked as pruned, rows there":            {func(_ *testing.T, w *tampered) { w.Batches[0] = w.key.Prune(w.Batches[0], at(90)) }, 0, place{edited, 1, 0}},
		"pruned, and the time of it":              {func(_ *testing.T, w *tampered) { w.prune(1); w.Batches[0].PrunedAt = at(91) }, 0, place{cut, 1, 0}},
		"pruned, and the batch's time":            {func(_ *testing.T, w *tampered) { w.prune(1); w.Batches[0].SealedAt = at(91) }, 0, place{edited, 1, 0}},
		"pruned, the last one, and its time":      {func(_ *testing.T, w *tampered) { w.prune(5); w.Batches[4].SealedAt = at(91) }, 0, place{edited, 5, 0}},
		"a row put before the first":              {func(_ *testing.T, w *tampered) { w.Rows = slices.Insert(w.Rows, 0, audit.Row{ID: -3, Batch: 1}) }, 0, place{edited, 1, -3}},
		"a row put behind the last":               {func(_ *testing.T, w *tampered) { w.Rows = append(w.Rows, audit.Row{ID: 12, Batch: 5}) }, 0, place{edited, 5, 12}},
		"forgotten by hand":                       {func(_ *testing.T, w *tampered) { w.Rows[4].Personal, w.Rows[4].Salt = "", nil }, 0, place{edited, 2, 5}},
		"forgotten with another key":              {func(t *testing.T, w *tampered) { w.Rows[4] = key(t, 2).Forget(w.Rows[4]) }, 0, place{edited, 2, 5}},
		"forgotten, with another row's proof": {func(_ *testing.T, w *tampered) {
			w.Rows[4] = w.key.Forget(w.Rows[4])
			w.Rows[4].ForgetMAC = w.key.Forget(w.Rows[3]).ForgetMAC
		}, 0, place{edited, 2, 5}},
		"a proof of forgetting beside the values":          {func(_ *testing.T, w *tampered) { w.Rows[4].ForgetMAC = w.key.Forget(w.Rows[4]).ForgetMAC }, 0, place{edited, 2, 5}},
		"pruned by mmsync":                                 {func(_ *testing.T, w *tampered) { w.prune(1); w.prune(2) }, 5, place{audit.Pruned, 0, 0}},
		"forgotten by mmsync":                              {func(_ *testing.T, w *tampered) { w.Rows[4] = w.key.Forget(w.Rows[4]) }, 5, place{audit.Forgotten, 0, 0}},
		"pruned and forgotten, and then a body was edited": {func(_ *testing.T, w *tampered) { w.prune(1); w.Rows[2] = w.key.Forget(w.Rows[2]); raise(&w.Rows[2]) }, 5, place{edited, 3, 6}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := key(t, 1)
			w := &tampered{history(t, k), k}
			var s audit.Scope
			if c.head > 0 {
				h := audit.HeadOf(w.Batches[c.head-1])
				s.Head = &h
			}
			c.do(t, w)
			r := w.verify(t, s)
			got := place{verdict: r.Verdict}
			if len(r.Findings) > 0 {
				got.batch, got.row = r.Findings[0].Batch, r.Findings[0].Row
			}
			require.Equal(t, c.want, got, "%+v", r.Findings)
			require.Equal(t, r.Verdict.Whole(), len(r.Findings) == 0)
		})
	}
}

func swap(w *tampered, i, j int) {
	a, b := w.Rows[i], w.Rows[j]
	a.ID, b.ID = b.ID, a.ID
	w.Rows[i], w.Rows[j] = b, a
}

func (w *tampered) prune(batch int64) {
	w.dropRows(batch)
	w.Batches[batch-1] = w.key.Prune(w.Batches[batch-1], at(90))
}

// onlyRows gives the rows of a batch digests that fit, and leaves the batch alone.
func (w *tampered) onlyRows(t testing.TB, i int) {
	t.Helper()
	was := slices.Clone(w.Batches)
	w.reseal(t, i, key(t, 2))
	w.Batches = was
	fresh := history(t, w.key)
	for j := range fresh.Rows {
		if fresh.Rows[j].Batch != int64(i+1) {
			w.Rows[j] = fresh.Rows[j]
		}
	}
}

// allButSeal makes a batch fit its rows, but for the seal, which is left.
func (w *tampered) allButSeal(t testing.TB, i int) {
	t.Helper()
	seal := w.Batches[i].Seal
	w.one(t, i)
	w.Batches[i].Seal = seal
}

// one seals a single batch with another key.
func (w *tampered) one(t testing.TB, i int) {
	t.Helper()
	was := slices.Clone(w.Batches)
	w.onlyRows(t, i)
	w.reseal(t, i, key(t, 2))
	copy(w.Batches[i+1:], was[i+1:])
	fresh := history(t, w.key)
	for j := range fresh.Rows {
		if fresh.Rows[j].Batch != int64(i+1) {
			w.Rows[j] = fresh.Rows[j]
		}
	}
}

// fork puts a batch in the place of the third that the key made as well, after a
// restore that was not noticed.
func (w *tampered) fork(t testing.TB) {
	t.Helper()
	b := &w.Batches[2]
	made, rows, err := w.key.Seal(&w.Batches[1], "run-77", []audit.Event{event(70)}, []audit.Hex{bytes.Repeat([]byte{7}, 16)}, at(70))
	require.NoError(t, err)
	*b = made
	w.Rows[b.FirstRow-1] = rows[0]
}

// anew cuts the last batch off and seals another in its place, as a restored store
// that goes on does.
func (w *tampered) anew(t testing.TB) {
	t.Helper()
	w.drop(5, true)
	made, rows, err := w.key.Seal(&w.Batches[3], "run-77", []audit.Event{event(70)}, []audit.Hex{bytes.Repeat([]byte{7}, 16)}, at(70))
	require.NoError(t, err)
	w.Batches, w.Rows = append(w.Batches, made), append(w.Rows, rows...)
}

func TestVerify_counts(t *testing.T) {
	t.Parallel()
	k := key(t, 1)
	w := &tampered{history(t, k), k}
	w.prune(1)
	w.Rows[3] = k.Forget(w.Rows[3])
	r := w.verify(t, audit.Scope{})
	require.Equal(t, audit.Report{Verdict: audit.Pruned, First: 1, Last: 5, Rows: 8, Pruned: 1, Forgotten: 1, Seal: w.Batches[4].Seal}, r)
}

func TestVerify_part(t *testing.T) {
	t.Parallel()
	k := key(t, 1)
	w := &tampered{history(t, k), k}
	w.drop(1, true)
	w.drop(2, true)
	head := audit.HeadOf(w.Batches[2])
	require.Equal(t, audit.OK, w.verify(t, audit.Scope{Part: true, Head: &head}).Verdict)
	require.Equal(t, audit.Cut, w.verify(t, audit.Scope{Head: &head}).Verdict, "of the whole it is the end alone")
	require.Equal(t, audit.OK, w.verify(t, audit.Scope{Part: true, Head: &audit.Head{Seal: head.Seal}}).Verdict, "a head whose number is not known")
	require.Equal(t, audit.Cut, w.verify(t, audit.Scope{Part: true, Head: &audit.Head{Seal: history(t, key(t, 2)).Batches[4].Seal}}).Verdict)
}

func TestVerify_headWithoutNumber(t *testing.T) {
	t.Parallel()
	k := key(t, 1)
	w := &tampered{history(t, k), k}
	seal := w.Batches[4].Seal
	w.Batches[4].SealedAt = at(91)
	require.Equal(t, audit.Edited, w.verify(t, audit.Scope{Head: &audit.Head{Seal: seal}}).Verdict, "the head vouches for the seal")
	require.Equal(t, audit.Recomputed, w.verify(t, audit.Scope{}).Verdict, "nothing does")
}

// Whatever one change somebody makes without the key, it is never taken for a whole
// history.
func TestVerify_noChangeIsMissed(t *testing.T) {
	t.Parallel()
	k := key(t, 1)
	whole := history(t, k)
	head := audit.HeadOf(whole.Batches[4])
	for seed := range uint64(4000) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := &tampered{history(t, k), k}
		if r.IntN(2) == 0 {
			w.prune(1)
		}
		if r.IntN(2) == 0 {
			w.Rows[len(w.Rows)-2] = k.Forget(w.Rows[len(w.Rows)-2])
		}
		require.True(t, w.verify(t, audit.Scope{Head: &head}).Verdict.Whole(), "seed %d", seed)
		what := meddle(t, r, w)
		require.False(t, w.verify(t, audit.Scope{Head: &head}).Verdict.Whole(), "seed %d: %s", seed, what)
	}
}

func meddle(t testing.TB, r *rand.Rand, w *tampered) string {
	t.Helper()
	flip := func(h *audit.Hex) {
		c := slices.Clone(*h)
		if len(c) == 0 {
			c = audit.Hex{1}
		}
		c[r.IntN(len(c))] ^= byte(1 + r.IntN(255))
		*h = c
	}
	i, j := r.IntN(len(w.Rows)), r.IntN(len(w.Batches))
	row, batch := &w.Rows[i], &w.Batches[j]
	what := r.IntN(18)
	switch what {
	case 0:
		row.Body += " "
	case 1:
		row.Personal += " "
	case 2:
		flip(&row.Salt)
	case 3:
		flip(&row.PersonalDigest)
	case 4:
		flip(&row.ForgetMAC)
	case 5:
		row.At = row.At.Add(time.Microsecond)
	case 6:
		row.Key.Source, row.Key.Anchor = row.Key.Source+row.Key.Anchor[:1], row.Key.Anchor[1:]
	case 7:
		w.Rows = slices.Delete(w.Rows, i, i+1)
	case 8:
		w.Rows = slices.Insert(w.Rows, i, *row)
	case 9:
		flip(&batch.Root)
	case 10:
		flip(&batch.Seal)
	case 11:
		flip(&batch.Previous)
	case 12:
		batch.SealedAt = batch.SealedAt.Add(time.Microsecond)
	case 13:
		batch.Rows += int64(1 - 2*r.IntN(2))
	case 14:
		batch.FirstRow += int64(1 - 2*r.IntN(2))
	case 15:
		batch.PrunedAt = at(99)
	case 16:
		w.drop(batch.ID, r.IntN(2) == 0)
	case 17:
		flip(&batch.PruneMAC)
	}
	return fmt.Sprintf("%d of row %d or batch %d", what, i, j)
}

func TestVerify_aRowThatCannotBeRead(t *testing.T) {
	t.Parallel()
	k := key(t, 1)
	h := history(t, k)
	gone := errors.New("the database is away")
	broken := iter.Seq2[audit.Row, error](func(yield func(audit.Row, error) bool) {
		if yield(h.Rows[0], nil) {
			yield(audit.Row{}, gone)
		}
	})
	_, err := audit.Verify(k, h.Batches, broken, audit.Scope{})
	require.ErrorIs(t, err, gone, "it is not taken for the end")
}
