package daemon

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

// hostile are people whose values try to be more than text. Every value holds canary.
func hostile() []human {
	const canary = "mallory"
	values := []string{
		"<script>alert('" + canary + "')</script>", "\u202e" + canary + "\u2066gnp.exe", canary + "\nSet-Cookie: a=b", "\x1b[2J\x1b]0;" + canary + "\x07",
		"javascript:alert('" + canary + "')", `"><img src=x onerror=` + canary + `>`, "{{.Session}} " + canary, canary + strings.Repeat("W", 5000), "\u200b" + canary + "\u2028\ufeff",
	}
	var out []human
	for i, v := range values {
		out = append(out, human{
			"id": "x" + strconv.Itoa(i) + "/../" + v, "login": fmt.Sprintf("mallory%02d", i), "mail": fmt.Sprintf("mallory%02d@example.test", i),
			"first": v, "last": v, "nick": v, "title": v, "status": "here",
		})
		out = append(out, human{"id": "y" + strconv.Itoa(i), "login": v, "mail": v, "first": v, "last": v, "nick": v, "title": v, "status": "here"})
	}
	return out
}

func TestPage_hostile_people_are_text_on_every_page(t *testing.T) {
	t.Parallel()
	people := append(staff(5, 0), hostile()...)
	w := newPage(t, "token: "+pageToken, people[:5]...)
	w.sync(t)
	w.sim.AddUser(mmsim.User{Username: "taken", Email: "mallory00@example.test", FirstName: "<b>mallory</b>"})
	w.write(t, people...)
	w.sync(t)
	for i := range people {
		people[i]["title"] += "2"
		if i%2 == 1 {
			people[i]["status"] = "left"
		}
	}
	w.write(t, people...)
	w.sync(t)
	v := w.visitor(t).login(t)
	paths := []string{"/", "/runs", "/held", "/conflicts", "/people"}
	runs, err := w.Store.Runs(t.Context(), state.RunFilter{})
	require.NoError(t, err)
	for _, run := range runs {
		paths = append(paths, "/runs/"+run.ID)
	}
	for _, p := range people[4:] {
		paths = append(paths, "/people?q="+url.QueryEscape(p["id"]), "/people/"+url.PathEscape("hr/"+p["id"]), "/people?q="+url.QueryEscape(p["login"]))
	}
	paths = append(paths, "/people?q="+url.QueryEscape("taken"))
	all := ""
	for _, path := range paths {
		a := v.get(t, path)
		require.Less(t, a.status, 500, "%q: %s", path, a.body)
		all += a.body
		lower := strings.ToLower(a.body)
		for _, bad := range []string{"<script", "<img", "<b>mallory", `href="javascript:`, "#zgotmplz"} {
			require.NotContains(t, lower, bad, path)
		}
		for _, r := range a.body {
			require.True(t, r == '\n' || strconv.IsPrint(r) || r == '\u00a0', "%q holds %U", path, r)
		}
	}
	for _, shown := range []string{"&lt;script&gt;", `\u202e`, `\nSet-Cookie`, `\x1b`, "javascript:alert", "onerror=mallory&gt;", "{{.Session}} mallory", `\u2028`, `\u200b`, "WWWW…"} {
		require.Contains(t, all, shown, "what was tried has to be on a page, or this test proves nothing")
	}
}

