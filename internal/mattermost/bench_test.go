package mattermost_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
)

// BenchmarkTarget_Observe is the client's own cost of reading 9,000 accounts,
// three requests, as the engine does on each full pass without a since mark.
func BenchmarkTarget_Observe(b *testing.B) {
	const people, aRequest = 9_000, 3_000
	ids, answers, size := make([]string, people), make([]strings.Builder, people/aRequest), 0
	for i := range ids {
		ids[i] = fmt.Sprintf("%026d", i)
		body := &answers[i/aRequest]
		body.WriteString(map[bool]string{true: "[", false: ","}[i%aRequest == 0])
		fmt.Fprintf(body, `{"id":%q,"create_at":1795357391035,"update_at":1795357394101,"delete_at":0,"username":"user%d",`+
			`"auth_data":"entry-%d","auth_service":"saml","email":"user%d@example.test","nickname":"","first_name":"Ada","last_name":"Lovelace",`+
			`"position":"","roles":"system_user","notify_props":{"channel":"true","comments":"never","desktop":"mention","desktop_sound":"true",`+
			`"desktop_threads":"all","email":"true","email_threads":"all","first_name":"false","mention_keys":"","push":"mention",`+
			`"push_status":"online","push_threads":"all"},"locale":"en","timezone":{"automaticTimezone":"","manualTimezone":"",`+
			`"useAutomaticTimezone":"true"},"remote_id":"","disable_welcome_email":false}`, ids[i], i, i, i)
	}
	for i := range answers {
		answers[i].WriteByte(']')
		size += answers[i].Len()
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked []string
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			b.Error(err)
		}
		first, err := strconv.Atoi(asked[0])
		if err != nil {
			b.Error(err)
		}
		answerJSON(w, 200, answers[first/aRequest].String())
	}))
	defer s.Close()
	c, err := mattermost.New(mattermost.Options{BaseURL: s.URL, Token: token("x"), RatePerSecond: 1e6, ProxyURL: "direct"})
	require.NoError(b, err)
	target := mattermost.NewTarget(c, mattermost.TargetOptions{})
	b.SetBytes(int64(size))
	for b.Loop() {
		n := 0
		_, err := target.Observe(b.Context(), ids, 0, func(identity.Account) error { n++; return nil })
		require.NoError(b, err)
		require.Equal(b, people, n)
	}
}
