package e2ereal_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

// marker begins the name of every account of a suite, so that what a killed run
// left behind can be told from everything else.
const marker = "mms-"

func newPrefix() string { return marker + strings.ToLower(rand.Text()[:8]) + "-" }

// sweep ends every account with the prefix and those with the ids, for good where
// the server lets that happen; elsewhere it frees its names and its login and
// switches it off. It goes on after a fault, and joins all of them.
func (s server) sweep(ctx context.Context, prefix string, ids []string) error {
	found, err := s.withPrefix(ctx, prefix, true)
	if err != nil {
		return err
	}
	left := map[string]account{}
	for _, id := range ids {
		left[id] = account{ID: id}
	}
	for _, a := range found {
		left[a.ID] = a
	}
	var faults []string
	for _, id := range slices.Sorted(maps.Keys(left)) {
		if err := s.end(ctx, id); err != nil {
			faults = append(faults, err.Error())
		}
	}
	active, err := s.withPrefix(ctx, prefix, false)
	switch {
	case err != nil:
		faults = append(faults, err.Error())
	case len(active) > 0:
		faults = append(faults, fmt.Sprintf("%d accounts are still active, %s the first", len(active), active[0].Username))
	}
	if len(faults) > 0 {
		return fmt.Errorf("clean up %s on %s: %s", prefix, s.url, strings.Join(faults, "; "))
	}
	return nil
}

func (s server) withPrefix(ctx context.Context, prefix string, inactive bool) ([]account, error) {
	ask := map[string]any{"term": prefix, "allow_inactive": inactive, "limit": 1000}
	status, raw, err := s.ask(ctx, http.MethodPost, "/users/search", ask)
	if err != nil {
		return nil, err
	}
	var found []account
	if err := json.Unmarshal(raw, &found); status != http.StatusOK || err != nil {
		return nil, fmt.Errorf("search %s: status %d: %s", prefix, status, raw)
	}
	return slices.DeleteFunc(found, func(a account) bool { return !strings.HasPrefix(a.Username, prefix) }), nil
}

// end takes one account away, or out of everybody's way.
func (s server) end(ctx context.Context, id string) error {
	status, _, err := s.ask(ctx, http.MethodDelete, "/users/"+id+"?permanent=true", nil)
	if err != nil || status == http.StatusOK || status == http.StatusNotFound {
		return err
	}
	free := "mms-gone-" + strings.ToLower(rand.Text()[:16])
	steps := []struct {
		method, path string
		body         any
	}{
		{http.MethodPut, "/roles", map[string]string{"roles": "system_user"}},
		// An account of another service has no name of its own; a password takes it out.
		{http.MethodPut, "/password", map[string]string{"new_password": "Gone-" + rand.Text() + "-1!a"}},
		{http.MethodPut, "/patch", map[string]string{"username": free, "email": free + "@example.test"}},
		{http.MethodDelete, "", nil},
	}
	for _, step := range steps {
		status, raw, err := s.ask(ctx, step.method, "/users/"+id+step.path, step.body)
		if err != nil {
			return err
		}
		if status != http.StatusOK && step.method == http.MethodDelete {
			return fmt.Errorf("switch off %s: status %d: %s", id, status, raw)
		}
	}
	return nil
}

// sweepAfter sweeps when the test ends, however it ends.
func (s server) sweepAfter(t testing.TB, prefix string, ids func() []string) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) //nolint:usetesting // the test's own has ended by now
		defer cancel()
		if err := s.sweep(ctx, prefix, ids()); err != nil {
			t.Error(err)
		}
	})
}

func TestServer_sweep(t *testing.T) {
	t.Parallel()
	for _, profile := range []mmsim.Profile{mmsim.Profile116, mmsim.Profile538} {
		for _, allowed := range []string{"true", "false"} {
			t.Run(fmt.Sprintf("profile %d, deletion allowed %s", profile, allowed), func(t *testing.T) {
				t.Parallel()
				s := simulated(t, mmsim.Options{Profile: profile, Settings: map[string]string{"MM_SERVICESETTINGS_ENABLEAPIUSERDELETION": allowed}})
				prefix := newPrefix()
				own := s.sim.AddUsers([]mmsim.User{
					{Username: prefix + "password", Email: "a@example.test", Password: "Passw0rd-ok-1!", Roles: "system_user system_post_all"},
					{Username: prefix + "saml", Email: "b@example.test", AuthService: "saml", AuthData: "b"},
					{Username: prefix + "ldap", Email: "c@example.test", AuthService: "ldap", AuthData: "c"},
					{Username: prefix + "off", Email: "d@example.test", DeleteAt: 5},
					{Username: "parked-elsewhere", Email: "e@example.test"},
				})
				other := s.sim.AddUser(mmsim.User{Username: "somebody", Email: "f@example.test", Nickname: prefix})
				require.NoError(t, s.sweep(t.Context(), prefix, []string{own[4].ID}))
				for _, u := range own {
					_, taken := s.sim.UserByName(u.Username)
					require.False(t, taken, "%s is free again", u.Username)
					if left, ok := s.sim.User(u.ID); ok {
						require.False(t, left.Active())
						require.Empty(t, left.AuthData)
						require.Equal(t, "system_user", left.Roles)
						require.NotEqual(t, "true", allowed)
					}
				}
				now, _ := s.sim.User(other.ID)
				require.Equal(t, other, now)
				require.NoError(t, s.sweep(t.Context(), prefix, nil), "a second time there is nothing to do")
			})
		}
	}
}
