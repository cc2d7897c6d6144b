package ldaptest

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mmsync/mmsync/internal/slapdtest"
)

// Options say which server is played and what it holds. The zero value is a Plain
// server with nobody but its reader.
type Options struct {
	Kind Kind
	// People is how many of slapdtest.Roster are below PeopleDN, with their groups;
	// Entries come after them.
	People  int
	Entries []Entry
	// PageSize is the most entries one answer holds. A search without paging ends
	// there with code 4 and what it has; a larger page is cut to it in Active
	// Directory, and refused with code 11 elsewhere. 0 is 1000 in Active Directory
	// and no limit elsewhere; negative is no limit.
	PageSize int
	// Total ends a paged search with code 4 after so many entries over all of its
	// pages, as size.prtotal of slapd.conf(5) does; 0 is no limit.
	Total int
	// ValueRange is the most values of an attribute that Active Directory sends at
	// once; the rest by range retrieval (MS-ADTS 3.1.1.3.1.3.3). 0 is 1500; negative
	// is no limit.
	ValueRange int
	// Referrals come at the end of a subtree search of the naming context, unless
	// the domain-scope control is there; one may be several addresses with a space
	// between, any of which does (RFC 4511 4.5.3). nil is what a domain of its own forest has
	// in Active Directory, and none elsewhere.
	Referrals []string
	// RecycleBin lets tombstones keep their attributes.
	RecycleBin bool
	// HideDeleted takes the reader's right to see Deleted Objects: searches there
	// succeed and find nothing.
	HideDeleted bool
	// HideUSN takes the right to read uSNChanged.
	HideUSN bool
	// NoReplication takes the right "Replicating Directory Changes": DirSync is
	// refused with code 50 unless it asks for object security.
	NoReplication bool
	// DirSyncEntries is the most entries one DirSync answer holds; 0 is no limit.
	DirSyncEntries int
	// RequireTLS refuses simple binds in the clear with code 8.
	RequireTLS bool
	// NoTLS refuses StartTLS and leaves TLSURL empty.
	NoTLS bool
	// NoSchema hides the attribute types.
	NoSchema bool
	// NoControls makes the server ignore paging, and know no other control.
	NoControls bool
	// Now is the server's clock; nil is time.Now.
	Now func() time.Time
}

// Server is one running server. It ends with its test. Its methods may be called
// while it is being read.
type Server struct {
	URL, TLSURL string
	CAFile      string
	Kind        Kind
	t           testing.TB
	o           Options
	tls         *tls.Config
	d           *directory
	// ahead is what a server of Behind lags behind, before what it held earlier.
	ahead, before *directory
	work          sync.WaitGroup
	stop          chan struct{}

	mu        sync.Mutex
	self      *replica
	open      map[net.Conn]bool
	calls     []string
	fault     *firing
	replicas  int
	listeners []net.Listener
}

// Start loads and starts a server.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	d := newDirectory(o)
	entries := append(o.Kind.Tree(o.People), o.Entries...)
	for _, e := range entries {
		if err := d.add(e); err != nil {
			t.Fatalf("ldaptest: %v", err)
		}
	}
	s := &Server{Kind: o.Kind, t: t, o: o.withDefaults(), d: d}
	s.self = d.replica(0, o)
	s.replicas = 1
	s.listen()
	return s
}

func (o Options) withDefaults() Options {
	if o.Kind == ActiveDirectory {
		if o.PageSize == 0 {
			o.PageSize = 1000
		}
		if o.ValueRange == 0 {
			o.ValueRange = 1500
		}
		if o.Referrals == nil {
			for _, zone := range []string{"ForestDnsZones", "DomainDnsZones"} {
				o.Referrals = append(o.Referrals, fmt.Sprintf("ldap://%s.ad.test/DC=%s,DC=ad,DC=test", zone, zone))
			}
			o.Referrals = append(o.Referrals, "ldap://ad.test/"+configDN)
		}
	}
	return o
}

