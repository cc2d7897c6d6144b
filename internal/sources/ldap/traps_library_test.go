package ldap_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

// TestTraps_library are the places where the LDAP library gives less than there is and
// no error, or leaves open what its name says is closed.
func TestTraps_library(t *testing.T) {
	t.Parallel()
	const people = 60
	k := ldaptest.OpenLDAP
	list := func() *goldap.SearchRequest {
		return goldap.NewSearchRequest(k.PeopleDN(), goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0, false, "(uid=*)", []string{"uid"}, nil)
	}
	for name, test := range map[string]func(t *testing.T, srv *ldaptest.Server, naive bare){
		"a search on a connection that ends finds nobody": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			srv.Disconnect()
			require.Eventually(t, naive.c.IsClosing, time.Minute, time.Millisecond)
			r := naive.c.SearchAsync(t.Context(), list(), 64)
			require.False(t, r.Next())
			require.NoError(t, r.Err(), "all is well, and everybody has left")

			s := ungrouped(t, srv, 20)
			snap, err := s.Snapshot(t.Context(), once(srv.Disconnect))
			require.NoError(t, err)
			require.Contains(t, snap.Incomplete, "the connection was lost")
		},
		"a search that is called off is over": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			ctx, cancel := context.WithCancel(t.Context())
			r := naive.c.SearchAsync(ctx, list(), 0)
			require.True(t, r.Next())
			cancel()
			found := 1
			for r.Next() {
				found++
			}
			require.NoError(t, r.Err(), "all is well")
			require.Less(t, found, people, "and the rest have left")

			ctx, cancel = context.WithCancel(t.Context())
			snap, err := ungrouped(t, srv, 20).Snapshot(ctx, once(cancel))
			require.ErrorIs(t, err, context.Canceled)
			require.False(t, snap.Complete)
		},
		"who reads slowly loses entries": func(t *testing.T, srv *ldaptest.Server, _ bare) {
			t.Helper()
			ten := ldaptest.Start(t, ldaptest.Options{Kind: k, People: 10})
			lost := false
			for range 20 { // a machine with much to do may let the limit end the whole search
				c := newBare(t, ten.URL, k.ReaderDN()).c
				c.SetTimeout(300 * time.Millisecond)
				r := c.SearchAsync(t.Context(), list(), 0)
				found := 0
				for r.Next() {
					if found++; found == 1 {
						time.Sleep(350 * time.Millisecond)
					}
				}
				if lost = r.Err() == nil && found < 10; lost {
					break
				}
			}
			require.True(t, lost, "all is well, it says, and some have left")

			s := newSource(t, srv.URL, func(o *ldap.Options) {
				o.PageSize, o.BaseDN, o.BindDN, o.Timeout = 20, k.PeopleDN(), k.ReaderDN(), 3*time.Second
			})
			snap, err := s.Snapshot(t.Context(), once(func() { time.Sleep(3500 * time.Millisecond) }))
			require.NoError(t, err)
			require.True(t, snap.Complete, snap.Incomplete)
			require.Equal(t, people, snap.Entries)
		},
		"a request remembers where it ended": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			srv.Fail(ldaptest.FaultNamed(t, "busy"), ldaptest.At{Listing: 2})
			q := list()
			_, err := naive.c.SearchWithPaging(q, 20)
			require.NoError(t, err)
			require.NotEmpty(t, q.Controls, "the library has left its paging in the request")
			srv.Heal()
			s := ungrouped(t, srv, 20)
			for range 2 {
				snap := snapshot(t, s)
				require.True(t, snap.Complete, snap.Incomplete)
				require.Len(t, snap.Identities, people)
			}
		},
		"DirSync forgets the cookie it is given": func(t *testing.T, _ *ldaptest.Server, _ bare) {
			t.Helper()
			srv := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: 12})
			naive := newBare(t, srv.URL, ad.ReaderDN())
			q := goldap.NewSearchRequest(ad.BaseDN(), goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0, false, "(&(objectCategory=person)(mail=*))", []string{"mail"}, nil)
			first, err := naive.c.DirSync(q, goldap.DirSyncObjectSecurity, 0, nil)
			require.NoError(t, err)
			c, ok := goldap.FindControl(first.Controls, goldap.ControlTypeDirSync).(*goldap.ControlDirSync)
			require.True(t, ok)
			again, err := naive.c.DirSync(q, goldap.DirSyncObjectSecurity, 0, c.Cookie)
			require.NoError(t, err)
			require.Len(t, again.Entries, len(first.Entries), "the same request gives everybody again")
			s := playedSource(t, srv, ldap.DeltaDirSync)
			d := changes(t, s, markOf(t, s))
			require.Empty(t, d.Identities)
			srv.Modify(ad.PersonDN(3), "title", "Chief")
			require.Len(t, changes(t, s, d.Mark).Identities, 1)
		},
		"a time limit ends before the TLS handshake": func(t *testing.T, _ *ldaptest.Server, _ bare) {
			t.Helper()
			url := silentAfterStartTLS(t)
			c, err := goldap.DialURL(url)
			require.NoError(t, err)
			c.SetTimeout(100 * time.Millisecond)
			came := make(chan error, 1)
			go func() { came <- c.StartTLS(&tls.Config{ServerName: "localhost", MinVersion: tls.VersionTLS12}) }()
			select {
			case err := <-came:
				require.Fail(t, "the library's limit held", "%v", err)
			case <-time.After(time.Second): // ten times its limit
			}
			go func() { _ = c.Close() }()
			s := newSource(t, url, func(o *ldap.Options) { o.Security, o.Timeout = ldap.SecurityStartTLS, time.Second })
			began := time.Now()
			_, err = s.Snapshot(t.Context(), nil)
			require.ErrorContains(t, err, "no answer within 1s")
			require.Less(t, time.Since(began), 8*time.Second)
		},
		"StartTLS does not know whom it spoke to": func(t *testing.T, srv *ldaptest.Server, _ bare) {
			t.Helper()
			pem, err := os.ReadFile(srv.CAFile)
			require.NoError(t, err)
			pool := x509.NewCertPool()
			require.True(t, pool.AppendCertsFromPEM(pem))
			c, err := goldap.DialURL(srv.URL)
			require.NoError(t, err)
			defer c.Close()
			require.ErrorContains(t, c.StartTLS(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}), "either ServerName or InsecureSkipVerify")
			s := newSource(t, srv.URL, func(o *ldap.Options) {
				o.Security, o.CAFile, o.BaseDN, o.BindDN = ldap.SecurityStartTLS, srv.CAFile, k.PeopleDN(), k.ReaderDN()
			})
			require.Len(t, snapshot(t, s).Identities, people)
		},
		"only the first address of a reference": func(t *testing.T, _ *ldaptest.Server, _ bare) {
			t.Helper()
			const down = "ldap://127.0.0.1:1" // where nobody listens
			up := ldaptest.Start(t, ldaptest.Options{Kind: k, People: 5})
			srv := ldaptest.Start(t, ldaptest.Options{Kind: k, People: people, Referrals: []string{down + "/" + k.PeopleDN() + " " + up.URL + "/" + k.PeopleDN()}})
			res, err := newBare(t, srv.URL, k.ReaderDN()).c.Search(goldap.NewSearchRequest(k.BaseDN(), goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0, false, "(uid=*)", nil, nil))
			require.NoError(t, err)
			require.Equal(t, []string{down + "/" + k.PeopleDN()}, res.Referrals, "the other one is nowhere")
			_, err = goldap.DialURL(res.Referrals[0])
			require.Error(t, err, "who follows it finds nobody")

			snap := snapshot(t, newSource(t, srv.URL, func(o *ldap.Options) { o.BaseDN, o.BindDN = k.BaseDN(), k.ReaderDN() }))
			require.Contains(t, snap.Incomplete, "the server refers to "+down, "who may be there is not gone")
			require.Len(t, snap.Identities, people)
			require.Empty(t, up.Calls(), "none is followed")
			both := newSource(t, down, func(o *ldap.Options) {
				o.URLs, o.BaseDN, o.BindDN = []string{down, up.URL}, k.PeopleDN(), k.ReaderDN()
			})
			require.Len(t, snapshot(t, both).Identities, 5, "servers that are named are tried in turn")
		},
		"the first of several values": func(t *testing.T, _ *ldaptest.Server, _ bare) {
			t.Helper()
			srv := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: 1})
			naive := newBare(t, srv.URL, ad.ReaderDN())
			s := newAD(t, srv.URL, func(r *sources.Rules) {
				r.Email = x(`attrs.proxyAddresses.filter(a, a.startsWith("SMTP:"))[0].substring(5)`)
			})
			firsts := map[string]bool{}
			for _, values := range [][]string{{"SMTP:now@example.test", "smtp:once@example.test"}, {"smtp:once@example.test", "SMTP:now@example.test"}} {
				srv.Modify(ad.PersonDN(0), "proxyAddresses", values...) // which have no order (RFC 4511 4.1.7)
				var p struct {
					Address string `ldap:"proxyAddresses"`
				}
				e := naive.at(ad.PersonDN(0), "proxyAddresses")
				require.NoError(t, e.Unmarshal(&p))
				require.Equal(t, e.GetAttributeValue("proxyAddresses"), p.Address)
				firsts[p.Address] = true
				require.Equal(t, "now@example.test", find(t, snapshot(t, s), ad.PersonDN(0)).Profile.Email)
			}
			require.Len(t, firsts, 2, "he has another address, and nothing has changed")
		},
		"a password that is empty": func(t *testing.T, _ *ldaptest.Server, _ bare) {
			t.Helper()
			srv := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: 1})
			c, err := goldap.DialURL(srv.URL)
			require.NoError(t, err)
			defer c.Close()
			require.NoError(t, c.UnauthenticatedBind(ad.ReaderDN()), "the server lets him in, as nobody (RFC 4513, 5.1.2)")
			s := newSource(t, srv.URL, func(o *ldap.Options) { o.BindPassword = func() (string, error) { return "", nil } })
			_, err = s.Snapshot(t.Context(), nil)
			require.ErrorContains(t, err, "the bind password is empty")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := ldaptest.Start(t, ldaptest.Options{Kind: k, People: people})
			test(t, srv, newBare(t, srv.URL, k.ReaderDN()))
		})
	}
}

// silentAfterStartTLS is a server that agrees to StartTLS and says nothing more.
func silentAfterStartTLS(t *testing.T) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var open []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			open = append(open, c)
			request := make([]byte, 256)
			if _, err := c.Read(request); err == nil {
				// ExtendedResponse, success (RFC 4511, 4.12), to the request's number.
				_, _ = c.Write([]byte{0x30, 0x0c, 0x02, 0x01, request[4], 0x78, 0x07, 0x0a, 0x01, 0x00, 0x04, 0x00, 0x04, 0x00})
			}
		}
		for _, c := range open {
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return "ldap://" + l.Addr().String()
}
