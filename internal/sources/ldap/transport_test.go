package ldap_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

func pinOf(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	block, _ := pem.Decode(data)
	require.NotNil(t, block)
	c, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return "sha256/" + base64.StdEncoding.EncodeToString(sum[:])
}

// A pin stands beside the check of the chain, and the pin of any certificate in it does.
func TestSource_pins(t *testing.T) {
	t.Parallel()
	srv := slapdtest.Start(t, slapdtest.Options{Users: 3})
	leaf, ca := pinOf(t, filepath.Join(filepath.Dir(srv.CAFile), "server.pem")), pinOf(t, srv.CAFile)
	stranger := pinOf(t, srv.StrangerCAFile())
	for name, c := range map[string]struct {
		pins     []string
		ca, says string
	}{
		"of the certificate":       {[]string{stranger, leaf}, srv.CAFile, ""},
		"of the authority":         {[]string{ca}, srv.CAFile, ""},
		"of another":               {[]string{stranger}, srv.CAFile, "is none of certificate_pins; its own is " + leaf},
		"does not replace a chain": {[]string{leaf}, srv.StrangerCAFile(), "unknown authority"},
	} {
		for security, address := range map[string]string{"tls": srv.TLSURL, "starttls": srv.URL} {
			t.Run(name+" by "+security, func(t *testing.T) {
				t.Parallel()
				s := newSource(t, address, func(o *ldap.Options) { o.Security, o.CAFile, o.CertificatePins = security, c.ca, c.pins })
				snap, err := s.Snapshot(t.Context(), nil)
				if c.says != "" {
					require.ErrorContains(t, err, c.says)
					if c.ca == srv.CAFile {
						require.ErrorContains(t, err, "; if the server's key was replaced on purpose, add its new pin")
					}
					return
				}
				require.NoError(t, err)
				require.True(t, snap.Complete, snap.Incomplete)
			})
		}
	}
}

// A server whose key is not the pinned one is not passed over: that would hide it.
func TestSource_pins_endTheSearch(t *testing.T) {
	t.Parallel()
	first, second := slapdtest.Start(t, slapdtest.Options{Users: 1}), slapdtest.Start(t, slapdtest.Options{Users: 1})
	proxy := slapdtest.NewProxy(t, second.URL)
	s := newSource(t, first.URL, func(o *ldap.Options) {
		o.URLs, o.Security, o.CAFile = []string{first.URL, proxy.URL}, "starttls", first.CAFile
		o.CertificatePins = []string{pinOf(t, first.StrangerCAFile())}
	})
	_, err := s.Snapshot(t.Context(), nil)
	require.ErrorContains(t, err, "certificate_pins")
	require.Zero(t, proxy.Connections())
}

func external(srv *slapdtest.Server) func(*ldap.Options) {
	return func(o *ldap.Options) {
		o.BindMethod, o.BindDN, o.BindPassword, o.CAFile = ldap.BindExternal, "", nil, srv.CAFile
		o.CertificateFile, o.PrivateKeyFile = srv.ClientPair()
	}
}

