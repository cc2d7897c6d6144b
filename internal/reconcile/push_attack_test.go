package reconcile_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

// Whoever may push is not whoever may become an administrator: what would let him is
// kept and held, and nothing is written.
func TestEngine_Push_attack(t *testing.T) {
	t.Parallel()
	held := func(p *pusher, id identity.Identity) string {
		t.Helper()
		p.w.sim.ResetCalls()
		p.push(id)
		require.Empty(t, p.w.sim.Writes())
		due, err := p.store.DueOf(t.Context(), []identity.Key{id.Key})
		require.NoError(t, err)
		require.Len(t, due, 1)
		return due[0].Reason
	}
	mail := func(to string) func(*identity.Identity) {
		return func(id *identity.Identity) { id.Profile.Email = to }
	}
	t.Run("an administrator's address is not changed", func(t *testing.T) {
		t.Parallel()
		p := newWorld(t).service(newClient(), wiring{})
		p.push(pushedID(1, nil))
		p.w.edit("p0001", func(u *mmsim.User) { u.Roles = "system_admin system_user" })
		require.Equal(t, "needs_approval", held(p, pushedID(1, mail("thief@example.test"))))
	})
	t.Run("an administrator's address is nobody's to take", func(t *testing.T) {
		t.Parallel()
		p := newWorld(t).service(newClient(), wiring{})
		admin := p.w.sim.Users()[0]
		require.Equal(t, "email_taken", held(p, pushedID(1, mail(admin.Email))))
		require.Equal(t, "username_taken", held(p, pushedID(2, func(id *identity.Identity) { id.Profile.Username = admin.Username })))
		p.push(pushedID(3, nil))
		require.Equal(t, "email_taken", held(p, pushedID(3, mail(admin.Email))))
	})
	t.Run("an account that was switched off by somebody else is not switched on", func(t *testing.T) {
		t.Parallel()
		p := newWorld(t).service(newClient(), wiring{})
		p.push(pushedID(1, nil))
		p.w.edit("p0001", func(u *mmsim.User) { u.DeleteAt = u.CreateAt + 1 })
		require.Equal(t, "deactivated_by_other", held(p, pushedID(1, titled("Pilot"))))
	})
}
