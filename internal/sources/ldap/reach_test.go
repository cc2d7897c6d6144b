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
	directory := slapdtest.NewFake(t, slapdtest.FakePeople(1), slapdtest.Faults{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	away := "ldap://" + l.Addr().String()
	require.NoError(t, l.Close())
	require.NoError(t, newSource(t, directory.URL).Reach(t.Context()))
	require.Equal(t, []string{"bind " + slapdtest.ReaderDN, "search base " + slapdtest.BaseDN}, directory.Calls(), "and no more than that")
	require.ErrorContains(t, newSource(t, away).Reach(t.Context()), "refused")
	second := func(o *ldap.Options) { o.URLs = append(o.URLs, directory.URL) }
	require.NoError(t, newSource(t, away, second).Reach(t.Context()), "one of them suffices")

	silent := slapdtest.NewProxy(t, directory.URL)
	silent.HangAfter(1)
	within := func(f func(ctx context.Context)) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		f(ctx)
		require.NoError(t, ctx.Err(), "in time for whoever asks, and not because of that")
	}
	within(func(ctx context.Context) {
		require.NoError(t, newSource(t, silent.URL, second).Reach(ctx), "one that hangs does not hide the next")
	})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	require.Regexp(t, `no answer within [\d.]+m?s; see whether the directory is at work`, newSource(t, silent.URL).Reach(ctx))

	directory.Set(slapdtest.Faults{BindCode: 51})
	require.ErrorContains(t, newSource(t, directory.URL).Reach(t.Context()), "the server is busy or shutting down (code 51)")
}

// A password that was refused is not tried again and again: that would lock the account.
func TestSource_Reach_locks_nobody_out(t *testing.T) {
	t.Parallel()
	directory := slapdtest.NewFake(t, slapdtest.FakePeople(1), slapdtest.Faults{BindCode: 49})
	password := "first"
	s := newSource(t, directory.URL, func(o *ldap.Options) {
		o.BindPassword = func() (string, error) { return password, nil }
	})
	for range 3 {
		require.ErrorContains(t, s.Reach(t.Context()), "name or password are wrong (code 49)")
	}
	require.Len(t, directory.Calls(), 1)
	directory.Set(slapdtest.Faults{})
	require.Error(t, s.Reach(t.Context()), "nobody has said that it is another one")
	password = "second"
	require.NoError(t, s.Reach(t.Context()))
	require.Len(t, directory.Calls(), 3)

	directory.Set(slapdtest.Faults{BindCode: 49})
	_, err := s.Snapshot(t.Context(), nil)
	require.Error(t, err)
	before := len(directory.Calls())
	require.ErrorContains(t, s.Reach(t.Context()), "code 49")
	require.Len(t, directory.Calls(), before, "a reading has tried it")
	directory.Set(slapdtest.Faults{})
	_, err = s.Snapshot(t.Context(), nil)
	require.NoError(t, err)
	require.NoError(t, s.Reach(t.Context()), "a reading got in with it")
}

func TestSource_CertificateEnds(t *testing.T) {
	t.Parallel()
	directory := slapdtest.Start(t, slapdtest.Options{Users: 1})
	for url, security := range map[string]string{directory.TLSURL: ldap.SecurityTLS, directory.URL: ldap.SecurityStartTLS} {
		s := newSource(t, url, func(o *ldap.Options) {
			o.Security, o.CAFile = security, directory.CAFile
		})
		require.Zero(t, s.CertificateEnds())
		require.NoError(t, s.Reach(t.Context()))
		require.WithinDuration(t, time.Now().Add(24*time.Hour), s.CertificateEnds(), time.Hour, security)
	}
}