func TestSource_external(t *testing.T) {
	t.Parallel()
	options := slapdtest.Options{
		Users: 120, AskCertificate: true, ACL: []string{"to * by dn.exact=" + slapdtest.ReaderDN + " read by * auth"},
		Config: []string{
			`authz-regexp "^` + slapdtest.ClientSubject + `$" "` + slapdtest.ReaderDN + `"`,
			`authz-regexp "^gidNumber=[0-9]+\\+uidNumber=[0-9]+,cn=peercred,cn=external,cn=auth$" "` + slapdtest.ReaderDN + `"`,
		},
	}
	srv := slapdtest.Start(t, options)
	startTLS := func(o *ldap.Options) { o.Security = ldap.SecurityStartTLS }
	for name, s := range map[string]*ldap.Source{
		"ldaps":    newSource(t, srv.TLSURL, external(srv)),
		"StartTLS": newSource(t, srv.URL, external(srv), startTLS),
		"ldapi":    newSource(t, srv.SocketURL, external(srv), func(o *ldap.Options) { o.CertificateFile, o.PrivateKeyFile = "", "" }),
		"ldapi, the path as a host": newSource(t, "ldapi://"+url.PathEscape(strings.TrimPrefix(srv.SocketURL, "ldapi://")), func(o *ldap.Options) {
			o.BindMethod, o.BindDN, o.BindPassword = ldap.BindExternal, "", nil
		}),
		"a password on ldapi":          newSource(t, srv.SocketURL),
		"a password and a certificate": newSource(t, srv.TLSURL, func(o *ldap.Options) { o.CAFile = srv.CAFile; o.CertificateFile, o.PrivateKeyFile = srv.ClientPair() }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			snap := snapshot(t, s)
			require.True(t, snap.Complete, snap.Incomplete)
			require.Equal(t, 120, snap.Entries)
		})
	}
	t.Run("a server that does not ask", func(t *testing.T) {
		t.Parallel()
		bare := slapdtest.Start(t, slapdtest.Options{Users: 1})
		_, err := newSource(t, bare.TLSURL, external(bare)).Snapshot(t.Context(), nil)
		require.ErrorContains(t, err, "bind as the account of the client certificate: the server does not take the certificate as a login (code 7")
		require.ErrorContains(t, err, "let the server ask for client certificates")
	})
	t.Run("a subject the server does not map", func(t *testing.T) {
		t.Parallel()
		other := options
		other.Config = nil
		strict := slapdtest.Start(t, other)
		_, err := newSource(t, strict.TLSURL, external(strict)).Snapshot(t.Context(), nil)
		require.ErrorContains(t, err, "read base_dn "+slapdtest.BaseDN)
	})
}

// The client's certificate is read for each connection; while its files do not fit
// together, the last pair that did is used.
func TestSource_external_replaced(t *testing.T) {
	t.Parallel()
	o := slapdtest.Options{Users: 2, AskCertificate: true, ACL: []string{"to * by dn.exact=" + slapdtest.ClientSubject + " read by * auth"}}
	srv := slapdtest.Start(t, o)
	cert, key := srv.ClientPair()
	dir := t.TempDir()
	mine, own := filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key")
	move := func(from, to string) {
		data, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(to, data, 0o600))
	}
	var log bytes.Buffer
	s := newSource(t, srv.TLSURL, external(srv), func(o *ldap.Options) {
		o.CertificateFile, o.PrivateKeyFile, o.Logger = mine, own, slog.New(slog.NewTextHandler(&log, nil))
	})
	_, err := s.Snapshot(t.Context(), nil)
	require.ErrorContains(t, err, "read certificate_file and private_key_file: open "+mine)
	move(cert, mine)
	move(key, own)
	require.True(t, snapshot(t, s).Complete)
	move(filepath.Join(filepath.Dir(cert), "server.key"), own)
	require.True(t, snapshot(t, s).Complete, "the pair before")
	require.Contains(t, log.String(), "the client certificate was read before and is used further")
	move(filepath.Join(filepath.Dir(cert), "server.pem"), mine)
	_, err = s.Snapshot(t.Context(), nil)
	require.Error(t, err, "the new pair is another subject, who may read nothing")
}

