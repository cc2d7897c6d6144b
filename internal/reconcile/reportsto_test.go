package reconcile_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

func noting() wiring {
	return wiring{change: func(o *reconcile.Options) { o.Managers, o.PolicyDigest = true, "with managers" }}
}

// chief gives the username of whom the link of somebody holds as his manager; "" for none.
func (w *world) chief(anchor string) string {
	w.t.Helper()
	id := w.links()[anchor].Applied.Manager
	if id == "" {
		return ""
	}
	for _, u := range w.sim.Users() {
		if u.ID == id {
			return u.Username
		}
	}
	w.t.Fatalf("the manager of %s has no account: %s", anchor, id)
	return ""
}

func TestEngine_notes_whom_people_report_to(t *testing.T) {
	t.Parallel()
	t.Run("once, without an op, and anew only when it is somebody else", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), noting()
		ann, bob, cid := human{ID: "1", UID: "ann"}, human{ID: "2", UID: "bob", Chief: "1"}, human{ID: "3", UID: "cid", Chief: "2"}
		w.rest([]human{ann, bob, cid}, with)
		require.Equal(t, []string{"", "ann", "bob"}, []string{w.chief("1"), w.chief("2"), w.chief("3")})
		require.Zero(t, w.decided([]human{ann, bob, cid}, with))
		cid.Chief = "1"
		w.sim.ResetCalls()
		rep, err := w.sync([]human{ann, bob, cid}, with)
		require.NoError(t, err)
		require.Equal(t, 1, rep.Decided)
		require.Zero(t, rep.Counts.Done, "it is no change")
		require.Empty(t, w.sim.Writes())
		require.False(t, rep.Plan.Effective())
		require.Equal(t, "ann", w.chief("3"))
		require.Zero(t, w.decided([]human{ann, bob, cid}, with), "who was noted is settled")
		cid.Chief = ""
		w.rest([]human{ann, bob, cid}, with)
		require.Empty(t, w.chief("3"), "that there is nobody is known of whom is there")
	})
	t.Run("whose account is not known is nobody, and not the one before him", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), noting()
		ann, bob := human{ID: "1", UID: "ann"}, human{ID: "2", UID: "bob", Chief: "1"}
		w.rest([]human{ann, bob}, with)
		require.Equal(t, "ann", w.chief("2"))
		bob.Chief = "9"
		w.rest([]human{ann, bob}, with)
		require.Empty(t, w.chief("2"))
		bob.Chief = "1"
		w.rest([]human{ann, bob}, with)
		require.Equal(t, "ann", w.chief("2"))
		ann.Left = "yes"
		w.settle([]human{ann, bob}, with)
		w.settle([]human{ann, bob}, with)
		require.Empty(t, w.chief("2"))
	})
	t.Run("whoever leaves keeps the last one, though his entry names nobody any more", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), noting()
		ann, bob := human{ID: "1", UID: "ann"}, human{ID: "2", UID: "bob", Chief: "1"}
		w.rest([]human{ann, bob}, with)
		bob.Chief, bob.Left = "", "yes"
		w.settle([]human{ann, bob}, with)
		require.False(t, w.user("bob").Active())
		require.Equal(t, "ann", w.chief("2"))
		w.settle([]human{ann, bob}, with)
		require.Equal(t, "ann", w.chief("2"))
		bob.Left = ""
		w.settle([]human{ann, bob}, with)
		w.settle([]human{ann, bob}, with)
		require.Empty(t, w.chief("2"), "back again, he reports to nobody")
	})
	t.Run("settled people are decided about again when the manager's account is another one", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), noting()
		bob, cid := human{ID: "2", UID: "bob", Chief: "1"}, human{ID: "3", UID: "cid", Chief: "1"}
		w.rest([]human{bob, cid}, with)
		require.Empty(t, w.chief("2"))
		ann := human{ID: "1", UID: "ann"}
		require.Equal(t, 1, w.decided([]human{ann, bob, cid}, with), "the others have not changed")
		require.Equal(t, 3, w.decided([]human{ann, bob, cid}, with))
		require.Equal(t, "ann", w.chief("2"))
		require.Equal(t, "ann", w.chief("3"))
		w.rest([]human{ann, bob, cid}, with)
	})
	t.Run("an entry with a fault says nothing of it", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), noting()
		ann, bob := human{ID: "1", UID: "ann"}, human{ID: "2", UID: "bob", Chief: "1"}
		w.rest([]human{ann, bob}, with)
		bob.UID, bob.Mail = "", "bob@example.test"
		_, err := w.sync([]human{ann, bob}, with)
		require.NoError(t, err)
		require.Equal(t, "ann", w.chief("2"))
	})
	t.Run("nobody is noted where nobody asked for it, and nothing is decided otherwise", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.rest([]human{{ID: "1", UID: "ann"}, {ID: "2", UID: "bob", Chief: "1"}}, wiring{})
		require.Empty(t, w.chief("2"))
	})
	t.Run("plan writes nothing of it, and explain names him", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), noting()
		ann, bob := human{ID: "1", UID: "ann"}, human{ID: "2", UID: "bob", Chief: "1"}
		w.rest([]human{ann, bob}, wiring{})
		w.plan([]human{ann, bob}, with)
		require.Empty(t, w.chief("2"))
		w.rest([]human{ann, bob}, with)
		s := w.store()
		defer func() { require.NoError(t, s.Close()) }()
		x, err := w.engine(s, []human{ann, bob}, with).Explain(t.Context(), "bob")
		require.NoError(t, err)
		require.Equal(t, "ann", x.Manager)
		x, err = w.engine(s, []human{ann, bob}, with).Explain(t.Context(), "ann")
		require.NoError(t, err)
		require.Empty(t, x.Manager)
	})
}

func TestEngine_notes_managers_of_pushes_and_changes(t *testing.T) {
	t.Parallel()
	t.Run("somebody who is pushed names whom the client pushed before", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		p := w.service(newClient(), noting())
		p.push(pushedID(1, func(*identity.Identity) {}))
		p.calm()
		p.push(pushedID(3, func(id *identity.Identity) { id.Manager = "id-0001" }))
		p.calm()
		require.Equal(t, "p0001", w.chief("id-0003"))
		p.push(pushedID(3, func(id *identity.Identity) { id.Active = false }))
		p.calm()
		require.False(t, w.user("p0003").Active())
		require.Equal(t, "p0001", w.chief("id-0003"))
	})
	t.Run("a run that reads only what changed knows everybody's account", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		c := &changing{world: w, ledgered: &ledgered{people: three()}, change: noting().change}
		c.sync(t, false)
		c.sync(t, false)
		c.set(human{ID: "2", UID: "bert", Chief: "1"})
		rep := c.sync(t, true)
		require.Equal(t, state.RunDone, rep.Status)
		require.Equal(t, "anna", w.chief("2"))
		c.sync(t, false)
		require.Zero(t, c.sync(t, false).Decided)
	})
}
