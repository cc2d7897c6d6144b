package audit_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/audit"
)

func written(t testing.TB, e audit.Export) string {
	t.Helper()
	var b strings.Builder
	w := audit.NewWriter(&b, nil)
	require.NoError(t, w.Begin())
	next := 0
	for _, batch := range e.Batches {
		require.NoError(t, w.Batch(batch))
		for next < len(e.Rows) && e.Rows[next].Batch == batch.ID {
			require.NoError(t, w.Row(e.Rows[next]))
			next++
		}
	}
	return b.String()
}

func TestRead(t *testing.T) {
	t.Parallel()
	k := key(t, 1)
	h := history(t, k)
	h.Rows[3] = k.Forget(h.Rows[3])
	h.Batches[4] = k.Prune(h.Batches[4], at(90))
	h.Rows = h.Rows[:9]
	text := written(t, h)
	t.Run("what was written comes back, byte for byte", func(t *testing.T) {
		t.Parallel()
		got, err := audit.Read(strings.NewReader(text))
		require.NoError(t, err)
		require.Equal(t, h.Batches, got.Batches)
		require.Equal(t, h.Rows, got.Rows)
		head := audit.HeadOf(h.Batches[4])
		r, err := audit.Verify(k, got.Batches, got.All(), audit.Scope{Head: &head})
		require.NoError(t, err)
		require.Equal(t, audit.Pruned, r.Verdict)
	})
	t.Run("a file cut at the end of a line is cut", func(t *testing.T) {
		t.Parallel()
		lines := strings.SplitAfter(text, "\n")
		got, err := audit.Read(strings.NewReader(strings.Join(lines[:7], "")))
		require.NoError(t, err)
		r, err := audit.Verify(k, got.Batches, got.All(), audit.Scope{Part: true})
		require.NoError(t, err)
		require.Equal(t, audit.Cut, r.Verdict)
	})
	head := `{"format":"mmsync audit 1"}` + "\n"
	for name, c := range map[string]struct{ text, want string }{
		"nothing":                {"", "it is empty"},
		"something else":         {"id,login\n", "line 1: this is no export"},
		"of another version":     {`{"format":"mmsync audit 3"}`, "line 1: this is no export"},
		"cut within a line":      {text[:len(text)-9], "it is cut off or was changed"},
		"a key nobody knows":     {head + `{"row":{"id":1,"more":2}}`, "line 2: it is cut off or was changed"},
		"neither batch nor row":  {head + `{}`, "line 2: it holds not exactly one of a batch, a row, something kept and the end"},
		"both":                   {head + `{"batch":{},"row":{}}`, "line 2: it holds not exactly one of a batch, a row, something kept and the end"},
		"two on one line":        {head + `{"row":{}}{"row":{}}`, "line 2: it holds more than one object"},
		"not UTF-8":              {head + "{\"row\":{\"kind\":\"\xff\"}}", "line 2: it is not UTF-8"},
		"a seal that is no such": {head + `{"batch":{"seal":"0g"}}`, "line 2: it is cut off or was changed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := audit.Read(strings.NewReader(c.text))
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestExport_Check(t *testing.T) {
	t.Parallel()
	k := key(t, 1)
	h := history(t, k)
	var b strings.Builder
	w := audit.NewWriter(&b, &k)
	require.NoError(t, w.Begin())
	next := 0
	for _, batch := range h.Batches {
		require.NoError(t, w.Batch(batch))
		for ; next < len(h.Rows) && h.Rows[next].Batch == batch.ID; next++ {
			require.NoError(t, w.Row(h.Rows[next]))
		}
	}
	require.NoError(t, w.Keep(`{"link":1}`))
	require.NoError(t, w.Keep(`{"link":2}`))
	head := audit.HeadOf(h.Batches[len(h.Batches)-1])
	require.NoError(t, w.End(head))
	lines := strings.SplitAfter(b.String(), "\n")
	lines = lines[:len(lines)-1]
	n := len(lines)
	check := func(lines []string, k audit.Key) (audit.Report, int) {
		t.Helper()
		e, err := audit.Read(strings.NewReader(strings.Join(lines, "")))
		require.NoError(t, err)
		r, err := e.Check(k, nil)
		require.NoError(t, err)
		if len(r.Findings) == 0 {
			return r, 0
		}
		return r, e.Line(r.Findings[0])
	}
	without := func(i int) []string { return slices.Concat(lines[:i], lines[i+1:]) }
	t.Run("what was kept comes back, with the head of its time", func(t *testing.T) {
		t.Parallel()
		e, err := audit.Read(strings.NewReader(b.String()))
		require.NoError(t, err)
		require.Equal(t, []string{`{"link":1}`, `{"link":2}`}, e.Kept)
		require.Equal(t, head, e.End.Head)
		r, _ := check(lines, k)
		require.Equal(t, audit.OK, r.Verdict)
	})
	t.Run("a file without its end was cut, and nothing stands behind it", func(t *testing.T) {
		t.Parallel()
		_, err := audit.Read(strings.NewReader(strings.Join(lines[:n-1], "")))
		require.ErrorContains(t, err, fmt.Sprintf("line %d is the last, and does not end it", n-1))
		_, err = audit.Read(strings.NewReader(b.String() + lines[n-2]))
		require.ErrorContains(t, err, fmt.Sprintf("line %d: it stands behind the end", n+1))
	})
	for name, changed := range map[string][]string{
		"something kept less":    without(n - 2),
		"something kept twice":   slices.Insert(slices.Clone(lines), n-1, lines[n-2]),
		"something kept changed": slices.Replace(slices.Clone(lines), n-2, n-1, strings.Replace(lines[n-2], "2", "3", 1)),
	} {
		t.Run(name+" is edited", func(t *testing.T) {
			t.Parallel()
			r, line := check(changed, k)
			require.Equal(t, audit.Edited, r.Verdict)
			require.Equal(t, len(changed), line, "the end says so")
		})
	}
	t.Run("an end that another key made is edited", func(t *testing.T) {
		t.Parallel()
		r, _ := check(lines, key(t, 2))
		require.False(t, r.Verdict.Whole())
	})
	t.Run("a history that ends before the head of its time was cut", func(t *testing.T) {
		t.Parallel()
		at := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, fmt.Sprintf(`"batch":{"id":%d`, len(h.Batches))) })
		r, _ := check(slices.Concat(lines[:at], lines[n-3:]), k)
		require.Equal(t, audit.Cut, r.Verdict)
	})
	t.Run("a row that is edited is named by its line", func(t *testing.T) {
		t.Parallel()
		at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, `{"row"`) })
		changed := slices.Replace(slices.Clone(lines), at, at+1, strings.Replace(lines[at], `"kind":"`, `"kind":"x`, 1))
		r, line := check(changed, k)
		require.Equal(t, audit.Edited, r.Verdict)
		require.Equal(t, at+1, line)
	})
}