func TestNew_transport(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		url    string
		change func(*ldap.Options)
		want   string
	}{
		"no pin":                       {"ldaps://h", func(o *ldap.Options) { o.CertificatePins = []string{"sha256/abc"} }, `"sha256/abc" is not sha256/ and 44 characters`},
		"a pin without TLS":            {"ldap://127.0.0.1", func(o *ldap.Options) { o.CertificatePins = []string{"sha256/" + strings.Repeat("A", 43) + "="} }, "mean nothing without encryption"},
		"a certificate without key":    {"ldaps://h", func(o *ldap.Options) { o.CertificateFile = "x" }, "need each other"},
		"external without certificate": {"ldaps://h", func(o *ldap.Options) { o.BindMethod, o.BindDN, o.BindPassword = "external", "", nil }, "external needs certificate_file"},
		"external in clear": {"ldap://127.0.0.1", func(o *ldap.Options) {
			o.BindMethod, o.BindDN, o.BindPassword = "external", "", nil
			o.CertificateFile, o.PrivateKeyFile = "c", "k"
		}, "is not encrypted, so that no certificate is shown"},
		"external with a name":          {"ldaps://h", func(o *ldap.Options) { o.BindMethod = "external" }, "have no place beside it"},
		"an unknown method":             {"ldaps://h", func(o *ldap.Options) { o.BindMethod = "kerberos" }, `bind_method "kerberos" is unknown`},
		"a domain in clear":             {"srv://example.com", func(*ldap.Options) {}, "srv://example.com would send the password in clear"},
		"a domain with a port":          {"srv://example.com:389", func(o *ldap.Options) { o.Security = "starttls" }, "DNS tells the ports"},
		"a socket that is not absolute": {"ldapi://run/slapd", func(*ldap.Options) {}, "is not of the form ldapi:///run/slapd/ldapi"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(t, c.url)
			c.change(&o)
			_, err := ldap.New(o)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func port(t *testing.T, address string) uint16 {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	require.NoError(t, err)
	return uint16(n)
}

// A group's URL may name a server of the domain whose servers DNS lists, and no other.
func TestSource_srv_memberURL(t *testing.T) {
	t.Parallel()
	srv := slapdtest.Start(t, slapdtest.Options{Users: 3})
	dns := slapdtest.NewDNS(t)
	dns.Set("_ldap._tcp.example.test", slapdtest.SRV{Target: "dc1.example.test.", Port: port(t, srv.URL)})
	for host, says := range map[string]string{"dc1.example.test": "", "DC2.example.test:389": "", "dc1.evil.test": "leads to another server", "notexample.test": "leads to another server"} {
		cn := strings.NewReplacer(".", "-", ":", "-").Replace(host)
		addGroup(srv, cn, "memberURL", "ldap://"+host+"/"+slapdtest.PeopleDN+"??sub?(uid=*)")
		snap := snapshot(t, newSource(t, "srv://example.test", func(o *ldap.Options) {
			o.Security, o.CAFile, o.Resolver = ldap.SecurityStartTLS, srv.CAFile, dns.Resolver()
			o.Groups, o.Mapper = ldap.GroupOptions{Mode: "search", MembershipAttribute: "memberURL"}, mapper(t, admins(slapdtest.GroupDN(cn)))
		}))
		require.True(t, snap.Complete, "%s: %s", host, snap.Incomplete)
		require.Equal(t, says == "", snap.RolesUnknown == "", "%s: %s", host, snap.RolesUnknown)
		require.Contains(t, snap.RolesUnknown, says)
	}
}

// The servers are those that DNS lists, in its order, looked up before each read.
func TestSource_srv(t *testing.T) {
	t.Parallel()
	first, second := slapdtest.Start(t, slapdtest.Options{Users: 3}), slapdtest.Start(t, slapdtest.Options{Users: 5})
	dns := slapdtest.NewDNS(t)
	const record = "_ldap._tcp.dc._msdcs.example.test"
	source := func(srv *slapdtest.Server, change ...func(*ldap.Options)) *ldap.Source {
		return newSource(t, "srv://dc._msdcs.example.test", append([]func(*ldap.Options){func(o *ldap.Options) {
			o.Security, o.CAFile, o.Resolver = ldap.SecurityStartTLS, srv.CAFile, dns.Resolver()
		}}, change...)...)
	}
	away := port(t, closedPort(t))
	s := source(first)
	_, err := s.Snapshot(t.Context(), nil)
	require.ErrorContains(t, err, "source corp: srv://dc._msdcs.example.test: look up "+record)
	require.ErrorContains(t, err, "no such host; check the name and this machine's DNS")
	const nobody = "6f1a3c52-0000-4000-8000-000000000000"
	both := func(o *ldap.Options) { o.URLs = append(o.URLs, first.URL) }
	got, err := source(first, both).Confirm(t.Context(), []string{nobody})
	require.ErrorContains(t, err, "look up "+record)
	require.Equal(t, identity.PresenceUnknown, got[nobody], "those of the domain may have him")
	require.Equal(t, identity.PresenceGone, confirmed(t, source(first, both, graces(time.Hour, time.Hour)), nobody))

	dns.Set(record, slapdtest.SRV{Target: "dc9.example.test.", Port: port(t, second.URL), Priority: 20}, slapdtest.SRV{Target: "dc1.example.test.", Port: port(t, first.URL), Priority: 10})
	require.Equal(t, 3, snapshot(t, s).Entries, "the lower priority is asked first")
	dns.Set(record, slapdtest.SRV{Target: "dc1.example.test.", Port: away, Priority: 10}, slapdtest.SRV{Target: "dc9.example.test.", Port: port(t, first.URL), Priority: 20})
	require.Equal(t, 3, snapshot(t, s).Entries, "one that is away is passed over")
	require.NoError(t, s.Reach(t.Context()))

	dns.Set(record, slapdtest.SRV{Target: "dc1.example.test.", Port: port(t, second.TLSURL)})
	require.Equal(t, 5, snapshot(t, source(second, func(o *ldap.Options) { o.Security = ldap.SecurityTLS })).Entries, "TLS from the start on the port that is listed")

	dns.Set(record, slapdtest.SRV{Target: "dc1.evil.test.", Port: port(t, first.URL)}, slapdtest.SRV{Target: "notexample.test.", Port: port(t, first.URL)})
	_, err = s.Snapshot(t.Context(), nil)
	require.ErrorContains(t, err, record+" names only servers outside of example.test, such as ")
	named := source(first, func(o *ldap.Options) { o.ServerName = "localhost" })
	require.Equal(t, 3, snapshot(t, named).Entries, "the name in the certificate does not come from DNS")

	dns.Set(record, slapdtest.SRV{Target: ".", Port: 0})
	_, err = s.Snapshot(t.Context(), nil)
	require.ErrorContains(t, err, "names no server")
	mixed := source(first, func(o *ldap.Options) { o.URLs = append(o.URLs, first.URL) })
	require.Equal(t, 3, snapshot(t, mixed).Entries, "a look-up that fails does not hide a server that is named")
}

// A read stays on its server: when that one fails on the way, the read is incomplete, and
// the next one begins elsewhere.
func TestSource_oneReadOneServer(t *testing.T) {
	t.Parallel()
	srv := slapdtest.Start(t, slapdtest.Options{Users: 330})
	first, second := slapdtest.NewProxy(t, srv.URL), slapdtest.NewProxy(t, srv.URL)
	first.CutAfter(110_000)
	s := newSource(t, first.URL, func(o *ldap.Options) { o.URLs = []string{first.URL, second.URL} })
	snap := snapshot(t, s)
	require.False(t, snap.Complete)
	require.Contains(t, snap.Incomplete, "reading ended after 200 entries on page 3: the connection was lost")
	require.Zero(t, second.Connections())
	first.CutAfter(0)
	require.True(t, snapshot(t, s).Complete)
	require.Equal(t, 1, second.Connections(), "the one that failed comes after the others")
	require.Equal(t, 1, first.Connections())
}

// bothCAs is one file with the certificates of two.
func bothCAs(t *testing.T, files ...string) string {
	t.Helper()
	var all []byte
	for _, f := range files {
		data, err := os.ReadFile(f)
		require.NoError(t, err)
		all = append(all, data...)
	}
	out := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(out, all, 0o600))
	return out
}

// A server that takes connections and does not answer is noticed within the timeout, is
// named, and does not hide the next one, unless it has shown people already.
func TestSource_frozen(t *testing.T) {
	t.Parallel()
	const timeout = 3 * time.Second // more than healthy servers need on a busy machine
	for name, c := range map[string]struct {
		change func(*ldap.Options, *slapdtest.Server)
		says   string
	}{
		"in the TLS handshake": {func(o *ldap.Options, s *slapdtest.Server) { o.URLs, o.CAFile = []string{s.TLSURL}, s.CAFile }, "TLS: no answer within 3s; see whether the server is at work"},
		"in StartTLS":          {func(o *ldap.Options, s *slapdtest.Server) { o.Security, o.CAFile = "starttls", s.CAFile }, "StartTLS: no answer within 3s"},
		"in the bind":          {func(*ldap.Options, *slapdtest.Server) {}, "bind as " + slapdtest.ReaderDN + ": no answer for 3s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			frozen := slapdtest.Start(t, slapdtest.Options{Users: 3})
			frozen.Freeze()
			alone := func(o *ldap.Options) { c.change(o, frozen); o.Timeout = timeout }
			began := time.Now()
			_, err := newSource(t, frozen.URL, alone).Snapshot(t.Context(), nil)
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, err, "source corp: ldap")
			require.Less(t, time.Since(began), 10*timeout)

			well := slapdtest.Start(t, slapdtest.Options{Users: 3})
			var front *slapdtest.Proxy
			s := newSource(t, frozen.URL, func(o *ldap.Options) {
				c.change(o, frozen)
				scheme, address, _ := strings.Cut(o.URLs[0], "://")
				front = slapdtest.NewProxy(t, "ldap://"+address)
				o.Timeout, o.URLs = timeout, []string{strings.Replace(front.URL, "ldap", scheme, 1), well.URL}
				if o.CAFile != "" {
					o.CAFile = bothCAs(t, frozen.CAFile, well.CAFile)
				}
			})
			for range 2 {
				require.True(t, snapshot(t, s).Complete)
				require.Equal(t, 1, front.Connections(), "it is not waited for in every read")
			}
		})
	}
	t.Run("between two pages", func(t *testing.T) {
		t.Parallel()
		frozen := slapdtest.Start(t, slapdtest.Options{Users: 630})
		spare := slapdtest.NewProxy(t, frozen.URL)
		s := newSource(t, frozen.URL, func(o *ldap.Options) { o.Timeout, o.URLs = timeout, []string{frozen.URL, spare.URL} })
		began := time.Now()
		seen := 0
		snap, err := s.Snapshot(t.Context(), func(identity.Identity) bool {
			if seen++; seen == 150 {
				frozen.Freeze()
			}
			return false
		})
		require.NoError(t, err)
		// The next page is asked for while one is mapped, and may have come before the stop.
		require.Regexp(t, "^reading ended after (200 entries on page 3|300 entries on page 4|400 entries on page 5): "+regexp.QuoteMeta(frozen.URL)+" has not answered for 3s; see whether the server is at work; raise query_timeout if it needs longer for one page$", snap.Incomplete)
		require.Less(t, time.Since(began), 10*timeout)
		require.Zero(t, spare.Connections())
	})
	t.Run("while it is written to", func(t *testing.T) {
		t.Parallel()
		srv := slapdtest.Start(t, slapdtest.Options{Users: 3})
		deaf := deafAfter(t, srv.URL, 300)
		s := newSource(t, deaf, func(o *ldap.Options) { o.Timeout = timeout })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, _, err := s.Lookup(ctx, strings.Repeat("x", 1<<20)) // more than the system keeps for it
		require.ErrorContains(t, err, deaf+" has not answered for 3s")
	})
}

