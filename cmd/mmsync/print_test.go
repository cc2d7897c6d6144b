package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPrintable(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"ada":            "ada",
		"Zoë Müller 王":   "Zoë Müller 王",
		"a\x1b[2Jb":      `"a\x1b[2Jb"`,
		"a\u202eb":       `"a\u202eb"`,
		"line\nbreak":    `"line\nbreak"`,
		`say "hi"`:       `"say \"hi\""`,
		"zero\u200bwide": `"zero\u200bwide"`,
	} {
		require.Equal(t, want, printable(in))
	}
}

func TestSafe(t *testing.T) {
	t.Parallel()
	require.Equal(t, "cannot read \"x\": no\nsecond 'line'", safe("cannot read \"x\": no\nsecond 'line'"), "sentences stay as they are")
	require.Equal(t, `a\x1b[2Jb\u202ec\rd\te`, safe("a\x1b[2Jb\u202ec\rd\te"))
	require.Equal(t, "bad \ufffd byte", safe("bad \xff byte"))
}

func TestApp_table(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	a := &app{stdout: &out}
	require.NoError(t, a.table([]string{"A", "B"}, [][]string{{"ä", "x\ty"}, {"longer", "\x1b[31m"}}))
	require.Equal(t, "A       B\nä       \"x\\ty\"\nlonger  \"\\x1b[31m\"\n", out.String(), "a cell cannot break its column")
	out.Reset()
	require.NoError(t, a.table([]string{"A"}, [][]string{{`title "\x1b" -> x`}}))
	require.Equal(t, "A\ntitle \"\\x1b\" -> x\n", out.String(), "nothing is escaped twice")
}

func TestRound(t *testing.T) {
	t.Parallel()
	require.Equal(t, "57ms", round(57400*time.Microsecond).String())
	require.Equal(t, "2.3s", round(2349*time.Millisecond).String())
}

func TestParseLimit(t *testing.T) {
	t.Parallel()
	for in, allowed := range map[string]int{"0": 0, "20": 20, "5%": 0, "50%": 5, "0%": 0, "100%": 10} {
		l, ok := parseLimit(in)
		require.True(t, ok, in)
		require.Equal(t, allowed, l.Allowed(10), "%s of ten people, fewer than the configuration's smallest base", in)
	}
	for _, in := range []string{"", "%", "-1", "2.5", "1e3", "NaN%", "Inf%", "101%", "-5%", "ten", "5 %"} {
		_, ok := parseLimit(in)
		require.False(t, ok, in)
	}
}
