package conformance_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

// Which clients to run, which of them have to run, and where they are installed.
const (
	envRun       = "MMSYNC_TEST_CONFORMANCE"
	envRequire   = "MMSYNC_TEST_REQUIRE"
	envInstalled = "MMSYNC_TEST_CONFORMANCE_DIR"
)

// client is somebody else's client with the script that uses it.
type client struct {
	name    string
	program string // inside of where it is installed, unless it is on the PATH
	script  string
	// there is a file that is only there once the client is installed.
	there string
}

func clients() []client {
	return []client{
		{name: "node", program: "node", script: "node/client.mjs", there: "node_modules/@mattermost/client/package.json"},
		{name: "python", program: "bin/python", script: "python/client.py", there: "bin/python"},
	}
}

func profiles() map[string]mmsim.Profile {
	return map[string]mmsim.Profile{"11.6": mmsim.Profile116, "5.38": mmsim.Profile538}
}

func named(env, name string) bool { return slices.Contains(strings.Split(os.Getenv(env), ","), name) }

// ready returns how to start the client's script. It skips the test where the
// client was not asked for or is missing, and fails it where it is required.
func (c client) ready(t *testing.T) (program, installed string) {
	t.Helper()
	required := named(envRequire, c.name)
	if !required && !named(envRun, c.name) {
		t.Skipf("%s does not name %s; `make conformance` installs the clients and runs them", envRun, c.name)
	}
	missing := func(format string, args ...any) {
		t.Helper()
		if required {
			t.Fatalf(format, args...)
		}
		t.Skipf(format, args...)
	}
	installed = os.Getenv(envInstalled)
	if installed == "" {
		installed = filepath.Join("..", "bin", "conformance")
	}
	installed, err := filepath.Abs(filepath.Join(installed, c.name))
	require.NoError(t, err)
	if _, err := os.Stat(filepath.Join(installed, c.there)); err != nil {
		missing("the %s client is not installed in %s: run `make conformance`", c.name, installed)
	}
	program = filepath.Join(installed, c.program)
	if !strings.Contains(c.program, "/") {
		if program, err = exec.LookPath(c.program); err != nil {
			missing("%s is not on the PATH", c.program)
		}
	}
	return program, installed
}

// TestClients lets each client do what identity syncing is made of, on both
// servers the simulator can play.
func TestClients(t *testing.T) {
	t.Parallel()
	for _, c := range clients() {
		for version, profile := range profiles() {
			t.Run(c.name+" on "+version, func(t *testing.T) {
				t.Parallel()
				program, installed := c.ready(t)
				const password = "Conformance-Passw0rd-1!"
				s := mmsim.New(mmsim.Options{Profile: profile, AdminUsername: "conformance.admin", AdminPassword: password})
				cmd := exec.CommandContext(t.Context(), program, c.script)
				cmd.Env = append(os.Environ(), "MM_URL="+s.Start(t), "MM_LOGIN=conformance.admin", "MM_PASSWORD="+password,
					"MM_PROFILE="+version, "MM_INSTALLED="+installed)
				out, err := cmd.CombinedOutput()
				require.NoError(t, err, "%s", out)
				t.Logf("%s", out)
				steps := strings.Count("\n"+string(out), "\nok ")
				require.GreaterOrEqual(t, steps, 15)
				require.Contains(t, string(out), fmt.Sprintf("\ndone %d\n", steps), "the script ran to its end")
				c.left(t, s)
			})
		}
	}
}

// left looks at what the client's calls did to the server: that the client was
// content is its own word.
func (c client) left(t *testing.T, s *mmsim.Server) {
	t.Helper()
	u, ok := s.UserByName(c.name + ".uno")
	require.True(t, ok)
	require.Equal(t, []string{"One", "Engineer", "saml", c.name + "-one"}, []string{u.Nickname, u.Position, u.AuthService, u.AuthData})
	require.True(t, u.Active())
	require.False(t, u.IsAdmin())
	bot, ok := s.UserByName(c.name + "-bot")
	require.True(t, ok)
	require.True(t, bot.IsBot)
	require.Len(t, s.Users(), 3, "the admin, the account and the bot")
}