func TestPage_without_a_login_shows_nothing_about_anybody(t *testing.T) {
	t.Parallel()
	people := append(staff(8, 0), hostile()...)
	w := newPage(t, "token: "+pageToken, people[:8]...)
	w.sync(t)
	w.sim.AddUser(mmsim.User{Username: "taken", Email: "mallory00@example.test"})
	for i := range people[:8] {
		people[i]["status"] = "left"
	}
	w.write(t, people...)
	held := w.sync(t)
	require.Equal(t, state.RunWithheld, held.Status)
	_, err := w.Engine.Say(t.Context(), reconcile.Say{Run: held.RunID, People: []string{"person03"}, Reason: "mallory said", By: "root@host.example"})
	require.NoError(t, err)
	require.NoError(t, w.Store.PutStops(t.Context(), []state.Stop{{ID: "s1", Kind: state.StopHold, Reason: "for mallory", MadeBy: "root@host.example", MadeAt: time.Now()}}))
	v := w.visitor(t)
	runs, err := w.Store.Runs(t.Context(), state.RunFilter{})
	require.NoError(t, err)
	paths := []string{"/", "/runs", "/runs?show=failed", "/held", "/held?said=x", "/conflicts", "/people", "/people?q=person01", "/people/hr%2Fe01", "/login"}
	for _, run := range runs {
		paths = append(paths, "/runs/"+run.ID, "/runs/"+run.ID+"?page=2")
	}
	for _, path := range paths {
		a := v.get(t, path)
		for _, bad := range []string{"mallory", "person0", "person1", "Number0", "@", "root", "host.example", "because", "hr/", "cn=", "<form method=\"post\" action=\"/held\"", w.people} {
			if path == "/people?q=person01" && bad == "person0" || strings.HasPrefix(path, "/people/") && bad == "hr/" {
				continue // what the visitor asked for comes back, to go on with after the login
			}
			require.NotContains(t, a.body, bad, path)
		}
	}
	a := v.get(t, "/")
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, a.body, "Nothing is written at all", "that writing stopped is told to everybody")
	require.Regexp(t, `(?s)Held for a word</a></dt><dd>7</dd>`, a.body, "eight left, the limit is one, and somebody said no to one of them")
	require.Equal(t, "/login", v.get(t, "/people?q=person01").at.Path)
	for _, path := range []string{"/held", "/logout"} {
		v.do(t, http.MethodPost, path, url.Values{"run": {held.RunID}, "do": {"approve-all"}, "reason": {"x"}})
	}
	verdicts, err := w.Store.Verdicts(t.Context(), state.VerdictFilter{})
	require.NoError(t, err)
	require.Len(t, verdicts, 1, "nobody who is not logged in says anything")
}

func TestPage_an_approval_lets_what_was_held_through_and_a_rejection_keeps_it(t *testing.T) {
	t.Parallel()
	people := staff(6, 0)
	w := newPage(t, "token: "+pageToken, people...)
	w.sync(t)
	w.write(t, staff(6, 4)...)
	rep := w.sync(t)
	require.Equal(t, state.RunWithheld, rep.Status)
	v := w.visitor(t).login(t)
	page := v.get(t, "/held").body
	require.Contains(t, page, "person00")
	require.Contains(t, page, rep.RunID)
	say := func(do, reason string, keys ...string) answer {
		f := url.Values{"form": {v.form(t)}, "run": {rep.RunID}, "do": {do}, "reason": {reason}}
		for _, k := range keys {
			f.Add("person", url.QueryEscape(k))
		}
		return v.do(t, http.MethodPost, "/held", f)
	}
	a := say("approve", "  ", "hr/e00")
	require.Equal(t, http.StatusBadRequest, a.status)
	require.Contains(t, a.body, "Say why")
	a = say("approve", "kept <reason>")
	require.Equal(t, http.StatusBadRequest, a.status)
	require.Contains(t, a.body, "Nobody is selected")
	require.Contains(t, a.body, `value="kept &lt;reason&gt;"`, "what was written is not lost")
	a = say("approve", "they left", "hr/e04")
	require.Equal(t, http.StatusConflict, a.status)
	require.Contains(t, a.body, "held nothing back of")
	verdicts, err := w.Store.Verdicts(t.Context(), state.VerdictFilter{})
	require.NoError(t, err)
	require.Empty(t, verdicts)

	a = say("approve", "they left", "hr/e00", "hr/e01")
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.Contains(t, a.body, "2 people approved")
	a = say("reject", "he stays", "hr/e02")
	require.Contains(t, a.body, "1 person rejected")
	a = say("approve-all", "again", "hr/e00")
	require.Equal(t, http.StatusConflict, a.status, "two of them were approved already")
	verdicts, err = w.Store.Verdicts(t.Context(), state.VerdictFilter{})
	require.NoError(t, err)
	require.Equal(t, "admin token@status page", verdicts[0].MadeBy)
	require.Equal(t, "they left", verdicts[0].Reason)
	runs, err := w.Store.Runs(t.Context(), state.RunFilter{Kind: "approve"})
	require.NoError(t, err)
	require.Len(t, runs, 1)
	require.Equal(t, "admin token@status page", runs[0].RequestedBy)
	require.Equal(t, "page", runs[0].Trigger)

	w.sync(t)
	for i, active := range []bool{false, false, true, true} {
		u, ok := w.sim.UserByName(fmt.Sprintf("person%02d", i))
		require.True(t, ok)
		require.Equal(t, active, u.DeleteAt == 0, "person%02d", i)
	}
}

