package traps

import (
	"bufio"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// trap is one record of the table.
type trap struct {
	line  int    // of the table
	under string // the heading
	name  string
	seen  string // what servers do
	rule  string // what mmsync does about it
	tests []proof
	edits []edit
}

// proof is one test that has to fail without the rule.
type proof struct {
	pkg  string // below the module: "internal/mattermost"
	name string // "TestClient_write/one at a time for each account"
}

// edit is one place that is changed to switch a rule off.
type edit struct{ file, old, new string }

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.FromSlash("../.."))
	require.NoError(t, err)
	return dir
}

func readTable(t *testing.T) []trap {
	t.Helper()
	f, err := os.Open(filepath.FromSlash("testdata/traps.txt"))
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	r := reader{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		r.line++
		require.NoError(t, r.read(lines.Text()), "line %d of the table", r.line)
	}
	return r.traps
}

// reader reads the table line by line.
type reader struct {
	line  int
	under string
	file  string // of the edits that follow
	traps []trap
}

func (r *reader) read(line string) error {
	switch {
	case line == "" || strings.HasPrefix(line, "//"):
		return nil
	case strings.HasPrefix(line, "# "):
		r.under = line[2:]
		return nil
	case line[0] == '-' || line[0] == '+':
		return r.change(line[0], line[1:])
	}
	key, value, ok := strings.Cut(line, ": ")
	value = strings.TrimSpace(value)
	if !ok || value == "" {
		return fmt.Errorf("neither a comment nor a field: %q", line)
	}
	if key == "trap" {
		r.traps, r.file = append(r.traps, trap{line: r.line, under: r.under, name: value}), ""
		return nil
	}
	if len(r.traps) == 0 {
		return fmt.Errorf("%q before the first trap", key)
	}
	now := &r.traps[len(r.traps)-1]
	switch key {
	case "seen":
		now.seen = value
	case "rule":
		now.rule = value
	case "test":
		pkg, name, _ := strings.Cut(value, " ")
		now.tests = append(now.tests, proof{pkg, name})
	case "off":
		r.file = value
	default:
		return fmt.Errorf("unknown field %q", key)
	}
	return nil
}

// change reads one line of an edit. A line taken away after one that was added
// begins the next edit.
func (r *reader) change(sign byte, text string) error {
	if r.file == "" {
		return fmt.Errorf("an edit before it is said of what file")
	}
	edits := &r.traps[len(r.traps)-1].edits
	n := len(*edits)
	if sign == '-' {
		if n == 0 || (*edits)[n-1].file != r.file || (*edits)[n-1].new != "" {
			*edits = append(*edits, edit{file: r.file, old: text})
			return nil
		}
		(*edits)[n-1].old += "\n" + text
		return nil
	}
	if n == 0 || (*edits)[n-1].file != r.file {
		return fmt.Errorf("a line is added in place of none")
	}
	if (*edits)[n-1].new != "" {
		text = "\n" + text
	}
	(*edits)[n-1].new += text
	return nil
}

// switchedOff gives the files of a rule as they are without it.
func switchedOff(dir string, edits []edit) (map[string]string, error) {
	files := map[string]string{}
	for _, e := range edits {
		text, ok := files[e.file]
		if !ok {
			data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(e.file)))
			if err != nil {
				return nil, err
			}
			text = string(data)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%s holds this %d times, and it has to be once:\n%s\nif the rule is written otherwise now, write down anew how it is switched off, and run make traps", e.file, n, e.old)
		}
		files[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return files, nil
}

// What the table says about the source is true, so that a rule that is written
// anew does not lose its proof unnoticed.
func TestTable(t *testing.T) {
	t.Parallel()
	traps := readTable(t)
	require.NotEmpty(t, traps)
	dir := root(t)
	names := map[string]bool{}
	for _, one := range traps {
		require.False(t, names[one.name], "%s is there twice", one.name)
		names[one.name] = true
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			require.NotEmpty(t, one.under, "a heading")
			require.NotEmpty(t, one.seen, "what servers do")
			require.NotEmpty(t, one.rule, "the rule")
			require.NotEmpty(t, one.tests, "a test")
			require.NotEmpty(t, one.edits, "how to switch it off")
			for _, p := range one.tests {
				requireTest(t, dir, p)
			}
			for _, e := range one.edits {
				require.NotEqual(t, e.old, e.new)
				require.NotContains(t, e.file, "_test.go", "the rule is switched off, not the test")
			}
			files, err := switchedOff(dir, one.edits)
			require.NoError(t, err)
			for name, text := range files {
				_, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
				require.NoError(t, err, "%s without the rule", name)
			}
		})
	}
}

// requireTest demands that the function of a named test is there. Whether it has
// the named parts shows when it is run.
func requireTest(t *testing.T, dir string, p proof) {
	t.Helper()
	function, _, _ := strings.Cut(p.name, "/")
	has := regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(function) + `\(`)
	files, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(p.pkg), "*_test.go"))
	require.NoError(t, err)
	for _, name := range files {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		if has.Match(data) {
			return
		}
	}
	require.Failf(t, "no such test", "%s has no %s", p.pkg, function)
}
