package daemon

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/admin"
	protocol "github.com/mmsync/mmsync/internal/scim"
)

func TestQuirks_counted(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	m := admin.NewMetrics("test")
	q := newQuirks(slog.New(slog.NewTextHandler(&out, nil)), m)
	for range 3 {
		q.noted("entra/prod", protocol.QuirkOpCase)
	}
	q.noted("okta/prod", protocol.QuirkOpCase)
	require.Equal(t, 2, strings.Count(out.String(), "put up with"), "each the first time")
	require.NoError(t, testutil.GatherAndCompare(m.Gatherer(), strings.NewReader(`
# HELP mmsync_scim_quirks_total Requests that deviated from the RFCs and were put up with.
# TYPE mmsync_scim_quirks_total counter
mmsync_scim_quirks_total{quirk="request.opCase",source="entra"} 3
mmsync_scim_quirks_total{quirk="request.opCase",source="okta"} 1
`), "mmsync_scim_quirks_total"))
}
