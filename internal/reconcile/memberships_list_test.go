package reconcile_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// lacking is a network on which the list of a channel's people lacks one of them.
type lacking struct{ id string }

func (l lacking) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || !strings.HasSuffix(r.URL.Path, "/members") || !strings.Contains(r.URL.Path, "/channels/") || r.Method != http.MethodGet {
		return resp, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	body = regexp.MustCompile(`"user_id":"`+l.id+`"`).ReplaceAll(body, []byte(`"user_id":"zzzzzzzzzzzzzzzzzzzzzzzzzz"`))
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp.Header.Del("Content-Length")
	return resp, nil
}

func TestMemberships_listThatLacksSomebody(t *testing.T) {
	t.Parallel()
	c := engineering(t)
	people := engineers()
	c.sync(people)
	for i := range 210 {
		name := fmt.Sprintf("filler%03d", i)
		c.sim.AddUser(mmsim.User{Username: name})
		c.walkIn(name, "eng")
		c.walkIn(name, "eng/dev")
	}
	c.walkOut("bob", "eng/dev")
	people[0].Title, people[1].Title = "Director", "Clerk" // both are decided about
	with := c.with(people, wiring{network: lacking{c.id("ann")}})
	rep, err := c.world.sync(people, with)
	require.NoError(t, err)
	for _, n := range decisionOn(t, rep, "1").Notes {
		require.NotEqual(t, plan.LeftByThemselves, n.Reason, "she is in, and was asked for alone")
	}
	require.Equal(t, plan.LeftByThemselves, decisionOn(t, rep, "2").Notes[0].Reason)
	require.Contains(t, c.in("eng/dev"), "ann*")
}
