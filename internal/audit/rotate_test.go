package audit_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/audit"
)

// rotated is a history that three keys sealed, one after the other, two batches
// each, with the rows by which they take over.
func rotated(t testing.TB, keys ...audit.Key) audit.Export {
	t.Helper()
	var out audit.Export
	var last *audit.Batch
	seal := func(k audit.Key, events ...audit.Event) {
		salts := make([]audit.Hex, len(events))
		for i := range salts {
			salts[i] = bytes.Repeat([]byte{byte(i + 1)}, audit.SaltBytes)
		}
		b, rows, err := k.Seal(last, "run", events, salts, at(len(out.Batches)))
		require.NoError(t, err)
		out.Batches, out.Rows = append(out.Batches, b), append(out.Rows, rows...)
		last = &b
	}
	says := func(k audit.Keys) audit.Event {
		return audit.Event{At: at(1), Kind: audit.KindRun, Run: "r", Body: audit.Body{RunKind: audit.RunRotate, Keys: &k}}
	}
	for i, k := range keys {
		if i == 0 {
			seal(k, event(0))
		} else {
			seal(k, says(audit.Keys{From: keys[i-1].Fingerprint(), To: k.Fingerprint()}), event(i))
		}
		if i+1 < len(keys) {
			seal(k, event(10+i), says(audit.Keys{To: keys[i+1].Fingerprint()}))
		} else {
			seal(k, event(10+i))
		}
	}
	return out
}

func TestVerify_keysThatWereRotated(t *testing.T) {
	t.Parallel()
	k1, k2, k3 := key(t, 1), key(t, 2), key(t, 3)
	verdict := func(k audit.Key, e audit.Export) audit.Report {
		t.Helper()
		r, err := audit.Verify(k, e.Batches, e.All(), audit.Scope{})
		require.NoError(t, err)
		return r
	}
	all := k3.After(k2.After(k1))
	e := rotated(t, k1, k2, k3)
	t.Run("with all keys at hand the history is whole", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, audit.OK, verdict(all, e).Verdict)
		require.Equal(t, audit.OK, verdict(k2.After(k1), rotated(t, k1, k2)).Verdict)
	})
	for name, c := range map[string]struct {
		key   audit.Key
		first int64
	}{
		"all earlier ones": {k3, 1},
		"the oldest":       {k3.After(k2), 1},
		"one in between":   {k3.After(k1), 3},
	} {
		t.Run("what a missing key sealed is not verified, and nobody is accused: "+name, func(t *testing.T) {
			t.Parallel()
			r := verdict(c.key, e)
			require.Equal(t, audit.Unproven, r.Verdict)
			require.False(t, r.Verdict.Whole())
			require.Equal(t, c.first, r.Findings[0].Batch)
			require.Contains(t, r.Findings[0].Text, "an earlier key that is not at hand: not verified")
			for _, f := range r.Findings {
				require.Equal(t, audit.Unproven, f.Verdict)
			}
		})
	}
	t.Run("what a missing key sealed and does not fit itself was edited all the same", func(t *testing.T) {
		t.Parallel()
		x := audit.Export{Batches: e.Batches, Rows: slices.Clone(e.Rows)}
		x.Rows[1].Kind = "else"
		r := verdict(k3, x)
		require.True(t, slices.ContainsFunc(r.Findings, func(f audit.Finding) bool { return f.Verdict == audit.Edited && f.Row == 2 }))
	})
	t.Run("without a word of the new key it was recomputed as ever", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, audit.Recomputed, verdict(key(t, 9), e).Verdict)
		h := history(t, k1)
		require.Equal(t, audit.Recomputed, verdict(k2, h).Verdict)
	})
	t.Run("an earlier key seals nothing behind a later one's first batch", func(t *testing.T) {
		t.Parallel()
		x := audit.Export{Batches: slices.Clone(e.Batches), Rows: slices.Clone(e.Rows)}
		b, rows, err := k1.Seal(&x.Batches[5], "run", []audit.Event{event(40)}, []audit.Hex{bytes.Repeat([]byte{1}, audit.SaltBytes)}, at(9))
		require.NoError(t, err)
		x.Batches, x.Rows = append(x.Batches, b), append(x.Rows, rows...)
		r := verdict(all, x)
		require.Equal(t, audit.Recomputed, r.Verdict)
		require.Equal(t, int64(7), r.Findings[0].Batch)
	})
	t.Run("what an earlier key forgot and pruned stays forgotten and pruned", func(t *testing.T) {
		t.Parallel()
		x := audit.Export{Batches: slices.Clone(e.Batches), Rows: slices.Clone(e.Rows)}
		x.Rows[0] = k2.Forget(x.Rows[0])
		x.Batches[3] = k2.Prune(x.Batches[3], at(90))
		x.Rows = slices.DeleteFunc(x.Rows, func(r audit.Row) bool { return r.Batch == 4 })
		r := verdict(all, x)
		require.Equal(t, audit.Pruned, r.Verdict)
		require.Equal(t, int64(1), r.Forgotten)
	})
}
