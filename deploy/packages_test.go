package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// made makes the packages and gives their names.
func made(t *testing.T) (deb, rpm string) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "../scripts/packages", dir)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Len(t, files, 2)
	for _, f := range files {
		switch filepath.Ext(f) {
		case ".deb":
			deb = f
		case ".rpm":
			rpm = f
		}
	}
	return deb, rpm
}

func TestPackages(t *testing.T) {
	t.Parallel()
	dpkg := tool(t, "dpkg-deb")
	deb, rpm := made(t)
	root := t.TempDir()
	output(t, dpkg, "--extract", deb, root)
	output(t, dpkg, "--control", deb, filepath.Join(root, "DEBIAN"))
	require.Equal(t, "/etc/mmsync/config.yaml\n", read(t, filepath.Join(root, "DEBIAN", "conffiles")))
	runs(t, root)
	pages(t, filepath.Join(root, "usr/share/doc/mmsync"))
	for _, name := range append(services(), "mmsync-sync.timer") {
		require.Equal(t, read(t, filepath.Join("systemd", name)), read(t, filepath.Join(root, "usr/lib/systemd/system", name)))
	}
	again, _ := made(t)
	require.Equal(t, read(t, deb), read(t, again), "the same commit makes the same package")

	t.Run("rpm", func(t *testing.T) {
		query := tool(t, "rpm")
		list := output(t, query, "-qpl", "--nosignature", rpm)
		for _, want := range []string{"/usr/bin/mmsync", "/etc/mmsync/config.yaml", "/usr/lib/systemd/system/mmsync.service", "/usr/lib/sysusers.d/mmsync.conf"} {
			require.Contains(t, strings.Fields(list), want)
		}
		require.Contains(t, output(t, query, "-qpc", "--nosignature", rpm), "/etc/mmsync/config.yaml")
	})
	t.Run("installed", func(t *testing.T) { installed(t, deb) })
}

// pages checks that a package brings every page of the documentation, and with it every
// page that one of them leads to.
func pages(t *testing.T, dir string) {
	t.Helper()
	link := regexp.MustCompile(`\]\(([^)#:]+\.md)`)
	want, err := filepath.Glob("../docs/*.md")
	require.NoError(t, err)
	require.NotEmpty(t, want)
	for _, page := range want {
		name := filepath.Join(dir, filepath.Base(page))
		text := read(t, name)
		require.Equal(t, read(t, page), text)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.HasPrefix(m[1], "../") {
				continue // for those who have the sources
			}
			require.FileExists(t, filepath.Join(dir, m[1]), "%s leads to it", filepath.Base(page))
		}
	}
}

// runs runs what a package brings: the program, with the configuration beside it.
func runs(t *testing.T, root string) {
	t.Helper()
	program := filepath.Join(root, "usr/bin/mmsync")
	require.Contains(t, output(t, program, "version"), "mmsync ")
	secrets := t.TempDir()
	for _, name := range []string{"mattermost_token", "bind_password"} {
		require.NoError(t, os.WriteFile(filepath.Join(secrets, name), []byte("twenty-six-letters-of-text"), 0o600))
	}
	check := exec.CommandContext(t.Context(), program, "check-config", "--config", filepath.Join(root, "etc/mmsync/config.yaml"))
	check.Env = append(os.Environ(), "CREDENTIALS_DIRECTORY="+secrets)
	out, err := check.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "is well")
}

// installed installs the package on this machine and takes it away again. It changes the
// machine, so MMSYNC_TEST_REQUIRE has to name dpkg-install.
func installed(t *testing.T, deb string) {
	if !slices.Contains(strings.Split(os.Getenv(envRequire), ","), "dpkg-install") {
		t.Skipf("%s does not name dpkg-install, and installing changes this machine", envRequire)
	}
	require.Zero(t, os.Getuid(), "dpkg -i is root's")
	if _, err := os.Stat("/usr/bin/mmsync"); err == nil {
		t.Fatal("mmsync is installed on this machine already")
	}
	output(t, "dpkg", "-i", deb)
	gone := false
	t.Cleanup(func() {
		if !gone {
			_ = exec.Command("dpkg", "-P", "mmsync").Run() //nolint:noctx // the test's context has ended
		}
	})
	runs(t, "/")
	require.Equal(t, "700 mmsync:mmsync\n", output(t, "stat", "-c", "%a %U:%G", "/var/lib/mmsync"))
	require.Equal(t, "644 root:root\n", output(t, "stat", "-c", "%a %U:%G", "/etc/mmsync/config.yaml"))

	// What an administrator wrote, and what mmsync keeps, stay.
	require.NoError(t, os.WriteFile("/etc/mmsync/config.yaml", []byte("version: 1 # mine\n"), 0o600))
	require.NoError(t, os.WriteFile("/var/lib/mmsync/state.db", []byte("kept"), 0o600))
	output(t, "dpkg", "-i", "--force-confold", deb)
	require.Equal(t, "version: 1 # mine\n", read(t, "/etc/mmsync/config.yaml"))
	output(t, "dpkg", "-P", "mmsync")
	gone = true
	require.NoFileExists(t, "/usr/bin/mmsync")
	require.Equal(t, "kept", read(t, "/var/lib/mmsync/state.db"))
	require.NoError(t, os.RemoveAll("/var/lib/mmsync"))
}
