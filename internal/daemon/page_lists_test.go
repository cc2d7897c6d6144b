package daemon

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
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

// pushed writes runs of single people, as pushes leave them.
func (w *pageWorld) pushed(t *testing.T, n int, status state.RunStatus, decide func(i int) *plan.Decision) {
	t.Helper()
	l, err := w.Store.AcquireLease(t.Context(), reconcile.LeaseName, "test", time.Minute)
	require.NoError(t, err)
	now := time.Now()
	for i := range n {
		// Ids are ordered by time.
		run := state.Run{
			ID: fmt.Sprintf("zz%05d%s", i, status[:2]), Kind: reconcile.KindPush, Trigger: "push", Status: status, Token: l.Token,
			RequestedAt: now, StartedAt: now, FinishedAt: now.Add(time.Second),
		}
		if d := decide(i); d != nil {
			require.NoError(t, w.Store.BeginRun(t.Context(), l, run, plan.Plan{Decisions: []plan.Decision{*d}}, state.SightingChanges{}))
		} else {
			run.PlannedAt = now
			require.NoError(t, w.Store.SaveRun(t.Context(), run))
		}
	}
	require.NoError(t, w.Store.ReleaseLease(t.Context(), l))
}

// anew is a visitor of a page that has not read anything yet.
func (w *pageWorld) anew(t *testing.T) *visitor {
	t.Helper()
	h, err := w.page("", nil)
	require.NoError(t, err)
	other := httptest.NewServer(h)
	t.Cleanup(other.Close)
	v := w.visitor(t)
	v.base = other.URL
	return v.login(t)
}

func TestPage_pushes_crowd_out_neither_runs_nor_what_is_held(t *testing.T) {
	t.Parallel()
	w := newPage(t, "token: "+pageToken, staff(6, 0)...)
	w.sync(t)
	w.sim.AddUser(mmsim.User{Username: "taken", Email: "person06@example.test"})
	w.write(t, staff(7, 4)...)
	rep := w.sync(t)
	require.Equal(t, state.RunWithheld, rep.Status)
	held, err := w.Store.Held(t.Context())
	require.NoError(t, err)
	require.Len(t, held, 4)
	v := w.visitor(t).login(t)
	before, asked := v.get(t, "/held").body, v.get(t, "/conflicts").body
	require.Contains(t, asked, "hr/e06")
	w.pushed(t, 700, state.RunDone, func(int) *plan.Decision { return nil })
	w.pushed(t, 1, state.RunPartial, func(int) *plan.Decision {
		return &plan.Decision{Key: identity.Key{Source: "hr", Anchor: "pushed"}, Username: "pushed.one", Action: plan.Hold, Reason: plan.NameReserved}
	})

	page := v.get(t, "/runs").body
	require.Contains(t, page, rep.RunID)
	require.NotContains(t, page, "zz00000do", "pushes have a list of their own")
	page = v.get(t, "/runs?show=failed").body
	require.Contains(t, page, rep.RunID)
	require.NotContains(t, page, "zz00000pa")
	require.Contains(t, v.get(t, "/runs?show=failed-pushes").body, "zz00000pa")

	v = w.anew(t)
	after := v.get(t, "/held").body
	for i := range 4 {
		require.Contains(t, before, fmt.Sprintf("person%02d", i))
		require.Contains(t, after, fmt.Sprintf("person%02d", i))
	}
	require.Contains(t, after, "pushed.one", "which is far behind by now")
	require.Contains(t, v.get(t, "/conflicts").body, "hr/e06")

	// What the store does not keep any more is not held, whatever a run said of it.
	l, err := w.Store.AcquireLease(t.Context(), reconcile.LeaseName, "test", time.Minute)
	require.NoError(t, err)
	require.NoError(t, w.Store.BeginRun(t.Context(), l, state.Run{ID: "zzz", Kind: reconcile.KindPush, Status: state.RunDone, Token: l.Token, RequestedAt: time.Now()},
		plan.Plan{}, state.SightingChanges{Released: []identity.Key{{Source: "hr", Anchor: "e00"}}}))
	require.NoError(t, w.Store.ReleaseLease(t.Context(), l))
	require.NotContains(t, w.anew(t).get(t, "/held").body, "person00")
}

