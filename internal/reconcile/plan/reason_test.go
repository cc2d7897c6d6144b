package plan_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// declared reads the reasons from the source, so that none can be forgotten.
func declared(t *testing.T) []plan.Reason {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	require.NoError(t, err)
	var list []plan.Reason
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || fmt.Sprint(spec.Type) != "Reason" {
			return true
		}
		for _, v := range spec.Values {
			word, ok := v.(*ast.BasicLit)
			require.True(t, ok)
			s, err := strconv.Unquote(word.Value)
			require.NoError(t, err)
			list = append(list, plan.Reason(s))
		}
		return true
	})
	require.Greater(t, len(list), 30)
	return list
}

func TestExplanations(t *testing.T) {
	t.Parallel()
	all := declared(t)
	count := map[plan.Reason]int{}
	for _, e := range plan.Explanations() {
		count[e.Reason]++
	}
	t.Run("each reason has one, and nothing else has", func(t *testing.T) {
		t.Parallel()
		for _, r := range all {
			require.Equal(t, 1, count[r], "reason %s", r)
		}
		require.Len(t, plan.Explanations(), len(all))
	})
	t.Run("each is a sentence, and each hold that somebody ends says how", func(t *testing.T) {
		t.Parallel()
		for _, e := range plan.Explanations() {
			require.Regexp(t, `^[A-Z].*\.$`, e.Sentence, string(e.Reason))
			require.Equal(t, e.Ender == "", e.Next == "", "%s: who and how belong together", e.Reason)
			if e.Next != "" {
				require.Regexp(t, `^[A-Z].*\.$`, e.Next, string(e.Reason))
			}
			require.Contains(t, []plan.Ender{"", plan.EndWait, plan.EndSource, plan.EndOperator}, e.Ender)
			require.Equal(t, e, e.Reason.Explain())
		}
		require.Zero(t, plan.Reason("made up").Explain())
	})
	t.Run("each is shown by a golden plan or known to be another's", func(t *testing.T) {
		t.Parallel()
		dir, err := os.ReadDir("testdata/plans")
		require.NoError(t, err)
		var text strings.Builder
		for _, f := range dir {
			data, err := os.ReadFile("testdata/plans/" + f.Name())
			require.NoError(t, err)
			text.Write(data)
		}
		elsewhere := map[plan.Reason]string{
			plan.GuardTripped: "package guard", plan.Approved: "mmsync link approve", plan.FieldFirst: "mmsync migrate-auth",
			plan.Settled: "counted, not listed", plan.NotActiveYet: "counted, not listed", plan.AlreadyOff: "counted, not listed", plan.Kept: "counted, not listed",
		}
		for _, r := range all {
			if e := r.Explain(); elsewhere[r] == "" && e.Next != "" {
				require.Contains(t, text.String(), "["+string(r)+"]", "no golden plan shows it")
			}
		}
	})
}

// TestReasons_documented holds docs/operations.md to the sentences of the code.
// With -update the table is written anew.
func TestReasons_documented(t *testing.T) {
	t.Parallel()
	const path = "../../../docs/operations.md"
	const head = "| reason | meaning | what ends it | who |\n|---|---|---|---|\n"
	var table strings.Builder
	table.WriteString(head)
	for _, e := range plan.Explanations() {
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", e.Reason, e.Sentence, e.Next, e.Ender)
	}
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	text := string(data)
	if *update {
		before, rest, found := strings.Cut(text, head)
		require.True(t, found, "%s has lost the head of its table", path)
		for strings.HasPrefix(rest, "|") {
			_, rest, _ = strings.Cut(rest, "\n")
		}
		require.NoError(t, os.WriteFile(path, []byte(before+table.String()+rest), 0o644))
		return
	}
	require.Contains(t, text, table.String(), "run go test ./internal/reconcile/plan -run Reasons -update")
}
