package mattermost_test

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRoutes_haveACaller: every method of Client and Target is called by the program,
// and not by tests alone. With TestRoutes_agreeWithTheClient, where those methods send
// each route, none stands open that nothing needs. It goes by names, in the files that know
// this package, or anywhere if an interface has the name: a method whose name something
// else there has as well is not found out.
func TestRoutes_haveACaller(t *testing.T) {
	t.Parallel()
	const own = "github.com/mmsync/mmsync/internal/mattermost"
	methods := map[string][]string{} // by receiver
	near, anywhere, promised := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, root := range []string{"../../cmd", "../../internal"} {
		require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(gotoken.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			here := filepath.Base(filepath.Dir(path)) == "mattermost"
			sees := here || slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == strconv.Quote(own) })
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					if of := receiver(n); here && n.Name.IsExported() && (of == "Client" || of == "Target") {
						methods[of] = append(methods[of], n.Name.Name)
					}
				case *ast.InterfaceType:
					for _, f := range n.Methods.List {
						for _, name := range f.Names {
							promised[name.Name] = true
						}
					}
				case *ast.SelectorExpr:
					anywhere[n.Sel.Name] = true
					near[n.Sel.Name] = near[n.Sel.Name] || sees
				}
				return true
			})
			return nil
		}))
	}
	require.Greater(t, len(methods["Client"]), 30)
	require.Greater(t, len(methods["Target"]), 10)
	for _, of := range slices.Sorted(maps.Keys(methods)) {
		for _, name := range methods[of] {
			require.True(t, near[name] || promised[name] && anywhere[name], "nothing but tests calls %s.%s", of, name)
		}
	}
}

// receiver names the type that a method belongs to; "" for a function.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	of := f.Recv.List[0].Type
	if p, ok := of.(*ast.StarExpr); ok {
		of = p.X
	}
	name, _ := of.(*ast.Ident)
	if name == nil {
		return ""
	}
	return name.Name
}
