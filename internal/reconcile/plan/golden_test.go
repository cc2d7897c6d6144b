package plan_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

var update = flag.Bool("update", false, "write the golden plans anew; then read every change")

// TestGoldenPlans holds Build and Render to testdata/plans: each file is a small
// world and the plan that it must give, word for word.
func TestGoldenPlans(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/plans/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			require.NoError(t, err)
			require.NotEmpty(t, strings.TrimSpace(string(archive.Comment)), "a golden plan begins with the rule it shows")
			section := map[string]*txtar.File{}
			for i := range archive.Files {
				section[archive.Files[i].Name] = &archive.Files[i]
			}
			require.Contains(t, section, "world")
			require.Contains(t, section, "want.plan")
			w := parseWorld(t, string(section["world"].Data))
			p := w.build()

			got := map[string][]byte{"want.plan": rendered(t, p, plan.Style{})}
			if section["want.redacted"] != nil {
				got["want.redacted"] = rendered(t, p, plan.Style{Redact: true})
			}
			if section["want.json"] != nil {
				data, err := json.MarshalIndent(p, "", "  ")
				require.NoError(t, err)
				got["want.json"] = append(data, '\n')
			}
			for name, text := range got {
				if *update {
					section[name].Data = text
					continue
				}
				require.Equal(t, string(section[name].Data), string(text), "%s of %s (see go test -update)", name, file)
			}
			if *update {
				require.NoError(t, os.WriteFile(file, txtar.Format(archive), 0o644))
			}

			data, err := json.Marshal(p)
			require.NoError(t, err)
			read, err := plan.Decode(data)
			require.NoError(t, err)
			require.Equal(t, p.Digest(), read.Digest(), "a plan that is written and read is the same plan")
			turned := plan.Build(shuffle(w.heard(), 7), w.policy)
			require.Equal(t, p.Decisions, turned.Decisions, "the order of observations does not matter")
		})
	}
}

func rendered(t *testing.T, p plan.Plan, s plan.Style) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, plan.Render(&b, p, s))
	return b.Bytes()
}
