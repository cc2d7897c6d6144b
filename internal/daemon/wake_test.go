package daemon_test

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/state"
)

// A database that cannot be listened to is said once, and costs nothing but time; one that
// can is said nothing of.
func TestServe_listens(t *testing.T) {
	t.Parallel()
	for name, there := range map[string]bool{"there": true, "away": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := pgtest.URL(t)
			listen := at
			if !there {
				u, err := url.Parse(at)
				require.NoError(t, err)
				u.Host = "127.0.0.1:1"
				listen = u.String()
			}
			dir, sim := t.TempDir(), mmsim.New(mmsim.Options{})
			c, err := config.Parse(filepath.Join(dir, "config.yaml"), fmt.Appendf(nil, `version: 1
mattermost: {url: "%s", token: "%s", rate_limit: {per_second: 10000}}
state: {url: "%s", listen_url: "%s"}
sources: [{name: idp, type: scim}]
scim: {listen: "127.0.0.1:0"}
`, sim.Start(t), sim.AdminToken(), at, listen), nil)
			require.NoError(t, err)
			d, err := daemon.Open(t.Context(), c, daemon.Options{Version: "test"})
			require.NoError(t, err)
			var log logs
			stop := begin(t, d, &log)
			require.Eventually(t, func() bool { return strings.Contains(log.String(), "wake-ups") }, time.Minute, 5*time.Millisecond)
			key := identity.Key{Source: "idp", Anchor: "nobody"}
			require.NoError(t, d.Store.MarkDue(t.Context(), []state.DueMark{{Key: key}}))
			require.Eventually(t, func() bool {
				due, err := d.Store.DueOf(t.Context(), []identity.Key{key})
				return err == nil && len(due) == 0
			}, time.Minute, 10*time.Millisecond)
			time.Sleep(time.Second) // a few tries
			want := 1
			if there {
				want = 0
			}
			require.Equal(t, want, strings.Count(log.String(), "is not listened to"))
			require.NoError(t, stop())
			require.NoError(t, d.Close())
		})
	}
}
