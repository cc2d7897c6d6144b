package reconcile_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
)

func TestEngine_SetBack_staleCopyAfterAMovedLogin(t *testing.T) {
	t.Parallel()
	w, people := newWorldOf(t, mmsim.Options{Profile: mmsim.Profile538}), few()
	with := wiring{change: func(o *reconcile.Options) { o.Policy.ChangeAuth, o.Policy.RevokeOnAuth = true, true }}
	w.rest(people, with)
	time.Sleep(5 * time.Millisecond)
	people[0].Service, people[0].Login = "saml", "anna@idp"
	_, err := w.sync(people, with)
	require.NoError(t, err)
	people[1].Left = "yes"
	for i := range 6 {
		rep, err := w.sync(people, with)
		require.NoError(t, err)
		t.Log(i, setBackSentences(rep), w.active("bert"))
	}
	require.False(t, w.active("bert"))
}
