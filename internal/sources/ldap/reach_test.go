package ldap_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

func TestSource_Reach(t *testing.T) {
	t.Parallel()
	directory := slapdtest.NewFake(t, slapdtest.FakePeople(1), slapdtest.Faults{BindCode: 49})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	away := "ldap://" + l.Addr().String()
	require.NoError(t, l.Close())
	require.NoError(t, newSource(t, directory.URL).Reach(t.Context()), "nobody is asked to let us in")
	require.ErrorContains(t, newSource(t, away).Reach(t.Context()), "refused")
	require.NoError(t, newSource(t, away, func(o *ldap.Options) { o.URLs = append(o.URLs, directory.URL) }).Reach(t.Context()), "one of them suffices")
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	require.Error(t, newSource(t, directory.URL).Reach(ctx))
}
