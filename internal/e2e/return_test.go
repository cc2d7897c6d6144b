package e2e_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Whatever is not configured otherwise, a token of before is dead for good.
func TestPush_Return(t *testing.T) {
	t.Parallel()
	for _, st := range stores() {
		t.Run(st.name+"/a leaver's old token is refused after his return", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, st, settings{scim: []string{"idp"}})
			idp := w.provider("idp").to(w.serve())
			id := idp.create(0)
			w.calm(w.observed(), 10*time.Second)
			on := func() bool { return w.user("p0000").Active() }
			off := func() bool { return !on() }
			token := w.sim.AddToken(w.user("p0000").ID)
			require.Equal(t, http.StatusOK, w.asks(token))
			for range 2 { // the second time, nothing is left to be disabled
				idp.patch(id, object{"active": false})
				within(t, 10*time.Second, "he is off", off)
				require.Equal(t, http.StatusUnauthorized, w.asks(token))
				idp.patch(id, object{"active": true})
				within(t, 10*time.Second, "he is on", on)
				require.Equal(t, http.StatusUnauthorized, w.asks(token))
			}
			w.sim.EnableToken(token, true) // his own doing
			require.Equal(t, http.StatusOK, w.asks(token))
		})
	}
}

// asks gives the status of what a token asks of the server.
func (w *world) asks(token string) int {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.settings.url+"/api/v4/users/me", http.NoBody)
	require.NoError(w.t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	require.NoError(w.t, resp.Body.Close())
	return resp.StatusCode
}