func TestPage_says_what_explain_says(t *testing.T) {
	t.Parallel()
	w := newPage(t, "token: "+pageToken, staff(3, 0)...)
	w.sync(t)
	v := w.visitor(t).login(t)
	for _, q := range []string{"person01", "person01@example.test", "e01", "hr/e01"} {
		a := v.get(t, "/people?q="+url.QueryEscape(q))
		require.Equal(t, http.StatusOK, a.status)
		require.Contains(t, a.body, "person01 (hr/e01): nothing is to be done")
		require.Contains(t, a.body, "Number01")
		require.Contains(t, a.body, `href="/people/hr%2Fe01"`)
	}
	require.Contains(t, v.get(t, "/people/hr%2Fe01").body, "person01 (hr/e01)")
	require.Contains(t, v.get(t, "/people?q="+w.sim.Users()[0].Username).body, "not managed")
	a := v.get(t, "/people?q=nobody")
	require.Equal(t, http.StatusNotFound, a.status)
	require.Contains(t, a.body, "Nobody is known by that")
}

// While another process has the right to talk to Mattermost, a page asks it nothing.
func TestPage_explains_from_the_store_while_another_is_at_work(t *testing.T) {
	t.Parallel()
	people := staff(3, 0)
	w := newPage(t, "token: "+pageToken, people...)
	rep := w.sync(t)
	v := w.visitor(t).login(t)
	l, err := w.Store.AcquireLease(t.Context(), reconcile.LeaseName, "other.example.com/1/2", time.Minute)
	require.NoError(t, err)
	w.sim.ResetCalls()
	for _, q := range []string{"person01", "person01@example.test", "e01", "hr/e01"} {
		a := v.get(t, "/people?q="+url.QueryEscape(q))
		require.Equal(t, http.StatusOK, a.status)
		require.Contains(t, a.body, "person01 (hr/e01): as the store knows it")
		require.Contains(t, a.body, "other.example.com/1/2 is at work, and is the one who asks Mattermost")
		require.Contains(t, a.body, "run "+rep.RunID+" on ")
		require.Contains(t, a.body, `href="/people/hr%2Fe01"`)
	}
	a := v.get(t, "/people?q=nobody")
	require.Equal(t, http.StatusConflict, a.status)
	require.Contains(t, a.body, "other.example.com/1/2 is at work")
	for _, c := range w.sim.Calls() {
		require.NotContains(t, c.Path, "/users", "nothing about anybody was asked")
	}
	require.NoError(t, w.Store.ReleaseLease(t.Context(), l))
	require.Contains(t, v.get(t, "/people?q=person01").body, "person01 (hr/e01): nothing is to be done")
}

func TestPage_the_plan_of_a_run_has_its_diff_and_outcomes(t *testing.T) {
	t.Parallel()
	people := staff(450, 0)
	w := newPage(t, "token: "+pageToken, people...)
	first := w.sync(t)
	people[0]["title"], people[1]["mail"] = "Director", "other@example.test"
	w.write(t, people...)
	rep := w.sync(t)
	v := w.visitor(t).login(t)
	a := v.get(t, "/runs/"+rep.RunID)
	require.Equal(t, http.StatusOK, a.status)
	require.Regexp(t, `(?s)position</span>\s*<del>Engineer</del>.*<ins>Director</ins>`, a.body)
	require.Regexp(t, `(?s)email</span>.*<ins>other@example.test</ins>`, a.body)
	require.Contains(t, a.body, "done")
	a = v.get(t, "/runs/"+first.RunID+"?page=3")
	require.Contains(t, a.body, "Page 3 of 3")
	require.Contains(t, a.body, "person99")
	require.NotContains(t, a.body, "person100")
	require.Equal(t, http.StatusNotFound, v.get(t, "/runs/nothing").status)
	require.Equal(t, http.StatusNotFound, v.get(t, "/nothing").status)
}

func TestPage_a_later_run_about_one_person_counts_for_that_one(t *testing.T) {
	t.Parallel()
	w := newPage(t, "token: "+pageToken, staff(6, 0)...)
	w.sync(t)
	people := staff(6, 3)
	w.write(t, people...)
	w.sync(t)
	v := w.visitor(t).login(t)
	require.Contains(t, v.get(t, "/held").body, "person01", "it is held")
	people[1]["status"], people[1]["title"] = "here", "Director"
	w.write(t, people...)
	rep, err := w.Engine.Sync(t.Context(), reconcile.RunOptions{Trigger: "test"}.Select(reconcile.Selection{People: []string{"person01"}}))
	require.NoError(t, err)
	require.Equal(t, 1, rep.Counts.Done)
	require.Eventually(t, func() bool { // a page may be some seconds behind
		return !strings.Contains(v.get(t, "/held").body, "person01")
	}, time.Minute, 200*time.Millisecond)
	body := v.get(t, "/held").body
	require.Contains(t, body, "person00")
	require.Contains(t, body, "person02")
	require.Contains(t, body, "and 1 run since")
}
