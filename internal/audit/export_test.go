package audit_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/audit"
)

func written(t testing.TB, e audit.Export) string {
	t.Helper()
	var b strings.Builder
	w := audit.NewWriter(&b)
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
		require.Equal(t, h, got)
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
		"of another version":     {`{"format":"mmsync audit 2"}`, "line 1: this is no export"},
		"cut within a line":      {text[:len(text)-9], "it is cut off or was changed"},
		"a key nobody knows":     {head + `{"row":{"id":1,"more":2}}`, "line 2: it is cut off or was changed"},
		"neither batch nor row":  {head + `{}`, "line 2: it holds neither a batch nor a row"},
		"both":                   {head + `{"batch":{},"row":{}}`, "line 2: it holds neither a batch nor a row"},
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
		w := audit.NewWriter(&b)
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
