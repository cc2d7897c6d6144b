package sources

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// docs/mapping.md has every function, and what it shows compiles.
func TestDocs_mapping(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../docs/mapping.md")
	require.NoError(t, err)
	text := string(data)
	for _, name := range ownFunctions(t) {
		require.Regexp(t, "`(x\\.)?"+name+`\(`, text, "%s is not described", name)
	}
	_, rest, ok := strings.Cut(text, "## Who has left")
	require.True(t, ok)
	table, anchors, ok := strings.Cut(rest, "## Anchors")
	require.True(t, ok)
	shown := 0
	for _, row := range regexp.MustCompile("(?m)^\\|[^`\\n]+\\| `(attr[^`]+|[a-zA-Z]+\\([^`]+)` \\|$").FindAllStringSubmatch(table, -1) {
		r := basicRules()
		r.DisabledWhen = Expr{Source: strings.ReplaceAll(row[1], `\|`, "|")}
		_, err := Compile("corp", r, CompileOptions{})
		require.NoError(t, err, row[1])
		shown++
	}
	for _, row := range regexp.MustCompile("(?m)^\\|[^`\\n]+\\| `(attr[^`]+)` \\|$").FindAllStringSubmatch(anchors, -1) {
		r := basicRules()
		r.ID = Expr{Source: row[1]}
		m, err := Compile("corp", r, CompileOptions{})
		require.NoError(t, err, row[1])
		_, _, ok := m.AnchorAttribute()
		require.True(t, ok, "%s cannot be searched for", row[1])
		shown++
	}
	require.Equal(t, 10, shown)
}

// ownFunctions are the functions that expr.go adds to the engine's.
func ownFunctions(t *testing.T) []string {
	t.Helper()
	source, err := os.ReadFile("expr.go")
	require.NoError(t, err)
	var names []string
	for _, f := range regexp.MustCompile(`cel\.Function\("(\w+)"`).FindAllStringSubmatch(string(source), -1) {
		names = append(names, f[1])
	}
	require.Greater(t, len(names), 10)
	return names
}

// Who mistypes a function is offered every one there is, and none that is not.
func TestFunctionNames(t *testing.T) {
	t.Parallel()
	names := functionNames()
	for _, name := range ownFunctions(t) {
		require.Contains(t, names, name)
	}
	e, err := newEngine("corp", time.Now)
	require.NoError(t, err)
	known := e.env.Functions()
	for _, name := range names {
		require.Contains(t, known, name)
	}
}
