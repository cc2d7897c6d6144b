package reconcile_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/state"
)

// adoptees are people with accounts that were there before, known by their login.
func adoptees(w *world, n int, title string) []human {
	long := time.Now().Add(-1000 * time.Hour).UnixMilli()
	var people []human
	for i := range n {
		uid := fmt.Sprintf("p%05d", i)
		people = append(people, human{ID: "e" + uid, UID: uid, Service: "saml", Login: uid + "@idp", Title: title})
		w.sim.AddUser(mmsim.User{Username: uid, Email: uid + "@example.test", AuthService: "saml", AuthData: uid + "@idp", CreateAt: long, Position: "Old"})
	}
	return people
}

// A revert is guarded like a sync, and does not disturb what guards and operators
// said about syncs.
func TestEngine_Revert_held(t *testing.T) {
	t.Parallel()
	t.Run("an account of which something is held back stays its person's until that was approved", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		people := adoptees(w, 5, "New")
		did, err := w.sync(people, wiring{change: roomy})
		require.NoError(t, err)
		require.Equal(t, "New", w.position("p00000"))
		tight := wiring{change: func(o *reconcile.Options) { roomy(o); o.Limits.Updates = guard.Limit{Count: 2} }}
		rep, err := w.revert(did.RunID, tight)
		require.NoError(t, err)
		require.Equal(t, state.RunWithheld, rep.Status)
		require.Zero(t, rep.Counts.Done)
		require.Equal(t, "New", w.position("p00000"))
		require.Len(t, w.owned(), 5)

		w.approve(rep.RunID)
		rep, err = w.revert(did.RunID, tight)
		require.NoError(t, err)
		require.Empty(t, rep.Failures)
		require.Equal(t, "Old", w.position("p00000"))
		require.Empty(t, w.owned())
	})
	t.Run("whom a guard holds it does not release", func(t *testing.T) {
		t.Parallel()
		w, people := crowdOf(t, 200)
		lim := func(o *reconcile.Options) { o.Limits.Deactivations = guard.Limit{Count: 50} }
		for i := range 40 {
			people[i].Title = "Boss"
		}
		did, err := w.sync(people, w.on(0, lim))
		require.NoError(t, err)
		require.Equal(t, 40, did.Counts.Done)
		for i := range 60 {
			people[i].Left = "yes"
		}
		rep, err := w.sync(people, w.on(time.Minute, lim))
		require.NoError(t, err)
		require.Equal(t, state.RunWithheld, rep.Status)
		rep, err = w.revert(did.RunID, w.on(2*time.Minute, lim))
		require.NoError(t, err)
		require.Equal(t, 40, rep.Counts.Done)
		w.release()
		rep, err = w.sync(people, w.on(3*time.Minute, lim))
		require.NoError(t, err)
		require.Equal(t, state.RunWithheld, rep.Status)
		require.Empty(t, w.offs(), "nobody approved that")
	})
	t.Run("what was approved for a sync it does not use up", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), many(80)
		w.rest(people, wiring{})
		people[0].Title = "Boss"
		did, err := w.sync(people, wiring{})
		require.NoError(t, err)
		for i := range 60 {
			people[i].Left = "yes"
		}
		held, err := w.sync(people, wiring{})
		require.NoError(t, err)
		v := w.approve(held.RunID)
		rep, err := w.revert(did.RunID, wiring{})
		require.NoError(t, err)
		require.Equal(t, 1, rep.Counts.Done)
		require.Empty(t, rep.Problems)
		for _, it := range w.verdict(v.ID).Items {
			require.Empty(t, it.UsedBy, it.Username)
		}
		w.release()
		_, err = w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, 60, w.gone())
	})
	t.Run("what a plan of it would hold can be approved by the plan's id", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		people := adoptees(w, 5, "New")
		did, err := w.sync(people, wiring{change: roomy})
		require.NoError(t, err)
		tight := wiring{change: func(o *reconcile.Options) { roomy(o); o.Limits.Updates = guard.Limit{Count: 2} }}
		s := w.store()
		rep, err := w.engine(s, people, tight).PlanRevert(t.Context(), operator, did.RunID)
		require.NoError(t, err)
		require.NoError(t, s.Close())
		require.Contains(t, rep.Verdict.Message(), "mmsync approve "+rep.RunID)
		require.Len(t, w.approve(rep.RunID).Items, 5)
		_, err = w.revert(did.RunID, tight)
		require.NoError(t, err)
		require.Equal(t, "Old", w.position("p00000"))
	})
	t.Run("two of them about one person hold him twice, one that is repeated once", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()
		w.rest(people, wiring{})
		people[0].Title = "Director"
		a, err := w.sync(people, wiring{})
		require.NoError(t, err)
		people[0].Mail = "x@example.test"
		b, err := w.sync(people, wiring{})
		require.NoError(t, err)
		first, err := w.revert(a.RunID, wiring{})
		require.NoError(t, err)
		again, err := w.revert(a.RunID, wiring{})
		require.NoError(t, err)
		require.Zero(t, again.Pinned)
		second, err := w.revert(b.RunID, wiring{})
		require.NoError(t, err)
		require.Equal(t, 1, second.Pinned)
		s := w.store()
		_, err = reconcile.ReleaseHold(t.Context(), s, operator, func(x state.Stop) bool { return x.Run == first.RunID })
		require.NoError(t, err)
		require.NoError(t, s.Close())
		_, err = w.sync(people, wiring{})
		require.NoError(t, err)
		u, _ := w.sim.UserByName("anna")
		require.Equal(t, "anna@example.test", u.Email, "nobody released that")
	})
}
