package reconcile_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// These tests are about answers of the server that lack an account which is
// there: none of them makes its person a stranger.

// blind is a network on which the server's answers lack one account.
type blind struct {
	id string
	// byID and byName let it be denied when asked for so, besides missing from walks.
	byID, byName bool
	// status, if not 0, is what a denial by id says instead of 404.
	status int
}

func (b blind) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || answer.StatusCode != http.StatusOK {
		return answer, err
	}
	switch path := r.URL.Path; {
	case strings.HasSuffix(path, "/users") && r.Method == http.MethodGet,
		strings.HasSuffix(path, "/users/usernames") && b.byName:
		return b.without(answer)
	case strings.HasSuffix(path, "/users/"+b.id) && r.Method == http.MethodGet && b.byID:
		_ = answer.Body.Close()
		answer.StatusCode = max(b.status, http.StatusNotFound)
		answer.Body = io.NopCloser(strings.NewReader(`{"id":"app.user.missing_account.const"}`))
		answer.ContentLength = -1
	}
	return answer, nil
}

func (b blind) without(answer *http.Response) (*http.Response, error) {
	var list, kept []json.RawMessage
	if err := json.NewDecoder(answer.Body).Decode(&list); err != nil {
		return nil, err
	}
	_ = answer.Body.Close()
	for _, one := range list {
		if !bytes.Contains(one, []byte(b.id)) {
			kept = append(kept, one)
		}
	}
	body, err := json.Marshal(append([]json.RawMessage{}, kept...))
	if err != nil {
		return nil, err
	}
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), -1
	return answer, nil
}

func TestTrap_missingFromAnAnswer(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) (w *world, people []human, anna string) {
		t.Helper()
		w, people = newWorld(t), few()
		w.rest(people, wiring{})
		people[0].Title = "Director"
		return w, people, w.links()["1"].AccountID
	}
	audit := reconcile.RunOptions{Audit: true}
	kept := func(t *testing.T, w *world, people []human, net blind) {
		t.Helper()
		rep, err := w.run(t.Context(), people, wiring{network: net}, audit)
		require.NoError(t, err)
		require.Equal(t, plan.Update, decisionOn(t, rep, "1").Action)
		require.Equal(t, "Director", w.position("anna"), "the person is looked after as ever")
	}
	t.Run("a walk that lacks an account is no proof", func(t *testing.T) {
		t.Parallel()
		w, people, anna := setup(t)
		kept(t, w, people, blind{id: anna})
	})
	t.Run("404 by id alone is no proof", func(t *testing.T) {
		t.Parallel()
		w, people, anna := setup(t)
		kept(t, w, people, blind{id: anna, byID: true})
	})
	t.Run("500 by id with the not-found id is no denial", func(t *testing.T) {
		t.Parallel()
		w, people, anna := setup(t)
		w.sim.ResetCalls()
		_, err := w.run(t.Context(), people, wiring{network: blind{id: anna, byID: true, byName: true, status: 500}}, audit)
		require.ErrorContains(t, err, "ask for account")
		require.Empty(t, w.sim.Writes())
		require.Contains(t, w.links(), "1")
	})
	t.Run("a server that is not well proves nothing by denying everything", func(t *testing.T) {
		t.Parallel()
		w, people, anna := setup(t)
		w.sim.Fail(mmsim.Fault{Path: "/system/ping", DatabaseAway: true})
		rep, err := w.run(t.Context(), people, wiring{network: blind{id: anna, byID: true, byName: true}}, audit)
		require.NoError(t, err)
		require.Equal(t, plan.AccountUnseen, decisionOn(t, rep, "1").Reason)
	})
	t.Run("a well server that denies it every way is believed", func(t *testing.T) {
		t.Parallel()
		w, people, anna := setup(t)
		rep, err := w.run(t.Context(), people, wiring{network: blind{id: anna, byID: true, byName: true}}, audit)
		require.NoError(t, err)
		require.Equal(t, plan.AccountMissing, decisionOn(t, rep, "1").Reason)
	})
}

// Two patches of one account can meet at the server, if not by mmsync's doing.
func TestTrap_onePatchForAllFields(t *testing.T) {
	t.Parallel()
	w, people := newWorld(t), few()
	w.rest(people, wiring{})
	people[0].UID, people[0].Mail, people[0].Title = "anne", "anne@example.test", "Director"
	w.sim.ResetCalls()
	_, err := w.sync(people, wiring{})
	require.NoError(t, err)
	writes := w.sim.Writes()
	require.Len(t, writes, 1)
	var body map[string]string
	require.NoError(t, json.Unmarshal(writes[0].Body, &body))
	require.Equal(t, map[string]string{"username": "anne", "email": "anne@example.test", "position": "Director"}, body)
}

// A listing that could not be read is not one in which nobody is.
func TestTrap_aListingThatFailsIsNotEmpty(t *testing.T) {
	t.Parallel()
	w, people := newWorld(t), few()
	w.rest(people, wiring{})
	w.sim.Fail(mmsim.Fault{Method: http.MethodGet, Path: "/users", Match: func(r *http.Request) bool { return r.URL.Query().Get("role") == "" }, DatabaseAway: true})
	w.sim.ResetCalls()
	_, err := w.run(t.Context(), people, wiring{}, reconcile.RunOptions{Audit: true})
	require.ErrorContains(t, err, "walk the accounts of the server")
	require.Empty(t, w.sim.Writes())
	require.Len(t, w.links(), len(people))
}
