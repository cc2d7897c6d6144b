package mmsim

import (
	"sync"
	"time"
)

// Profile says which server is played.
type Profile int

const (
	// Profile116 is Mattermost 11.6, Team Edition, unlicensed.
	Profile116 Profile = iota
	// Profile538 is the development build of July 2021 that calls itself 5.37.
	Profile538
)

// Options shape a server. The zero value is an 11.6 server with one admin, no
// seat limit, no rate limit and no cost for passwords.
type Options struct {
	Profile Profile

	// The one account the server starts with: a human system admin who holds
	// a personal access token.
	AdminUsername string // default "admin"
	AdminEmail    string // default "admin@example.test"
	AdminPassword string // default "Admin-Passw0rd-1"
	AdminToken    string // default: generated, see [Server.AdminToken]

	// Now is the server's clock; it stamps rows and the Date header.
	Now func() time.Time
	// SeatLimit is the number of active people from which creation and
	// reactivation are refused. The recorded server had 250. 0: no limit.
	SeatLimit int
	// CustomFields are the custom profile attributes of a licensed server; without any
	// it is unlicensed, as the recorded one was.
	CustomFields []CustomField
	// Enterprise plays a licensed Enterprise build as far as it keeps profile fields to
	// LDAP and SAML accounts, by LdapSettings and SamlSettings; see locked. It was not
	// recorded.
	Enterprise bool
	RateLimit  *RateLimit
	// PasswordCost is slept whenever a password is hashed or compared.
	PasswordCost time.Duration
	// Settings are MM_... environment variables, as [Server.Restart] takes.
	Settings map[string]string

	// Logins are login services that the client configuration calls switched on, by
	// the name of its key, such as EnableSaml. Recorded were servers with none;
	// nothing but that word follows from it.
	Logins []string

	// LostConcurrentWrites plays the real server's read-then-write-the-row: of
	// two PATCH, roles, active or auth requests for one account that overlap
	// one may be lost, as often as was seen on real servers, and both answer
	// as usual. Off, they are done one after the other.
	LostConcurrentWrites bool
	// WriteWindow is how long such a write waits for another one to overlap
	// with. Default 2 ms.
	WriteWindow time.Duration

	// MaxCalls is how many calls are remembered, the oldest go first.
	// 0: 100,000; negative: none.
	MaxCalls int
	// MaxCallBody is how much of each body is remembered. 0: 16 KiB.
	MaxCallBody int

	// Seed makes generated ids and tokens, and which of two writes is lost,
	// repeatable. 0: they are random.
	Seed uint64
}

// RateLimit is the server's own limiter as it was recorded: the burst is
// refilled at PerSec, and it answers before it asks who is calling.
type RateLimit struct {
	PerSec   int
	MaxBurst int
}

// Server is one simulated Mattermost server.
type Server struct {
	opts    Options
	profile Profile
	routes  *router
	ids     *idSource
	calls   callLog
	faults  faultSet
	races   *races

	adminID    string
	adminToken string
	serverID   string // TelemetryId
	publicKey  string
	installed  int64

	// mu guards what follows. Handlers run under it: readers together,
	// writers alone.
	mu        sync.RWMutex
	db        *db
	conf      *config
	url       string
	offset    time.Duration
	bucket    *bucket
	versionID string // X-Version-Id
	release   string // instead of the profile's
	// memory holds the rows that reads by id show where the server's cache is
	// behind its database.
	memory map[string]*User
	// history holds replaced rows while a CacheLag fault is set and in a cluster.
	history map[string][]pastRow
	// replica is set while a MemberLag fault is, and past then holds who was where.
	replica bool
	past    []pastPlaces
	// moved holds how often rows of channels' lists have moved, with a lock of its own.
	moved movedRows

	// nodes is how many further ones there are, nodeLag how long word of a
	// change takes to them in milliseconds, writer who is writing: a node's
	// number, or outside for what is done behind the API's back.
	nodes   int
	nodeLag int64
	writer  int

	port listener
}

