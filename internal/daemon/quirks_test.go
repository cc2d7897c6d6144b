package daemon

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	protocol "github.com/mmsync/mmsync/internal/scim"
)

func TestQuirks_said(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	q := newQuirks(slog.New(slog.NewTextHandler(&out, nil)))
	for range 3 {
		q.noted("entra/prod", protocol.QuirkOpCase)
	}
	q.noted("okta/prod", protocol.QuirkOpCase)
	require.Equal(t, 2, strings.Count(out.String(), "put up with"), "each the first time")
	q.sum()
	require.Contains(t, out.String(), `client=entra/prod quirk=request.opCase times=3`)
	require.Contains(t, out.String(), `client=okta/prod quirk=request.opCase times=1`)
}