// deafAfter stands before a server and stops reading from the client after n bytes.
func deafAfter(t *testing.T, target string, n int64) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		client, err := l.Accept()
		if err != nil {
			return
		}
		defer client.Close()
		if tcp, ok := client.(*net.TCPConn); !ok || tcp.SetReadBuffer(4096) != nil { // else megabytes are taken without being read
			return
		}
		server, err := net.Dial("tcp", strings.TrimPrefix(target, "ldap://"))
		if err != nil {
			return
		}
		back := make(chan struct{})
		go func() { defer close(back); _, _ = io.Copy(client, server) }()
		_, _ = io.CopyN(server, client, n)
		<-stop
		_ = server.Close()
		<-back
	}()
	t.Cleanup(func() { close(stop); _ = l.Close(); <-done })
	return "ldap://" + l.Addr().String()
}

// The bind account is the canary where none is configured, as far as the read must find
// it: it matches the filter, and stands below the base.
func TestSource_ownEntryIsCanary(t *testing.T) {
	t.Parallel()
	people := slapdtest.FakePeople(30)
	own := people[len(people)-1]
	fake := slapdtest.NewFake(t, people, slapdtest.Faults{})
	bound := func(o *ldap.Options) { o.BindDN = own.DN }
	require.True(t, snapshot(t, newSource(t, fake.URL, bound)).Complete)
	fake.Set(slapdtest.Faults{Empty: true})
	require.Contains(t, snapshot(t, newSource(t, fake.URL, bound)).Incomplete, "the bind account "+own.DN+" matches the user filter, but the read did not find it")
	fake.Set(slapdtest.Faults{})
	for name, change := range map[string]func(*ldap.Options){
		"no person":        func(*ldap.Options) {},
		"outside the base": func(o *ldap.Options) { o.BindDN, o.BaseDN = slapdtest.ReaderDN, slapdtest.PeopleDN },
		"no DN":            func(o *ldap.Options) { o.BindDN = "svc-mmsync@example.test" },
	} {
		snap := snapshot(t, newSource(t, fake.URL, change))
		require.True(t, snap.Complete, "%s: %s", name, snap.Incomplete)
	}
}
