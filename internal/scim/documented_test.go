package scim_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
)

var update = flag.Bool("update", false, "write the table of docs/scim.md anew")

// docs/scim.md has the quirks as they are.
func TestQuirks_Documented(t *testing.T) {
	t.Parallel()
	page := filepath.FromSlash("../../docs/scim.md")
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	const head = "| quirk | what is sent, and what it is taken for | who sends it |\n|---|---|---|\n"
	before, rest, found := strings.Cut(string(text), head)
	require.True(t, found, "the table is there")
	table, after, _ := strings.Cut("\n"+rest, "\n\n")
	var want strings.Builder
	for _, q := range scim.Quirks() {
		cell := strings.NewReplacer("|", `\|`, "\n", " ").Replace
		fmt.Fprintf(&want, "| `%s` | %s | %s |\n", q.Name, cell(q.Text), cell(q.Who))
	}
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(before+head+want.String()+"\n"+after), 0o600))
		return
	}
	require.Equal(t, want.String(), strings.TrimPrefix(table, "\n")+"\n", "go test ./internal/scim -run Documented -update")
}
