package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

// Anna's name goes to Bert. At first that fails, and Bert's row says because of whom.
func passedOn(t *testing.T) (*world, reconcile.Vault) {
	t.Helper()
	w, v := newWorld(t), vault(t)
	people := []human{{ID: "1", UID: "anna"}, {ID: "2", UID: "bert", Mail: "bert@example.test"}, {ID: "3", UID: "cleo"}}
	_, err := w.sync(people, sealing(v))
	require.NoError(t, err)
	anna, ok := w.sim.UserByName("anna")
	require.True(t, ok)
	people[0].UID, people[1].UID = "anna.old", "anna"
	w.sim.Fail(mmsim.Fault{Method: "PUT", Path: "/users/" + anna.ID + "/patch", Status: 400, ErrorID: "api.user.update_user.bad", Count: 1})
	rep, err := w.sync(people, sealing(v))
	require.NoError(t, err)
	require.Equal(t, 1, rep.Counts.Skipped)
	_, err = w.run(t.Context(), people, sealing(v), reconcile.RunOptions{Reason: "so that Anna.Old leaves"})
	require.NoError(t, err)
	people[0].Left = "yes"
	_, err = w.sync(people, sealing(v))
	require.NoError(t, err)
	return w, v
}

func (w *world) rowsOf(key string) (out []audit.Personal, forgotten int) {
	w.t.Helper()
	_, rows := w.history()
	for _, r := range rows {
		if r.Key.String() != key {
			continue
		}
		if r.Personal == "" {
			forgotten++
			continue
		}
		p, err := audit.ReadPersonal(r)
		require.NoError(w.t, err)
		out = append(out, p)
	}
	return out, forgotten
}

func TestEngine_Forget_inWhatIsAboutOthers(t *testing.T) {
	t.Parallel()
	w, v := passedOn(t)
	const sentence = `an earlier step of "anna" was not carried out`
	said := func() (n int) {
		rows, _ := w.rowsOf("corp/2")
		for _, p := range rows {
			if strings.Contains(p.Message, sentence) {
				n++
			}
		}
		return n
	}
	require.Equal(t, 1, said(), "Bert's row names Anna")
	before, _ := w.rowsOf("corp/2")
	s := w.store()
	got, err := w.engine(s, nil, sealing(v)).Forget(t.Context(), "corp/1", reconcile.RunOptions{Reason: "asked"})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.Zero(t, said())
	require.Equal(t, 1, got.Elsewhere)
	after, gone := w.rowsOf("corp/2")
	require.Equal(t, 1, gone)
	require.Len(t, after, len(before)-1, "what else is known of Bert stays")
	require.Equal(t, 1, got.Same, "he got her name, which is his own now")
	require.Positive(t, got.Reasons, "what an operator gave as a reason is in the part that cannot go")

	head, _, err := v.Head()
	require.NoError(t, err)
	r := w.verify(v, &head)
	require.Equal(t, audit.Forgotten, r.Verdict)
	require.NotContains(t, w.dump("ops"), sentence)

	next := w.lost(false)
	rebuilt, err := next.rebuild(v, w.export(v, true))
	require.NoError(t, err)
	require.Len(t, rebuilt.Doubts, 1, "Bert was not forgotten")
	require.Contains(t, rebuilt.Doubts[0], "corp/1: the person was forgotten")
	require.Equal(t, w.owned()["corp/2"].Applied, next.owned()["corp/2"].Applied)
}

// A history that was pruned does not know the name any more; the link does.
func TestEngine_Forget_aNameThatOnlyTheLinkKnows(t *testing.T) {
	t.Parallel()
	w, v := newWorld(t), vault(t)
	people := []human{{ID: "1", UID: "anna"}, {ID: "2", UID: "bert"}}
	_, err := w.sync(people, sealing(v))
	require.NoError(t, err)
	s := w.store()
	defer s.Close()
	e := w.engine(s, people, sealing(v))
	people[0].Left = "yes"
	_, err = w.sync(people, sealing(v))
	require.NoError(t, err)
	require.NoError(t, s.SaveRun(t.Context(), state.Run{
		ID: "20000101-000000-000000", Kind: "hold", RequestedBy: "test", Status: state.RunDone, Message: `held: "anna"`,
		RequestedAt: time.Now(), StartedAt: time.Now(), FinishedAt: time.Now(),
	}))
	_, err = e.PruneAudit(t.Context(), 0, byHand)
	require.NoError(t, err)
	_, err = e.PruneAudit(t.Context(), 0, byHand)
	require.NoError(t, err)
	_, err = e.Forget(t.Context(), "corp/1", byHand)
	require.NoError(t, err)
	require.NotContains(t, w.dump("runs"), `held: "anna"`)
}
