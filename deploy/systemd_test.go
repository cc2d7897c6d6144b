package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// exposure is what systemd-analyze security may say of a unit, in tenths: what is left is
// the network, which is what mmsync is for.
const exposure = "15"

func services() []string { return []string{"mmsync.service", "mmsync-sync.service"} }

// values gives what a unit sets, in order.
func values(t *testing.T, file string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for line := range strings.Lines(read(t, filepath.Join("systemd", file))) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			out[name] = append(out[name], value)
		}
	}
	return out
}

func TestSystemd_verifies(t *testing.T) {
	t.Parallel()
	analyze := tool(t, "systemd-analyze")
	dir := t.TempDir()
	for _, name := range append(services(), "mmsync-sync.timer") {
		// The program is where this test built it.
		text := strings.ReplaceAll(read(t, filepath.Join("systemd", name)), "/usr/bin/mmsync", binary)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	for _, name := range append(services(), "mmsync-sync.timer") {
		require.Empty(t, output(t, analyze, "verify", "--man=no", filepath.Join(dir, name)), "a key that systemd does not know is a line here")
	}
	for _, name := range services() {
		out := output(t, analyze, "security", "--offline=true", "--no-pager", "--threshold="+exposure, filepath.Join(dir, name))
		require.Contains(t, out, "Overall exposure level")
	}
}

// The configuration that packages bring loads with what the units hand over, every
// command exists, and both services are locked in alike.
func TestSystemd_configurationLoads(t *testing.T) {
	t.Parallel()
	for _, name := range services() {
		unit := values(t, name)
		var files []string
		for _, credential := range unit["LoadCredential"] {
			id, from, ok := strings.Cut(credential, ":")
			require.True(t, ok)
			require.Equal(t, "/etc/mmsync/credentials/"+id, from)
			files = append(files, "/run/credentials/"+name+"/"+id)
		}
		start := strings.Fields(unit["ExecStart"][0])
		require.Equal(t, "/usr/bin/mmsync", start[0])
		commandExists(t, start[1:])
		c := loads(t, "/etc/mmsync/config.yaml", read(t, "packaging/config.yaml"), map[string]string{"CREDENTIALS_DIRECTORY": "/run/credentials/" + name}, files)
		require.Len(t, c.SecretFiles(), len(files))
		require.Equal(t, "/var/lib/mmsync/audit.key", c.Audit.KeyFile)
		require.Equal(t, []string{"mmsync"}, unit["StateDirectory"])
		if name == "mmsync.service" {
			require.Equal(t, []string{"notify"}, unit["Type"])
			stop, err := time.ParseDuration(unit["TimeoutStopSec"][0])
			require.NoError(t, err)
			require.Less(t, c.ShutdownTimeout, stop)
		}
	}
	locks := regexp.MustCompile(`(?s)\nUser=mmsync.*?LimitCORE=0\n`)
	var found []string
	for _, name := range services() {
		found = append(found, locks.FindString(read(t, filepath.Join("systemd", name))))
	}
	require.NotEmpty(t, found[0])
	require.Equal(t, found[0], found[1])
}
