package traps

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDocumented demands that each row of the tables of docs/ldap-safety.md names
// tests, and that these are there: the function, and each part's name as text in a
// test of the package, or as a file of its testdata. Whether they pass is their own
// matter.
func TestDocumented(t *testing.T) {
	t.Parallel()
	dir := root(t)
	data, err := os.ReadFile(filepath.Join(dir, "docs", "ldap-safety.md"))
	require.NoError(t, err)
	named := regexp.MustCompile("`([a-z0-9/]+ Test[^`]+)`")
	rows, whole := 0, ""
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) != 3 || strings.HasPrefix(cells[2], "shown by") {
			require.False(t, strings.HasPrefix(line, "| ") && len(cells) != 3, "not three cells: %s", line)
			continue
		}
		rows++
		proofs := named.FindAllStringSubmatch(cells[2], -1)
		require.NotEmpty(t, proofs, "a row without a test: %s", line)
		require.Equal(t, "|", strings.TrimSpace(named.ReplaceAllString(cells[2], "")), "not a test: %s", line)
		for _, p := range proofs {
			pkg, name, _ := strings.Cut(p[1], " ")
			requireTest(t, dir, proof{"internal/" + pkg, name})
			requireParts(t, filepath.Join(dir, "internal", filepath.FromSlash(pkg)), name)
			whole += p[1] + "\n"
		}
	}
	require.Greater(t, rows, 50)
	for _, function := range []string{"TestTraps_reading", "TestTraps_changes", "TestTraps_library", "TestTraps_memory", "TestTraps_activeDirectory", "TestTraps_groups"} {
		for _, part := range partsOf(t, filepath.Join(dir, "internal", "sources", "ldap"), function) {
			require.Contains(t, whole, "sources/ldap "+function+"/"+part+"\n", "a trap that is shown and not in the table")
		}
	}
}

// requireParts demands the parts of a test's name behind its function.
func requireParts(t *testing.T, dir, name string) {
	t.Helper()
	for _, part := range strings.Split(name, "/")[1:] {
		found, err := filepath.Glob(filepath.Join(dir, "testdata", "*", part+".txtar"))
		require.NoError(t, err)
		require.True(t, len(found) > 0 || strings.Contains(tests(t, dir), strconv.Quote(part)), "%s has no part %q of %s", dir, part, name)
	}
}

// partsOf gives the names of the tests in a table of functions.
func partsOf(t *testing.T, dir, function string) (names []string) {
	t.Helper()
	_, body, ok := strings.Cut(tests(t, dir), "\nfunc "+function+"(")
	require.True(t, ok, function)
	body, _, _ = strings.Cut(body, "\n}\n")
	for _, m := range regexp.MustCompile(`(?m)^\t\t("[^"]+"): func\(t|^\tt\.Run\(("[^"]+"), func`).FindAllStringSubmatch(body, -1) {
		name, err := strconv.Unquote(m[1] + m[2])
		require.NoError(t, err)
		names = append(names, name)
	}
	require.NotEmpty(t, names, function)
	return names
}

// tests gives the text of a package's tests.
func tests(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	require.NoError(t, err)
	var b strings.Builder
	for _, name := range files {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		b.Write(data)
	}
	return b.String()
}