const outside = -1

// New returns a server that has one human system admin with a personal access
// token. It listens nowhere until [Server.Listen]; as a handler it works at once.
func New(opts Options) *Server {
	if opts.AdminUsername == "" {
		opts.AdminUsername = "admin"
	}
	if opts.AdminEmail == "" {
		opts.AdminEmail = opts.AdminUsername + "@example.test"
	}
	if opts.AdminPassword == "" {
		opts.AdminPassword = "Admin-Passw0rd-1"
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.WriteWindow == 0 {
		opts.WriteWindow = 2 * time.Millisecond
	}
	s := &Server{
		opts:    opts,
		profile: opts.Profile,
		routes:  newRouter(opts.Profile),
		ids:     newIDSource(opts.Seed),
		races:   newRaces(opts.Seed),
		db:      newDB(),
		memory:  map[string]*User{},
		writer:  outside,
	}
	s.db.countRemote = opts.Profile == Profile538
	s.calls.init(opts.MaxCalls, opts.MaxCallBody)
	s.serverID = s.ids.id()
	s.publicKey = s.ids.id() + s.ids.id()
	s.installed = s.millis()
	s.conf = newConfig(opts.Profile, opts.Settings)
	s.bucket = newBucket(opts.RateLimit, s.conf)
	s.versionID = s.newVersionID()

	admin := s.AddUser(User{
		Username: opts.AdminUsername, Email: opts.AdminEmail, Password: opts.AdminPassword,
		Roles: roleAdmin + " " + roleUser,
	})
	s.adminID = admin.ID
	s.adminToken = s.addToken(admin.ID, opts.AdminToken, "mmsync")
	return s
}

// AdminID is the id of the admin the server started with.
func (s *Server) AdminID() string { return s.adminID }

// AdminToken is that admin's personal access token.
func (s *Server) AdminToken() string { return s.adminToken }

// ServerID is what the server calls its TelemetryId and DiagnosticId.
func (s *Server) ServerID() string { return s.serverID }

// Listen serves on addr ("" is a free loopback port) and returns the base URL.
func (s *Server) Listen(addr string) (string, error) {
	return s.port.listen(addr, s, func(url string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.url = url
		s.versionID = s.newVersionID()
	})
}

// Close stops listening, cuts open connections and waits for the listener's
// goroutine. It does not wait for requests that are being answered, so a hook of
// [Server.OnCall] may close the server under its client. It is fine on a server
// that never listened, and twice; the server may listen again.
func (s *Server) Close() error { return s.port.close() }

// TB is the part of testing.TB that [Server.Start] needs.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Start listens on a free loopback port until the test ends and returns the
// base URL.
func (s *Server) Start(t TB) string {
	t.Helper()
	url, err := s.Listen("")
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return url
}

// URL is where the server listens, "" before [Server.Listen].
func (s *Server) URL() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.url
}

// SetClockOffset moves the server's clock against Options.Now, rows and Date
// header alike.
func (s *Server) SetClockOffset(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset = d
}

// now needs the lock, reading is enough.
func (s *Server) now() time.Time { return s.opts.Now().Add(s.offset) }

func (s *Server) millis() int64 { return s.now().UnixMilli() }

// Restart plays a restart with these MM_... settings over those of Options: the
// database and configuration made through the API stay, what was held in memory
// goes.
func (s *Server) Restart(settings map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conf.restart(mergeSettings(s.opts.Settings, settings))
	s.bucket = newBucket(s.opts.RateLimit, s.conf)
	s.versionID = s.newVersionID()
	s.forgetCaches()
}

// Upgrade restarts the server as another release, like "11.7.0": it says so in
// X-Version-Id and config/client, and answers as its profile all the same.
func (s *Server) Upgrade(release string) {
	s.mu.Lock()
	s.release = release
	s.mu.Unlock()
	s.Restart(nil)
}

func (s *Server) forgetCaches() {
	clear(s.memory)
	for _, one := range s.db.sessions {
		one.cached = false
	}
}
