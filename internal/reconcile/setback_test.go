package reconcile_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// These tests are about servers that show less than mmsync wrote to them.

func (w *world) walks() (pages int) {
	for _, c := range w.sim.Calls() {
		if c.Method == http.MethodGet && c.Path == "/api/v4/users" && !strings.Contains(c.RawQuery, "role") {
			pages++
		}
	}
	return pages
}

// setBackSentences counts how often a report says that the server was set back.
func setBackSentences(rep reconcile.Report) (n int) {
	for _, p := range rep.Problems {
		if strings.HasPrefix(p, "the server shows older versions of accounts than mmsync wrote, or lacks some: it was set back") {
			n++
		}
	}
	return n
}

func TestEngine_SetBack(t *testing.T) {
	t.Parallel()
	// A backup is taken, then a leaver is switched off, a role is taken, and
	// somebody joins; one is still to leave when the backup is restored.
	setup := func(t *testing.T) (*world, []human) {
		w, people := newWorld(t), few()
		people[1].Groups = []string{adminsGroup}
		w.rest(people, wiring{})
		backup := w.sim.SnapshotState()
		time.Sleep(2 * time.Millisecond) // so that what is written next has another time
		people[0].Left, people[1].Groups = "yes", nil
		people = append(people, human{ID: "9", UID: "nora"})
		for range 2 {
			w.decided(people, wiring{})
		}
		w.decided(people, long)
		require.Zero(t, w.decided(people, long))
		people[2].Left = "yes"
		w.sim.RestoreState(backup)
		w.sim.ResetCalls()
		return w, people
	}
	t.Run("a plan says so and writes nothing", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		before := w.links()
		for range 2 {
			rep := w.plan(people, wiring{})
			require.Equal(t, 1, setBackSentences(rep))
			require.False(t, rep.Plan.Effective())
		}
		require.Equal(t, before, w.links())
	})
	t.Run("nothing is taken, everybody is decided, everything is walked, and it is said once", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		rep, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, 1, setBackSentences(rep))
		require.Equal(t, len(people), rep.Decided)
		require.NotZero(t, w.walks())
		require.Zero(t, rep.AuditAge)
		for _, anchor := range []string{"1", "2", "3"} {
			require.Equal(t, plan.ServerSetBack, decisionOn(t, rep, anchor).Reason, anchor)
		}
		require.Equal(t, plan.AccountMissing, decisionOn(t, rep, "9").Reason)
		require.Empty(t, w.sim.Writes())
		require.Empty(t, w.settledOnes(), "nobody is settled by such a run")

		rep, err = w.sync(people, wiring{})
		require.NoError(t, err)
		require.Zero(t, setBackSentences(rep))
		require.Equal(t, 2, rep.Plan.Count(plan.Deactivate))
		require.Equal(t, 1, rep.Plan.Count(plan.Update))
		require.False(t, w.active("anna"))
		require.False(t, w.active("cora"))
		bert, _ := w.sim.UserByName("bert")
		require.False(t, bert.IsAdmin())
	})
	t.Run("who is missing is not missed by such a run", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		rep, err := w.sync(people[:3], wiring{change: threeDays})
		require.NoError(t, err)
		require.Equal(t, 1, setBackSentences(rep))
		for _, s := range w.sightings() {
			require.NotEqual(t, "4", s.Key.Anchor)
		}
	})
	t.Run("what is given goes on", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		people[3].Title = "Director"
		people = append(people, human{ID: "10", UID: "olga"})
		rep, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, 2, rep.Counts.Done)
		require.Equal(t, "Director", w.position("dirk"))
		require.True(t, w.active("olga"))
	})
	t.Run("a run that failed before it acted has not used up what shows it", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		_, err := w.sync(people, wiring{change: func(o *reconcile.Options) { o.Sources[0] = unreadable{o.Sources[0]} }})
		require.ErrorIs(t, err, errUnreadable)
		require.Equal(t, 1, setBackSentences(w.plan(people, wiring{})), "a plan knows of it too")
		rep, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, 1, setBackSentences(rep))
		require.Zero(t, rep.Plan.Count(plan.Deactivate))
		for _, anchor := range []string{"1", "2", "3"} {
			require.Equal(t, plan.ServerSetBack, decisionOn(t, rep, anchor).Reason, anchor)
		}
		require.Empty(t, w.sim.Writes())
		rep, err = w.sync(people, wiring{})
		require.NoError(t, err)
		require.Zero(t, setBackSentences(rep))
		require.False(t, w.active("anna"))
		require.False(t, w.active("cora"))
	})
	t.Run("accounts that went with it come back in the run after, where that is wanted", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		again := wiring{change: func(o *reconcile.Options) { o.Policy.RecreateGone = true }}
		rep, err := w.sync(people, again)
		require.NoError(t, err)
		require.Equal(t, plan.ServerSetBack, decisionOn(t, rep, "9").Reason)
		_, ok := w.sim.UserByName("nora")
		require.False(t, ok)
		was := w.links()["9"].AccountID
		rep, err = w.sync(people, again)
		require.NoError(t, err)
		require.Equal(t, plan.Recreated, decisionOn(t, rep, "9").Reason)
		nora, ok := w.sim.UserByName("nora")
		require.True(t, ok)
		require.NotEqual(t, was, nora.ID)
		require.Equal(t, nora.ID, w.links()["9"].AccountID)
	})
}

