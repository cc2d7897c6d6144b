package mattermost_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

func TestClient_ProbeToken(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	url := s.Start(t)
	var mu sync.Mutex
	var told []string
	c := client(t, url, s.AdminToken(), func(o *mattermost.Options) {
		o.ReadOnly = true
		o.Requested = func(write bool, status int, took time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, fmt.Sprintf("%t %d %t", write, status, took > 0))
		}
	})
	require.NoError(t, c.ProbeToken(t.Context()))
	s.ResetCalls()
	well := s.Fail(mmsim.Fault{Status: http.StatusUnauthorized})
	require.True(t, mattermost.IsUnauthorized(c.ProbeToken(t.Context())))
	require.Len(t, s.Calls(), 1, "neither repeated nor looked behind")
	well()
	s.ResetCalls()
	s.Fail(mmsim.Fault{Status: http.StatusInternalServerError})
	require.Error(t, c.ProbeToken(t.Context()))
	require.Len(t, s.Calls(), 1)
	require.NoError(t, s.Close())
	require.Error(t, c.ProbeToken(t.Context()))
	require.Equal(t, []string{"false 200 true", "false 401 true", "false 500 true", "false 0 true"}, told)
}

func TestClient_Requested_tells_writes(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	url, wrote := s.Start(t), 0
	c := client(t, url, s.AdminToken(), func(o *mattermost.Options) {
		o.Requested = func(write bool, _ int, _ time.Duration) {
			if write {
				wrote++
			}
		}
	})
	require.NoError(t, c.RevokeSessions(t.Context(), s.AdminID()))
	_, err := c.UsersByUsernames(t.Context(), []string{"nobody"}) // a POST that reads
	require.NoError(t, err)
	require.Equal(t, 1, wrote)
}
