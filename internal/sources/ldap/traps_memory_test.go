package ldap_test

import (
	"math"
	"net"
	"runtime"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

// TestTraps_memory are the places where the LDAP library takes more memory than there
// is to read.
func TestTraps_memory(t *testing.T) { //nolint:paralleltest // it counts what the whole process holds, and sets a bound that is the process's
	t.Run("each value keeps half a kilobyte", func(t *testing.T) { //nolint:paralleltest // as above
		const people = 2000
		k := ldaptest.OpenLDAP
		srv := ldaptest.Start(t, ldaptest.Options{Kind: k, People: people})
		list := goldap.NewSearchRequest(k.PeopleDN(), goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0, false, "(uid=*)",
			[]string{"uid", "mail", "givenName", "sn", "title", "entryUUID"}, nil)
		kept := func(dial dialer) uint64 {
			c, search, err := dial(srv.URL)
			require.NoError(t, err)
			defer c.Close()
			require.NoError(t, c.Bind(k.ReaderDN(), slapdtest.ReaderPassword))
			before := held()
			res, err := search(list)
			require.NoError(t, err)
			require.Len(t, res.Entries, people)
			after := held()
			runtime.KeepAlive(res)
			return (after - before) / people
		}
		naive, ours := kept(byLibrary), kept(ldap.DialLean)
		t.Logf("kept of a person with 6 values: %d bytes by the library, %d here", naive, ours)
		require.Greater(t, naive, uint64(6*512), "what was read of the line for a value is kept with it")
		require.Less(t, ours, naive/3)
	})
	t.Run("a message of two gigabytes", func(t *testing.T) { //nolint:paralleltest // as above
		const sent = 96 << 20
		url := boundless(t, sent)
		s := newSource(t, url)
		naive := func() {
			ours := ber.MaxPacketLengthBytes
			defer func() { ber.MaxPacketLengthBytes = ours }()
			ber.MaxPacketLengthBytes = math.MaxInt32 // as the library comes
			c, err := goldap.DialURL(url)
			require.NoError(t, err)
			defer c.Close()
			require.Error(t, c.Bind(slapdtest.ReaderDN, slapdtest.ReaderPassword))
		}
		require.Greater(t, taken(naive), uint64(sent), "all that comes is taken into memory, up to the length that was said")
		require.Less(t, taken(func() {
			_, err := s.Snapshot(t.Context(), nil)
			require.ErrorContains(t, err, "greater than maximum 67108864")
		}), uint64(sent/8))
	})
}

// held is what is in use, in bytes.
func held() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what had a finalizer
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// taken is what something allocates, in bytes, whether it was freed since or not.
func taken(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// boundless is a server whose answer to anything says that it has two gigabytes, of
// which some come.
func boundless(t *testing.T, sent int) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	chunk, done := make([]byte, 1<<20), make(chan struct{})
	go func() {
		defer close(done)
		request := make([]byte, 1024)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := c.Read(request); err == nil {
				// The answer to the first request: a bind response whose matchedDN does not end.
				_, err = c.Write([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xf0, 0x02, 0x01, 0x01, 0x61, 0x84, 0x7f, 0xff, 0xff, 0xe7, 0x04, 0x84, 0x7f, 0xff, 0xff, 0xe1})
				for n := 0; n < sent && err == nil; n += len(chunk) {
					_, err = c.Write(chunk)
				}
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return "ldap://" + l.Addr().String()
}