// unreadable is a source that cannot be read.
type unreadable struct{ reconcile.Source }

var errUnreadable = errors.New("the directory is away")

func (unreadable) Snapshot(context.Context, func(identity.Identity) bool) (identity.Snapshot, error) {
	return identity.Snapshot{}, errUnreadable
}

func (w *world) settledOnes() []string {
	var out []string
	for anchor, is := range w.settled() {
		if is {
			out = append(out, anchor)
		}
	}
	return out
}

func TestEngine_Gone(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) (*world, []human) {
		w, people := newWorld(t), few()
		w.rest(people, wiring{})
		u, _ := w.sim.UserByName("anna")
		w.sim.RemoveUser(u.ID)
		return w, people
	}
	t.Run("one account is a sign of a server that was set back once, and then held", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		for i := range 3 {
			rep, err := w.sync(people, wiring{})
			require.NoError(t, err)
			require.Equal(t, map[bool]int{true: 1, false: 0}[i == 0], setBackSentences(rep))
			require.Equal(t, plan.AccountMissing, decisionOn(t, rep, "1").Reason)
		}
		require.Len(t, w.sim.Users(), 4)
	})
	t.Run("of somebody who has left, the link goes", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		for range 2 {
			_, err := w.sync(people[1:], wiring{})
			require.NoError(t, err)
		}
		require.NotContains(t, w.links(), "1")
	})
	t.Run("it is made anew where that is wanted, however often that is cut off", func(t *testing.T) {
		t.Parallel()
		again := func(o *reconcile.Options) { o.Policy.RecreateGone = true }
		for _, kind := range []cutKind{beforeWrite, afterWrite, beforeRequest, afterRequest} {
			for n := 1; ; n += step(3) {
				w, people := setup(t)
				_, err := w.sync(people, wiring{change: again})
				require.NoError(t, err)
				c := &crash{at: int64(n), kind: kind}
				_, err = w.sync(people, wiring{change: again, network: c, wrap: func(s state.Store) state.Store { return mortal{s, c} }})
				if !c.dead.Load() {
					require.NoError(t, err)
					require.Greater(t, n, 5)
					break
				}
				w.settle(people, wiring{change: again})
				anna, ok := w.sim.UserByName("anna")
				require.True(t, ok, "%s %d", kind, n)
				require.Equal(t, anna.ID, w.links()["1"].AccountID, "%s %d", kind, n)
				require.Len(t, w.sim.Users(), 5, "%s %d", kind, n)
			}
		}
	})
}

// hiding leaves an account out of the answers to look-ups of a kind.
func hiding(id string, paths ...string) network {
	return func(r *http.Request) (*http.Response, error) {
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return answer, err
		}
		for _, path := range paths {
			if !strings.HasSuffix(r.URL.Path, path) {
				continue
			}
			var list []map[string]any
			err := json.NewDecoder(answer.Body).Decode(&list)
			_ = answer.Body.Close()
			if err != nil {
				return nil, err
			}
			kept := []map[string]any{}
			for _, a := range list {
				if a["id"] != id {
					kept = append(kept, a)
				}
			}
			text, err := json.Marshal(kept)
			if err != nil {
				return nil, err
			}
			answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
			answer.Header.Del("Content-Length")
		}
		return answer, nil
	}
}