func TestPage_a_service_that_is_only_pushed_to_shows_what_it_holds(t *testing.T) {
	t.Parallel()
	w := newPage(t, "token: "+pageToken)
	w.pushed(t, 1, state.RunPartial, func(int) *plan.Decision {
		return &plan.Decision{Key: identity.Key{Source: "hr", Anchor: "a"}, Username: "pushed.one", Action: plan.Hold, Reason: plan.NameReserved}
	})
	// Of this one the runs are gone.
	k := identity.Key{Source: "hr", Anchor: "waits"}
	require.NoError(t, w.Store.MarkDue(t.Context(), []state.DueMark{{Key: k}}))
	due, err := w.Store.DueOf(t.Context(), []identity.Key{k})
	require.NoError(t, err)
	due[0].Held, due[0].Reason, due[0].Note = true, string(plan.MatchNeedsWord), "whose is it"
	l, err := w.Store.AcquireLease(t.Context(), reconcile.LeaseName, "test", time.Minute)
	require.NoError(t, err)
	require.NoError(t, w.Store.PutOff(t.Context(), l, due))
	require.NoError(t, w.Store.ReleaseLease(t.Context(), l))
	require.Contains(t, w.visitor(t).login(t).get(t, "/conflicts").body, "whose is it")
	body := w.visitor(t).login(t).get(t, "/held").body
	require.Contains(t, body, "pushed.one")
	require.Contains(t, body, "this is what 1 run of single people found")
}

func TestPage_long_lists_have_pages(t *testing.T) {
	t.Parallel()
	people := staff(450, 0)
	w := newPage(t, "token: "+pageToken, people...)
	w.sync(t)
	w.write(t, staff(450, 430)...)
	require.Equal(t, state.RunWithheld, w.sync(t).Status)
	w.pushed(t, 250, state.RunDone, func(int) *plan.Decision { return nil })
	v := w.visitor(t).login(t)

	shown := map[string]int{}
	for _, page := range []string{"", "?page=2", "?page=3"} {
		a := v.get(t, "/held"+page)
		require.Equal(t, http.StatusOK, a.status)
		for i := range 430 {
			if strings.Contains(a.body, fmt.Sprintf("hr%%2Fe%02d\"", i)) {
				shown[fmt.Sprintf("e%02d", i)]++
			}
		}
	}
	require.Len(t, shown, 430, "each page shows others")
	require.NotContains(t, v.get(t, "/held?page=3").body, `rel="next"`)
	require.Contains(t, v.get(t, "/held?page=2").body, "201 to 400 of 430 are shown")
	require.Equal(t, http.StatusOK, v.get(t, "/held?page=99999").status)

	var seen []string
	path := "/runs?show=pushes"
	for range 3 {
		body := v.get(t, path).body
		for i := range 250 {
			if id := fmt.Sprintf("zz%05ddo", i); strings.Contains(body, "/runs/"+id) {
				seen = append(seen, id)
			}
		}
		_, rest, more := strings.Cut(body, `rel="next" href="`)
		if path, _, _ = strings.Cut(rest, `"`); !more {
			break
		}
		path = strings.ReplaceAll(path, "&amp;", "&")
	}
	slices.Sort(seen)
	require.Len(t, slices.Compact(seen), 250, "nothing comes twice, nothing is missing: %d", len(seen))
	require.Len(t, seen, 250)
	require.Equal(t, http.StatusOK, v.get(t, "/runs?before=nothing&show=nothing").status)
	require.Equal(t, http.StatusBadRequest, v.get(t, "/runs?before=%00").status)
}
