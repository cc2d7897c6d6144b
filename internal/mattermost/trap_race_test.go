package mattermost_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// The server reads an account's row and writes it whole: of two writes that come
// together both are answered 200, and one may be gone. How often was seen on real
// servers, and the simulator loses them as often; so one account has one write on
// its way at a time, whoever sends it.
func TestTrap_twoWritesOfOneAccount(t *testing.T) {
	t.Parallel()
	const accounts = 40 // the rarest loss is 28 in 100
	for name, other := range map[string]struct {
		op    plan.Op
		shows func(mmsim.User) bool
	}{
		"PATCH":        {op(plan.PatchProfile, change("position", "", "Head")), func(u mmsim.User) bool { return u.Position == "Head" }},
		"active=false": {op(plan.SetActive, change("active", "true", "false")), func(u mmsim.User) bool { return !u.Active() }},
		"auth": {
			op(plan.SetAuth, change("auth_service", "saml", "openid"), change("auth_data", "", "moved")),
			func(u mmsim.User) bool { return u.AuthService == "openid" },
		},
		"roles": {op(plan.SetRoles, change("roles", "system_user", "system_admin system_user")), mmsim.User.IsAdmin},
	} {
		t.Run(name+" and PATCH", func(t *testing.T) {
			t.Parallel()
			s := mmsim.New(mmsim.Options{LostConcurrentWrites: true, WriteWindow: 50 * time.Millisecond})
			c := client(t, s.Start(t), s.AdminToken(), func(o *mattermost.Options) { o.MaxInFlight = 2 * accounts })
			target := mattermost.NewTarget(c, mattermost.TargetOptions{})
			var wg sync.WaitGroup
			var ids []string
			for i := range accounts {
				n := fmt.Sprintf("u%02d", i)
				u := s.AddUser(mmsim.User{Username: n, Email: n + "@example.test", AuthService: "saml", AuthData: n})
				ids = append(ids, u.ID)
				second := other.op
				if second.Kind == plan.SetAuth { // no two accounts have the same
					second.Changes = []plan.Change{second.Changes[0], change("auth_data", n, "moved "+n)}
				}
				for _, o := range []plan.Op{op(plan.PatchProfile, change("nickname", "", "Nick")), second} {
					wg.Go(func() { _, _ = target.Apply(t.Context(), u.ID, o, mattermost.ApplyOptions{}) })
				}
			}
			wg.Wait()
			for _, id := range ids {
				u, _ := s.User(id)
				require.Equal(t, "Nick", u.Nickname, "the patch is there")
				require.True(t, other.shows(u), "the other write is there: %+v", u)
			}
		})
	}
}
