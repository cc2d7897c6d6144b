package mattermost_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost"
)

// usersAPIRow is `| METHOD /users/... | operationId | use |`.
var usersAPIRow = regexp.MustCompile(`^\| ((?:GET|POST|PUT|PATCH|DELETE) /users(?:/[a-z_{}/-]+)?) \| ([A-Za-z]+) \| (Used|Never): ([^|]+\.) \|$`)

// The table of docs/users-api.md has each operation once, and says of exactly
// those that the client lets through that they are used.
func TestUsersAPI_tableAgreesWithTheRoutes(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.FromSlash("../../docs/users-api.md"))
	require.NoError(t, err)
	said := map[string]bool{}
	operations := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || line == "| Call | Operation | Use |" || line == "|---|---|---|" {
			continue
		}
		m := usersAPIRow.FindStringSubmatch(line)
		require.NotNil(t, m, "not a row of the table: %s", line)
		require.NotContains(t, said, m[1], "twice in the table")
		require.False(t, operations[m[2]], "operation %s is twice in the table", m[2])
		said[m[1]], operations[m[2]] = m[3] == "Used", true
	}
	require.Len(t, said, 76, "operations of Mattermost's users API")

	made := map[string]bool{}
	for _, rt := range mattermost.Routes() {
		if rt.Path != "/users" && !strings.HasPrefix(rt.Path, "/users/") || strings.HasSuffix(rt.Path, "/custom_profile_attributes") {
			continue // the last is a part of the API of its own
		}
		call := rt.String()
		if rt.Path == "/users/me" { // an id that the API describes with the others
			call = rt.Method + " /users/{user_id}"
		}
		made[call] = true
		require.Contains(t, said, call, "docs/users-api.md has no row for it")
		require.True(t, said[call], "docs/users-api.md says that %s is never made", call)
	}
	for call, used := range said {
		require.Equal(t, made[call], used, "docs/users-api.md says of %s that it is used: %t", call, used)
	}
}
