// Package internal_test holds the dependency rule of the module: which package
// may import which, and why. It is not about style and not about tests of
// behaviour; those stand beside the code. The same rule, as far as a linter can
// express it, is in .golangci.yml, so that an editor shows it while typing.
package internal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// module is the path every import path of ours starts with.
const module = "github.com/mmsync/mmsync"

func TestImports(t *testing.T) {
	t.Parallel()
	table := rules()
	packages := listPackages(t)

	t.Run("every package has a row in the table", func(t *testing.T) {
		t.Parallel()
		for _, p := range packages {
			if _, ok := table[p.name()]; !ok {
				t.Errorf("%s has no row in rules() of internal/arch_rules_test.go: add one that says what it may import and why", p.name())
			}
		}
	})
	t.Run("the table names only packages of the table", func(t *testing.T) {
		t.Parallel()
		for name, r := range table {
			for _, other := range append(slices.Clone(r.imports), r.tests...) {
				require.Contains(t, table, other, "row %s of rules() in internal/arch_test.go", name)
			}
		}
	})
	t.Run("no row is left behind by its package", func(t *testing.T) {
		t.Parallel()
		var names []string
		for _, p := range packages {
			names = append(names, p.name())
		}
		if !slices.Contains(names, "internal/e2e") {
			return // the tests of the whole come after all its parts
		}
		for _, name := range slices.Sorted(maps.Keys(table)) {
			if !slices.Contains(names, name) {
				t.Errorf("rules() of internal/arch_rules_test.go has a row for %s, and there is no such package", name)
			}
		}
	})
	for _, p := range packages {
		t.Run(p.name(), func(t *testing.T) {
			t.Parallel()
			for _, fault := range p.faults(table) {
				t.Error(fault)
			}
		})
	}
}

func TestDependencies(t *testing.T) {
	t.Parallel()
	required := directRequirements(t)
	adr, err := os.ReadFile(filepath.FromSlash("../docs/adr/0007-dependencies.md"))
	require.NoError(t, err)

	t.Run("every required module is weighed and has its place", func(t *testing.T) {
		t.Parallel()
		for _, path := range required {
			if !slices.ContainsFunc(libraries(), func(l library) bool { return l.module == path }) {
				t.Errorf("go.mod requires %s, which libraries() of internal/arch_rules_test.go does not know: say there who may import it", path)
			}
			if !strings.Contains(string(adr), "| `"+path+"` |") {
				t.Errorf("go.mod requires %s, and docs/adr/0007-dependencies.md has no row that says why", path)
			}
		}
	})
	t.Run("what is no longer required leaves no row behind", func(t *testing.T) {
		t.Parallel()
		for _, l := range libraries() {
			if !slices.Contains(required, l.module) {
				t.Errorf("go.mod does not require %s: take it out of libraries() of internal/arch_rules_test.go and of docs/adr/0007-dependencies.md", l.module)
			}
		}
	})
}

// directRequirements gives the modules that go.mod requires for our own imports.
func directRequirements(t *testing.T) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json", filepath.FromSlash("../go.mod")).Output()
	require.NoError(t, err)
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	require.NoError(t, json.Unmarshal(out, &mod))
	var list []string
	for _, r := range mod.Require {
		if !r.Indirect {
			list = append(list, r.Path)
		}
	}
	require.NotEmpty(t, list)
	return list
}

// goPackage is what `go list -json` says about a package.
type goPackage struct {
	ImportPath   string
	Dir          string
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// name is the import path within the module.
func (p goPackage) name() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	// Only these fields are asked for: with them go list reads import clauses and
	// loads no dependency, so that it works without a network and while a
	// package does not compile.
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e",
		"-json=ImportPath,Dir,GoFiles,Imports,TestImports,XTestImports", module+"/...")
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "go list: %s", stderr.String())

	var list []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		list = append(list, p)
	}
	require.NotEmpty(t, list, "go list found no package of %s", module)
	return list
}

// faults says in one sentence each how the package breaks the table.
func (p goPackage) faults(table map[string]rule) []string {
	r, ok := table[p.name()]
	if !ok {
		return nil // said once, by the test above
	}
	var out []string
	for _, path := range p.Imports {
		out = append(out, p.shippedFault(r, table, path)...)
	}
	for _, path := range slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(p.TestImports), p.XTestImports...)))) {
		out = append(out, p.testFault(r, path)...)
	}
	if r.pure {
		out = append(out, p.uses("time", readsClock, "the package is pure, so the time is a value it is given")...)
	}
	return out
}