// replica makes the view of one domain controller: numbers of its own, that run
// ahead of or behind those of the others.
func (d *directory) replica(index int, o Options) *replica {
	r := &replica{index: index, offset: []int64{12_000, 700, 90_000}[index%3] + int64(index)*17, hideUSN: o.HideUSN}
	sum := sha256.Sum256(fmt.Appendf(nil, "invocation %d", index))
	r.invocation = string(sum[:16])
	if d.kind == ActiveDirectory {
		if err := d.addServer(r); err != nil {
			panic("ldaptest: " + err.Error()) // a name of our own
		}
	}
	return r
}

// Replica starts a further server over the same tree: in Active Directory another
// domain controller, with an invocation id and update sequence numbers of its own.
func (s *Server) Replica() *Server {
	s.t.Helper()
	s.mu.Lock()
	index := s.replicas
	s.replicas++
	s.mu.Unlock()
	s.d.mu.Lock()
	self := s.d.replica(index, s.o)
	s.d.mu.Unlock()
	out := &Server{Kind: s.Kind, t: s.t, o: s.o, d: s.d, self: self}
	out.listen()
	return out
}

// BecomeLike makes this server's address answer as another server does, as a load
// balancer or a changed record in DNS would, and ends all connections.
func (s *Server) BecomeLike(other *Server) {
	other.mu.Lock()
	self := other.self
	other.mu.Unlock()
	s.mu.Lock()
	s.self = self
	s.mu.Unlock()
	s.Disconnect()
}

// RestoreBackup makes the domain controller look restored from a backup: another
// invocation id, and update sequence numbers that begin again further back.
func (s *Server) RestoreBackup() {
	s.d.mu.Lock() // always before s.mu
	defer s.d.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := sha256.Sum256([]byte("restored " + s.self.invocation))
	restored := *s.self
	restored.invocation, restored.offset = string(sum[:16]), s.self.offset-500
	s.self = &restored
	if n := s.d.find(settingsDN(restored.index)); n != nil {
		s.d.modify(n, "invocationId", restored.invocation)
	}
}

// Disconnect ends all connections without a word.
func (s *Server) Disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		_ = c.Close()
	}
}

// Calls lists the requests so far: "bind DN", "search sub BASE" (in lower case)
// with "next page", "sync", "dirsync" and "show deleted" where they apply, and
// "starttls", "whoami", "unbind".
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

func (s *Server) note(call string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call)
}

func (s *Server) who() *replica {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.self
}

// listen opens the ports and closes them with the test.
func (s *Server) listen() {
	s.t.Helper()
	s.open, s.stop = map[net.Conn]bool{}, make(chan struct{})
	port := s.port()
	s.URL = "ldap://" + port.Addr().String()
	s.work.Go(func() { s.accept(port, false) })
	if !s.o.NoTLS {
		dir := s.t.TempDir()
		if err := slapdtest.WriteCertificates(dir); err != nil {
			s.t.Fatalf("ldaptest: %v", err)
		}
		s.CAFile = filepath.Join(dir, "ca.pem")
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key"))
		if err != nil {
			s.t.Fatalf("ldaptest: %v", err)
		}
		s.tls = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		secure := s.port()
		s.TLSURL = "ldaps://" + secure.Addr().String()
		s.work.Go(func() { s.accept(secure, true) })
	}
	s.t.Cleanup(func() {
		close(s.stop)
		for _, l := range s.listeners {
			_ = l.Close()
		}
		s.Disconnect()
		s.work.Wait()
	})
}

func (s *Server) port() net.Listener {
	s.t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(s.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatalf("ldaptest: %v", err)
	}
	s.listeners = append(s.listeners, l)
	return l
}

func (s *Server) accept(l net.Listener, secure bool) {
	for {
		raw, err := l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.open[raw] = true
		s.mu.Unlock()
		select {
		case <-s.stop: // it came in while all others were being closed
			_ = raw.Close()
		default:
		}
		s.work.Go(func() {
			s.serve(raw, secure)
			_ = raw.Close()
			s.mu.Lock()
			delete(s.open, raw)
			s.mu.Unlock()
		})
	}
}
