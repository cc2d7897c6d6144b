package conformance_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// endpoint is where mmsync demo says that it can be pushed to.
type endpoint struct {
	URL   string `json:"scim_url"`
	Token string `json:"scim_token"`
}

// demo starts mmsync demo with nobody in it.
func demo(t *testing.T, program string) endpoint {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, "demo", "--users", "0", "--no-progress", "-o", "json", "--listen", "127.0.0.1:0", "--mattermost-listen", "127.0.0.1:0")
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Wait() }) // it was told to end, and says so
	var e endpoint
	require.NoError(t, json.NewDecoder(stdout).Decode(&e))
	require.NotEmpty(t, e.Token)
	return e
}

// TestJudges has programs that judge SCIM servers judge mmsync.
func TestJudges(t *testing.T) {
	t.Parallel()
	c := client{name: "scim", program: "bin/python", there: "mmsync"}
	python, installed := c.ready(t)
	mmsync := filepath.Join(installed, "mmsync")

	t.Run("scim2-tester", func(t *testing.T) {
		t.Parallel()
		e := demo(t, mmsync)
		cmd := exec.CommandContext(t.Context(), python, "scim/tester.py")
		cmd.Env = append(os.Environ(), "SCIM_URL="+e.URL, "SCIM_TOKEN="+e.Token)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		counts := map[string]int{}
		for _, m := range regexp.MustCompile(`(\w+)=(\d+)`).FindAllStringSubmatch(lastLine(out), -1) {
			counts[m[1]], err = strconv.Atoi(m[2])
			require.NoError(t, err)
		}
		ok := counts["SUCCESS"]
		delete(counts, "SUCCESS")
		require.Empty(t, counts, "%s", out)
		require.GreaterOrEqual(t, ok, 130, "%s", out)
		t.Logf("scim2-tester: %d passed, 0 failed", ok)
	})

	t.Run("scim-sanity", func(t *testing.T) {
		t.Parallel()
		e := demo(t, mmsync)
		cmd := exec.CommandContext(t.Context(), python, "-m", "scim_sanity", "probe", e.URL, "--token", e.Token, "--strict", "--json-output", "--i-accept-side-effects")
		out, err := cmd.Output()
		require.NoError(t, err, "%s", out)
		var report struct {
			Summary struct{ Passed, Failed, Warnings, Errors, Skipped int }
		}
		require.NoError(t, json.Unmarshal(out, &report), "%s", out)
		s := report.Summary
		require.Zero(t, s.Failed+s.Warnings+s.Errors, "%s", out)
		require.GreaterOrEqual(t, s.Passed, 28, "%s", out)
		require.Equal(t, 3, s.Skipped, "agents and their applications, which no RFC knows: %s", out)
		t.Logf("scim-sanity: %d passed, 0 failed", s.Passed)
	})
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}
