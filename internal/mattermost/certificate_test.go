package mattermost_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/certtest"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

func TestClient_certificateThatIsNotValid(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	for name, c := range map[string]struct {
		from, until time.Time
		says        string
	}{
		"expired":       {now.Add(-48 * time.Hour), now.Add(-time.Hour), "expired on " + now.Add(-time.Hour).UTC().Format(time.DateTime) + " UTC; renew it"},
		"not yet valid": {now.Add(time.Hour), now.Add(48 * time.Hour), "is valid from " + now.Add(time.Hour).UTC().Format(time.DateTime) + " UTC on; set this machine's clock"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pair := certtest.New(t, c.from, c.until)
			s := certtest.Serve(t, http.NotFoundHandler(), pair)
			_, err := client(t, s.URL, "x", func(o *mattermost.Options) { o.CAFile = pair.File(t) }).Me(t.Context())
			require.ErrorContains(t, err, "the server's certificate "+c.says)
			require.True(t, mattermost.IsRefused(err), "asking again does not help")
			require.NotContains(t, err.Error(), "mattermost.ca_file")
		})
	}
}

func TestClient_CertificateEnds(t *testing.T) {
	t.Parallel()
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	pair := certtest.New(t, time.Now().Add(-time.Hour), until)
	sim := mmsim.New(mmsim.Options{})
	s := certtest.Serve(t, sim, pair)
	c := client(t, s.URL, sim.AdminToken(), func(o *mattermost.Options) { o.CAFile = pair.File(t) })
	require.Zero(t, c.CertificateEnds())
	_, err := c.Me(t.Context())
	require.NoError(t, err)
	require.Equal(t, until, c.CertificateEnds())
}
