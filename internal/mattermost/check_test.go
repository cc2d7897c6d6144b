package mattermost_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

var update = flag.Bool("update", false, "rewrite the files in testdata")

// The findings are text that administrators act on; the files in
// testdata/check are there to be read by people.
func TestTarget_Check(t *testing.T) {
	t.Parallel()
	settings := func(more ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	cases := map[string]struct {
		o       mmsim.Options
		prepare func(s *mmsim.Server) (tok string)
	}{
		"well": {mmsim.Options{SeatLimit: 100, Settings: settings("MM_SERVICESETTINGS_SITEURL", "https://chat.example.com")}, func(s *mmsim.Server) string {
			second := s.AddUser(mmsim.User{Username: "second", Email: "second@example.test", Roles: "system_admin system_user"})
			return s.AddToken(s.AddUser(mmsim.User{Username: "mmsync", IsBot: true, OwnerID: second.ID, Roles: "system_admin system_user"}).ID)
		}},
		"personal-token": {mmsim.Options{}, func(s *mmsim.Server) string { return s.AdminToken() }},
		"old-server":     {mmsim.Options{Profile: mmsim.Profile538}, func(s *mmsim.Server) string { return s.AdminToken() }},
		"dead-token":     {mmsim.Options{}, func(*mmsim.Server) string { return "nonsense" }},
		"not-admin": {mmsim.Options{}, func(s *mmsim.Server) string {
			return s.AddToken(s.AddUser(mmsim.User{Username: "plain", Email: "plain@example.test"}).ID)
		}},
		"no-human-admin": {mmsim.Options{}, func(s *mmsim.Server) string {
			s.SetUser(s.AdminID(), func(u *mmsim.User) { u.DeleteAt = 1 })
			return s.AddToken(s.AddUser(mmsim.User{Username: "mmsync", IsBot: true, OwnerID: s.AdminID(), Roles: "system_admin system_user"}).ID)
		}},
		"settings-in-the-way": {mmsim.Options{
			SeatLimit: 2, RateLimit: &mmsim.RateLimit{PerSec: 20, MaxBurst: 100},
			Settings: settings("MM_EMAILSETTINGS_REQUIREEMAILVERIFICATION", "true", "MM_TEAMSETTINGS_ENABLEUSERCREATION", "false",
				"MM_TEAMSETTINGS_RESTRICTCREATIONTODOMAINS", "example.test", "MM_RATELIMITSETTINGS_ENABLE", "true", "MM_RATELIMITSETTINGS_PERSEC", "20"),
		}, func(s *mmsim.Server) string {
			s.AddUser(mmsim.User{Username: "u", Email: "u@example.test"})
			return s.AdminToken()
		}},
		"enterprise": {enterprise(mapping("FirstName Email", "LastName Position")), func(s *mmsim.Server) string { return s.AdminToken() }},
		"database-away": {mmsim.Options{}, func(s *mmsim.Server) string {
			s.Fail(mmsim.Fault{DatabaseAway: true})
			return s.AdminToken()
		}},
		"web-page": {mmsim.Options{}, func(s *mmsim.Server) string {
			s.Fail(mmsim.Fault{HTML: true})
			return s.AdminToken()
		}},
		"redirect": {mmsim.Options{}, func(s *mmsim.Server) string {
			s.Fail(mmsim.Fault{Redirect: "https://chat.example.com/"})
			return s.AdminToken()
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := mmsim.New(c.o)
			tok := c.prepare(s)
			cl := client(t, s.Start(t), tok, func(o *mattermost.Options) { o.ReadOnly, o.RatePerSecond = true, 50 })
			list := mattermost.NewTarget(cl, mattermost.TargetOptions{}).Check(t.Context())
			require.Empty(t, s.Writes())
			for _, f := range list {
				require.Equal(t, f.Level == identity.LevelOK, f.Mend == "", "%s: what is not well says how to mend it", f.Part)
			}
			golden(t, name, strings.NewReplacer(s.URL(), "http://127.0.0.1:8065", s.AdminID(), "<admin>", ownerOf(s), "<owner>", plainOf(s), "<account>", tok, "<token>").Replace(show(list)))
		})
	}
	t.Run("a server that is not there", func(t *testing.T) {
		t.Parallel()
		list := mattermost.NewTarget(client(t, "http://127.0.0.1:1", secret), mattermost.TargetOptions{}).Check(t.Context())
		require.Len(t, list, 1)
		require.Equal(t, identity.LevelFail, list[0].Level)
		require.Contains(t, list[0].Text, "cannot be used")
	})
	t.Run("what cannot be read is said", func(t *testing.T) {
		t.Parallel()
		s := mmsim.New(mmsim.Options{})
		for _, p := range []string{"/config", "/limits/server"} {
			s.Fail(mmsim.Fault{Method: http.MethodGet, Path: p, Status: 403, ErrorID: "api.context.permissions.app_error"})
		}
		list := mattermost.NewTarget(client(t, s.Start(t), s.AdminToken()), mattermost.TargetOptions{}).Check(t.Context())
		text := show(list)
		require.Contains(t, text, "the seat limit cannot be read")
		require.Contains(t, text, "the server's configuration cannot be read")
	})
}

func ownerOf(s *mmsim.Server) string {
	for _, u := range s.Users() {
		if u.IsBot {
			return u.OwnerID
		}
	}
	return "\x00"
}

func plainOf(s *mmsim.Server) string {
	for _, name := range []string{"mmsync", "plain"} {
		if u, ok := s.UserByName(name); ok {
			return u.ID
		}
	}
	return "\x00"
}

func show(list []identity.Finding) string {
	var b strings.Builder
	for _, f := range list {
		fmt.Fprintf(&b, "%-4s  %s: %s\n", f.Level, f.Part, f.Text)
		if f.Mend != "" {
			fmt.Fprintf(&b, "      -> %s\n", strings.ReplaceAll(f.Mend, "\n", "\n         "))
		}
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "check", name+".txt")
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run go test -update, then read the file")
	require.Equal(t, string(want), got)
}
