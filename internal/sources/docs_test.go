package sources

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// docs/mapping.md has every function, and what it shows compiles.
func TestDocs_mapping(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../docs/mapping.md")
	require.NoError(t, err)
	text := string(data)
	source, err := os.ReadFile("expr.go")
	require.NoError(t, err)
	own := regexp.MustCompile(`cel\.Function\("(\w+)"`).FindAllStringSubmatch(string(source), -1)
	require.Greater(t, len(own), 10)
	for _, f := range own {
		require.Regexp(t, "`(x\\.)?"+f[1]+`\(`, text, "%s is not described", f[1])
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
