package reconcile_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

func TestEngine_Grace_beginsAnewForSettledPeople(t *testing.T) {
	t.Parallel()
	all := few()
	without := all[:3]
	with := wiring{change: threeDays}
	w := newWorld(t)
	w.rest(all, with)
	_, err := w.sync(without, with)
	require.NoError(t, err)
	w.age(71 * time.Hour)
	for range 3 {
		_, err = w.sync(all, with)
		require.NoError(t, err)
	}
	if len(w.sightings()) > 0 {
		w.age(30 * time.Hour)
	}
	_, err = w.sync(without, with)
	require.NoError(t, err)
	require.True(t, w.active("dirk"), "missed for the first time since he was back")
}

func TestEngine_Grace_beginsAnewForSettledPeopleWhoAreDisabled(t *testing.T) {
	t.Parallel()
	all := few()
	with := wiring{change: threeDays}
	w := newWorld(t)
	w.rest(all, with)
	off := append([]human{}, all...)
	off[3].Left = "yes"
	_, err := w.sync(off, with)
	require.NoError(t, err)
	w.age(71 * time.Hour)
	_, err = w.sync(all, with)
	require.NoError(t, err)
	_, err = w.sync(off, with)
	require.NoError(t, err)
	require.True(t, w.active("dirk"), "a new grace")
}

func TestEngine_Recover_endsTheSessionsOfALoginThatMovedLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := few()
	for i := range people {
		people[i].Service, people[i].Login = "saml", "login-"+people[i].UID
	}
	ch := func(o *reconcile.Options) {
		o.Policy.ChangeAuth, o.Policy.RevokeOnAuth = true, true
		o.SettleAfter = 3 * time.Second
	}
	w.settle(people, wiring{change: ch})
	people[0].Login = "moved"
	var once sync.Once
	cut := network(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/auth") {
			body, _ := io.ReadAll(r.Body)
			var err error
			once.Do(func() {
				late := r.Clone(t.Context())
				late.Body = io.NopCloser(bytes.NewReader(body))
				late.GetBody = nil
				time.AfterFunc(200*time.Millisecond, func() {
					res, err := http.DefaultTransport.RoundTrip(late)
					if err == nil {
						_ = res.Body.Close()
					}
				})
				err = errors.New("connection reset")
			})
			if err != nil {
				return nil, err
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		return http.DefaultTransport.RoundTrip(r)
	})
	w.sim.ResetCalls()
	for range 3 {
		_, err := w.sync(people, wiring{network: cut, change: ch})
		require.NoError(t, err)
	}
	n := 0
	for _, c := range w.sim.Writes() {
		if strings.HasSuffix(c.Path, "/sessions/revoke/all") {
			n++
		}
	}
	require.Equal(t, 1, n, "sessions of the old login are ended")
}

func TestEngine_SetBack_isNotARenameThatANodeDoesNotShow(t *testing.T) {
	t.Parallel()
	w, people := newWorld(t), few()
	w.rest(people, wiring{})
	node := w.sim.Node(5 * time.Second)
	other := node.Start(t)
	people[0].UID = "anna2"
	_, err := w.sync(people, wiring{})
	require.NoError(t, err)
	u, ok := w.sim.UserByName("anna2")
	require.True(t, ok)
	_ = u
	w.url = other
	s := w.store()
	e := w.engine(s, people, wiring{})
	rep, err := e.Sync(t.Context(), reconcile.RunOptions{Trigger: "test"})
	require.NoError(t, s.Close())
	require.NoError(t, err)
	require.Equal(t, state.RunDone, rep.Status)
	require.Empty(t, rep.Problems)
}

var _ = mmsim.Options{}