func TestEngine_Absence_isNoProof(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) (*world, []human, string) {
		w, people := newWorld(t), few()
		w.rest(people, wiring{})
		people[0].Title = "Director"
		u, _ := w.sim.UserByName("anna")
		return w, people, u.ID
	}
	denied := func(w *world, id string) {
		w.sim.Fail(mmsim.Fault{Method: http.MethodGet, Path: "/users/" + id, Status: http.StatusNotFound, ErrorID: "app.user.missing_account.const"})
	}
	t.Run("an account that one answer lacks is there when asked for alone", func(t *testing.T) {
		t.Parallel()
		w, people, id := setup(t)
		rep, err := w.sync(people, wiring{network: hiding(id, "/users/ids")})
		require.NoError(t, err)
		require.Equal(t, 1, rep.Counts.Done)
		require.Equal(t, "Director", w.position("anna"))
	})
	t.Run("an account that is denied by id is there by name", func(t *testing.T) {
		t.Parallel()
		w, people, id := setup(t)
		denied(w, id)
		rep := w.plan(people, wiring{network: hiding(id, "/users/ids", "/users")})
		require.Equal(t, plan.Update, decisionOn(t, rep, "1").Action)
	})
	t.Run("an account that is denied by id and name by a server that is not well is not gone", func(t *testing.T) {
		t.Parallel()
		w, people, id := setup(t)
		denied(w, id)
		w.sim.Fail(mmsim.Fault{Path: "/system/ping", DatabaseAway: true})
		again := wiring{network: hiding(id, "/users/ids", "/users/usernames", "/users"), change: func(o *reconcile.Options) { o.Policy.RecreateGone = true }}
		for range 2 {
			_, err := w.sync(people, again)
			require.ErrorContains(t, err, "Mattermost has been away", "a server that is not well proves nothing, and nothing is done there")
		}
		require.NotNil(t, w.links()["1"].Observed)
		require.Len(t, w.sim.Users(), 5)
	})
	t.Run("an account that a server denies that is well is gone", func(t *testing.T) {
		t.Parallel()
		w, people, id := setup(t)
		denied(w, id)
		again := wiring{network: hiding(id, "/users/ids", "/users/usernames", "/users")}
		rep, err := w.sync(people, again)
		require.NoError(t, err)
		require.Equal(t, plan.AccountMissing, decisionOn(t, rep, "1").Reason)
		require.Nil(t, w.links()["1"].Observed)
	})
}

// Twenty leavers are active again after yesterday's backup was restored, and those
// of yesterday count against the limit: one word switches all of them off.
func TestEngine_SetBack_approved(t *testing.T) {
	t.Parallel()
	w, people := newWorld(t), many(60)
	tight := wiring{change: func(o *reconcile.Options) { o.Limits.Deactivations.Count = 30 }}
	w.rest(people, tight)
	backup := w.sim.SnapshotState()
	w.sim.SetClockOffset(24 * time.Hour)
	for i := range 20 {
		people[i].Left = "yes"
	}
	_, err := w.sync(people, tight)
	require.NoError(t, err)
	require.Equal(t, 20, w.gone())
	w.sim.RestoreState(backup)
	w.sim.ResetCalls()

	held, err := w.sync(people, tight)
	require.NoError(t, err)
	require.Equal(t, 1, setBackSentences(held))
	require.Zero(t, w.gone())
	require.Empty(t, w.sim.Writes())
	v := w.approve(held.RunID)
	require.Len(t, v.Items, 20)
	rep, err := w.sync(people, tight)
	require.NoError(t, err)
	require.False(t, rep.Verdict.Tripped())
	require.Equal(t, 20, w.gone())
	require.Equal(t, 20, rep.Counts.Done)
	require.NotZero(t, w.verdict(v.ID).ClosedAt)
}