// Whatever an export holds, reading it ends, and what was read can be written and
// read again.
func FuzzRead(f *testing.F) {
	k := key(f, 1)
	h := history(f, k)
	f.Add(written(f, h))
	f.Add(`{"format":"mmsync audit 1"}` + "\n" + `{"batch":{"id":9223372036854775807,"rows":-1,"first_row":-9223372036854775808}}` + "\n" + `{"row":{"id":0}}`)
	f.Fuzz(func(t *testing.T, text string) {
		e, err := audit.Read(strings.NewReader(text))
		if err != nil {
			return
		}
		var b bytes.Buffer
		w := audit.NewWriter(&b, nil)
		require.NoError(t, w.Begin())
		for _, batch := range e.Batches {
			if w.Batch(batch) != nil {
				return // a year that JSON cannot hold
			}
		}
		for _, row := range e.Rows {
			if w.Row(row) != nil {
				return
			}
		}
		again, err := audit.Read(&b)
		require.NoError(t, err)
		require.Len(t, again.Batches, len(e.Batches))
		require.Len(t, again.Rows, len(e.Rows))
		one, err := audit.Verify(k, e.Batches, e.All(), audit.Scope{Part: true})
		require.NoError(t, err)
		two, err := audit.Verify(k, again.Batches, again.All(), audit.Scope{Part: true})
		require.NoError(t, err)
		require.Equal(t, one.Verdict, two.Verdict)
	})
}

func TestKey_isNeverPrinted(t *testing.T) {
	t.Parallel()
	k, err := audit.NewKey(bytes.Repeat([]byte("S"), audit.KeyBytes))
	require.NoError(t, err)
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", k)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", k)
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %q %x %d", k, k, k, k, k, k, k), log.String()} {
		for _, shape := range []string{"SSSS", "53535353", "83 83", "0x53"} {
			require.NotContains(t, text, shape)
		}
	}
	for _, n := range []int{0, 31, 33} {
		_, err := audit.NewKey(make([]byte, n))
		require.Error(t, err)
	}
}
