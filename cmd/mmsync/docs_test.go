package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

const repository = "../.."

var (
	span    = regexp.MustCompile("`([^`\n]+)`")
	command = regexp.MustCompile(`^(?:.*[ /])?mmsync((?: .*)?)$`)
)

// Every command a document shows exists, takes these flags and that many
// arguments.
func TestDocs_commandsExist(t *testing.T) {
	t.Parallel()
	seen := 0
	for path, text := range documents(t) {
		for _, shown := range commandsIn(text) {
			seen++
			require.NoError(t, parses(shown), "%s shows: mmsync %s", path, strings.Join(shown, " "))
		}
	}
	require.Greater(t, seen, 30)
}

func documents(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "Dockerfile", "config.example.yaml"} {
		data, err := os.ReadFile(filepath.Join(repository, name))
		require.NoError(t, err)
		out[name] = string(data)
	}
	require.NoError(t, filepath.WalkDir(filepath.Join(repository, "docs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".md" {
			return err
		}
		data, err := os.ReadFile(path)
		out[path] = string(data)
		return err
	}))
	return out
}

// commandsIn finds the command lines of a document: code spans that begin with
// the program, and lines of code and comments that hold it.
func commandsIn(text string) [][]string {
	var out [][]string
	add := func(line string) {
		line, _, _ = strings.Cut(line, "  #") // a remark
		if m := command.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			if args := split(m[1]); len(args) > 0 {
				out = append(out, args)
			}
		}
	}
	fenced := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		bare := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#"))
		bare = strings.TrimPrefix(bare, "sudo -u mmsync ")
		switch {
		case strings.HasPrefix(line, "```"):
			fenced = !fenced
		case strings.Contains(bare, "go run ./cmd/mmsync"), strings.HasPrefix(bare, "docker run"), strings.HasPrefix(bare, "*/15"):
			add(bare)
		case (fenced || strings.HasPrefix(line, "    ")) && strings.HasPrefix(bare, "mmsync "):
			add(bare)
		case strings.Contains(bare, ":  ") && strings.Contains(bare, "mmsync "): // config.example.yaml
			add(bare)
		default:
			for _, m := range span.FindAllStringSubmatch(line, -1) {
				if strings.HasPrefix(m[1], "mmsync ") {
					add(m[1])
				}
			}
		}
	}
	return out
}

// split parts a command line at blanks outside of quotes.
func split(line string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`'([^']*)'|"([^"]*)"|(\S+)`).FindAllStringSubmatch(line, -1) {
		out = append(out, m[1]+m[2]+m[3])
	}
	return out
}

func parses(args []string) error {
	root := newRoot()
	c, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	c.InitDefaultHelpFlag()
	if err := c.ParseFlags(rest); err != nil {
		return err
	}
	return c.ValidateArgs(c.Flags().Args())
}

func TestDocs_commandsIn(t *testing.T) {
	t.Parallel()
	require.Equal(t, [][]string{
		{"plan"}, {"demo"}, {"link", "list"}, {"eval", "lower(attr.mail)", "--user", "jane.doe"}, {"sync", "--quiet"}, {"plan", "-c", "config.yaml"},
	}, commandsIn("Run `mmsync plan`, not `mmsyncd`, for mmsync is\n```\ngo run ./cmd/mmsync demo\nsudo -u mmsync mmsync link list\nmmsync eval 'lower(attr.mail)' --user jane.doe   # try\n```\n"+
		"    */15 * * * *  mmsync  mmsync sync --quiet\n# See what a run would do:                mmsync plan -c config.yaml\n"))
	require.Error(t, parses([]string{"plan", "--forec"}))
	require.Error(t, parses([]string{"plna"}))
	require.Error(t, parses([]string{"explain"}))
	require.NoError(t, parses([]string{"explain", "USER"}))
}

// What a hold tells an administrator to run exists as well.
func TestReasons_commandsExist(t *testing.T) {
	t.Parallel()
	groups := map[string]bool{}
	for _, c := range commands(newRoot()) {
		groups[c.Name()] = c.HasSubCommands()
	}
	known := func(flag string) bool {
		return slices.ContainsFunc(commands(newRoot()), func(c *cobra.Command) bool { return c.Flags().Lookup(flag) != nil })
	}
	for _, e := range plan.Explanations() {
		for _, f := range regexp.MustCompile(`--([a-z-]+[a-z])`).FindAllStringSubmatch(e.Next, -1) {
			require.True(t, known(f[1]), "%s tells of %s", e.Reason, f[0])
		}
		for _, m := range regexp.MustCompile(`mmsync ([a-z-]+) ([a-z-]+)`).FindAllStringSubmatch(e.Next, -1) {
			if groups[m[1]] {
				require.NoError(t, parses([]string{m[1], m[2], "PERSON"}), "%s tells of %s", e.Reason, m[0])
			}
		}
	}
}

// The configurations that are shown whole work.
func TestDocs_configurations(t *testing.T) {
	t.Parallel()
	pair := certificate(t)
	for _, path := range []string{"README.md", filepath.Join(repository, "docs", "scim.md")} {
		_, rest, ok := strings.Cut(documents(t)[path], "```yaml\nversion: 1\n")
		require.True(t, ok, path)
		text, _, ok := strings.Cut("version: 1\n"+rest, "```")
		require.True(t, ok, path)
		l := config.Loader{ReadFile: func(name string) ([]byte, error) {
			if filepath.Ext(name) == ".pem" {
				return pair, nil
			}
			return []byte("stub\n"), nil
		}}
		c, err := l.Parse("/etc/mmsync/config.yaml", []byte(text))
		require.NoError(t, err, path)
		require.NoError(t, daemon.Check(c), path)
	}
}

// So do the sources that are shown with their mapping.
func TestDocs_directories(t *testing.T) {
	t.Parallel()
	pair := certificate(t)
	for _, name := range []string{"connect-active-directory.md", "connect-openldap.md", "connect-freeipa.md"} {
		_, rest, ok := strings.Cut(documents(t)[filepath.Join(repository, "docs", name)], "```yaml\nsources:\n")
		require.True(t, ok, name)
		text, _, ok := strings.Cut(rest, "```")
		require.True(t, ok, name)
		l := config.Loader{ReadFile: func(name string) ([]byte, error) {
			if filepath.Ext(name) == ".pem" {
				return pair, nil
			}
			return []byte("stub\n"), nil
		}}
		const head = "version: 1\nmattermost: {url: \"https://chat.example.com\", token: stub}\nstate: {url: \"sqlite:/var/lib/mmsync/state.db\"}\nsources:\n"
		c, err := l.Parse("/etc/mmsync/config.yaml", []byte(head+text))
		require.NoError(t, err, name)
		require.NoError(t, daemon.Check(c), name)
	}
}

// certificate gives a certificate and its key in one file.
func certificate(t *testing.T) []byte {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...)
}

func TestDocs_exitCodes(t *testing.T) {
	t.Parallel()
	row := regexp.MustCompile(`(?m)^\| (\d+)(?:, (\d+))? \|`)
	for _, path := range []string{"README.md", filepath.Join(repository, "docs", "operations.md")} {
		var got []int
		for _, m := range row.FindAllStringSubmatch(documents(t)[path], -1) {
			for _, s := range m[1:] {
				if n, err := strconv.Atoi(s); err == nil {
					got = append(got, n)
				}
			}
		}
		require.Equal(t, []int{exitOK, exitFailed, exitChanges, exitGuard, exitPartial, exitStale, exitLocked, exitOverdue, exitUsage, exitConfig, exitSIGINT, exitSIGTERM}, got, path)
	}
}
