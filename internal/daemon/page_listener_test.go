package daemon_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/reconcile"
)

func TestPage_beside_health_on_the_admin_listener(t *testing.T) {
	t.Parallel()
	token := strings.Repeat("k", 32)
	w := watch(t, "", "admin: {listen: '127.0.0.1:9095', public_url: 'http://localhost:9095', token: "+token+"}\n")
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := &http.Client{Jar: jar}
	ask := func(method, path string, form url.Values, header map[string]string) (int, string, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, w.address+path, strings.NewReader(form.Encode()))
		require.NoError(t, err)
		if form != nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		for k, v := range header {
			r.Header.Set(k, v)
		}
		r.Host = header["Host"]
		resp, err := client.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, resp.Request.URL.Path, string(body)
	}
	lease, err := w.d.Store.AcquireLease(t.Context(), reconcile.LeaseName, "other.host.example/1", time.Minute)
	require.NoError(t, err)
	status, _, body := ask(http.MethodGet, "/", nil, nil)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "lease held")
	require.NotContains(t, body, "host.example", "whose, those see who are logged in")
	require.NotContains(t, body, "ada")
	status, _, body = ask(http.MethodGet, "/healthz", nil, nil)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `"status":"ok"`)
	status, _, _ = ask(http.MethodGet, "/", nil, map[string]string{"Host": "localhost:9095"})
	require.Equal(t, http.StatusOK, status)
	status, _, _ = ask(http.MethodGet, "/", nil, map[string]string{"Host": "evil.example"})
	require.Equal(t, http.StatusMisdirectedRequest, status)

	// Who is not linked yet can only be explained by whoever may ask Mattermost.
	require.NoError(t, w.d.Store.ReleaseLease(t.Context(), lease))
	form := url.Values{"token": {token}, "next": {"/people?q=ada"}}
	status, _, _ = ask(http.MethodPost, "/login", form, map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"})
	require.Equal(t, http.StatusForbidden, status)
	// What a browser sends of a page that tells it to send no referrer.
	status, at, body := ask(http.MethodPost, "/login", form, map[string]string{"Origin": "null", "Sec-Fetch-Site": "same-origin"})
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "/people", at)
	require.Contains(t, body, "ada (hr/1)")
	_, err = w.d.Store.AcquireLease(t.Context(), reconcile.LeaseName, "other.host.example/1", time.Minute)
	require.NoError(t, err)
	_, _, body = ask(http.MethodGet, "/", nil, nil)
	require.Contains(t, body, "other.host.example/1 may write")
}