func (p goPackage) shippedFault(r rule, table map[string]rule, path string) []string {
	switch {
	case isOurs(path):
		other := strings.TrimPrefix(path, module+"/")
		if table[other].support && !r.support {
			return []string{fmt.Sprintf("%s imports %s in a shipped file: it is support of tests, and only _test files may import it", p.name(), other)}
		}
		if !slices.Contains(r.imports, other) {
			return []string{fmt.Sprintf("%s imports %s: %s", p.name(), other, r.why)}
		}
	case isStandard(path):
		if r.pure && impure(path) {
			return []string{fmt.Sprintf("%s imports %s, and it is pure: no I/O, no clock, no log, no context, no randomness; %s", p.name(), path, r.why)}
		}
	default:
		return p.libraryFault(path, r.support)
	}
	return nil
}

func (p goPackage) testFault(r rule, path string) []string {
	switch {
	case isOurs(path):
		other := strings.TrimPrefix(path, module+"/")
		if other != p.name() && !slices.Contains(r.imports, other) && !slices.Contains(r.tests, other) {
			return []string{fmt.Sprintf("a test of %s imports %s, which its row in rules() of internal/arch_rules_test.go does not allow: %s", p.name(), other, r.why)}
		}
	case isStandard(path):
		return nil // tests of pure packages read golden files and draw random worlds
	default:
		return p.libraryFault(path, true)
	}
	return nil
}

func (p goPackage) libraryFault(path string, inTest bool) []string {
	for _, l := range libraries() {
		if path != l.module && !strings.HasPrefix(path, l.module+"/") {
			continue
		}
		if names, ok := l.narrow[p.name()]; ok && !inTest {
			return p.uses(path, func(name string) bool { return !slices.Contains(names, name) }, l.why)
		}
		if l.tests && !inTest || l.in != nil && !slices.Contains(l.in, p.name()) {
			return []string{fmt.Sprintf("%s imports %s: %s", p.name(), path, l.why)}
		}
		return nil
	}
	return []string{fmt.Sprintf("%s imports %s, which libraries() of internal/arch_rules_test.go does not know: a new dependency is weighed in docs/adr/0007-dependencies.md first", p.name(), path)}
}

func isOurs(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }

// isStandard tells an import path of the standard library: its first element
// holds no dot.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// impure tells a standard package that a pure package may not import.
func impure(path string) bool {
	for _, banned := range []string{"context", "net", "os", "log", "database/sql", "math/rand", "crypto/rand", "syscall", "testing"} {
		if path == banned || strings.HasPrefix(path, banned+"/") {
			return true
		}
	}
	return false
}

// readsClock tells a name of package time that reads or waits for the clock.
// The package is allowed for its types, so the import alone does not tell.
func readsClock(name string) bool {
	return slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}, name)
}

// uses finds where shipped files use a name of the imported package that the
// given function calls wrong.
func (p goPackage) uses(path string, wrong func(name string) bool, why string) []string {
	var out []string
	for _, name := range p.GoFiles {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return append(out, fmt.Sprintf("%s: %v", p.name(), err))
		}
		local := localName(file, path)
		ast.Inspect(file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == local && wrong(sel.Sel.Name) {
				out = append(out, fmt.Sprintf("%s: %s:%d uses %s.%s: %s", p.name(), name, fset.Position(sel.Pos()).Line, local, sel.Sel.Name, why))
			}
			return true
		})
	}
	return out
}

// localName is what a file calls an imported package; "" if it does not import
// it. Without a name of its own an import goes by the last element of its path
// that is not a version.
func localName(file *ast.File, path string) string {
	for _, spec := range file.Imports {
		if have, err := strconv.Unquote(spec.Path.Value); err != nil || have != path {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		elements := strings.Split(path, "/")
		for _, e := range slices.Backward(elements) {
			if len(e) < 2 || e[0] != 'v' || strings.Trim(e[1:], "0123456789") != "" {
				return e
			}
		}
	}
	return ""
}
