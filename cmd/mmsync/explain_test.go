package main

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func TestShell(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		if pgtest.Requires("bash") {
			t.Fatalf("%s requires bash: %v", pgtest.EnvRequire, err)
		}
		t.Skipf("no bash: %v", err)
	}
	for _, s := range []string{
		"", "hr/e 9; touch /tmp/pwn", "hr/e1", "corp/cn=ann,dc=test", "hr/a b", "hr/o'neil", `hr/a"b$(id)`, "hr/`id`", "hr/;rm -rf ~", "hr/x\ny", "hr/\x1b[2J", "hr/\u202egnp", `hr/a\nb`, "hr/it's\na\\b", "hr/*", "hr/ä",
	} {
		t.Run("what is shown means itself: "+printable(s), func(t *testing.T) {
			t.Parallel()
			word := plan.Shell(s)
			require.Equal(t, safe(word), word, "and can be shown")
			out, err := exec.CommandContext(t.Context(), bash, "-c", "export LC_ALL=C.UTF-8; printf %s "+word).Output()
			require.NoError(t, err)
			require.Equal(t, s, string(out))
		})
	}
}
