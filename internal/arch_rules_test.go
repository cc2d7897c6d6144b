package internal_test

// rule is one row of the table: what a package may import of ours.
type rule struct {
	// imports are the packages of this module that shipped files may import.
	imports []string
	// tests are further ones that its _test files may import.
	tests []string
	// pure forbids I/O, clock, log, context and randomness.
	pure bool
	// support marks a package that helps tests: no shipped file may import it,
	// and it may use test libraries itself.
	support bool
	// why is said when the rule is broken.
	why string
}

const whyAdapter = "an adapter knows one outside thing and the words it is told in; adapters meet in the daemon and never import one another"

// rules is the table. Packages appear from the words up to the command; a
// package that is not here fails the test, so that a new one is placed
// deliberately.
func rules() map[string]rule {
	return map[string]rule{
		// the words and the pure core
		"internal/identity": {
			pure: true,
			why:  "identity is what every other package is written in, so it rests on the standard library alone",
		},
		"internal/reconcile/plan": {
			imports: []string{"internal/identity"},
			pure:    true,
			why:     "what is done to people is decided by a pure function of what was observed, so that it can be replayed, tested and explained",
		},
		"internal/reconcile/guard": {
			imports: []string{"internal/reconcile/plan", "internal/identity"},
			pure:    true,
			why:     "a guard judges a finished plan; it must not be able to fetch what would change its mind",
		},
		"internal/audit": {
			imports: []string{"internal/reconcile/plan", "internal/identity"},
			pure:    true,
			why:     "seals are made and judged by values alone, so that a copy of the history verifies without the store; the port speaks of batches and rows, so state imports audit and not the other way round",
		},

		// the port to what is kept, and the shell around the core
		"internal/state": {
			imports: []string{"internal/audit", "internal/reconcile/plan", "internal/identity"},
			why:     "the port names what is kept and promises it; it knows no database",
		},
		"internal/reconcile": {
			imports: []string{"internal/reconcile/plan", "internal/reconcile/guard", "internal/identity", "internal/audit", "internal/state"},
			tests: []string{
				"internal/licencetest",
				"internal/state/sqlite", "internal/state/postgres", "internal/pgtest", "internal/mattermost", "internal/mattermost/mmsim",
				"internal/sources", "internal/sources/file", "internal/audit/keyfile",
			},
			why: "the engine is handed its source, target and store; it must run the same whichever they are",
		},
		"internal/sources": {
			imports: []string{"internal/identity"},
			why:     "mapping turns a record into an identity, whoever read the record",
		},

		// the SCIM protocol
		"internal/scim/filter": {
			why: "filters and paths are a language of their own, of use to anybody who keeps attributes",
		},
		"internal/scim": {
			imports: []string{"internal/scim/filter"},
			why:     "the protocol could leave this house as a library: what a resource means here is a matter of its backend",
		},

		// adapters
		"internal/sources/ldap": {
			imports: []string{"internal/authorities", "internal/sources", "internal/identity"},
			tests:   []string{"internal/slapdtest", "internal/ldaptest", "internal/sambatest", "internal/certtest"},
			why:     whyAdapter,
		},
		"internal/sources/file": {
			imports: []string{"internal/sources", "internal/identity"},
			why:     whyAdapter,
		},
		"internal/sources/scim": {
			imports: []string{"internal/peer", "internal/scim", "internal/scim/filter", "internal/sources", "internal/identity", "internal/state"},
			tests:   []string{"internal/state/sqlite"},
			why:     whyAdapter,
		},
		"internal/mattermost": {
			imports: []string{"internal/authorities", "internal/reconcile/plan", "internal/identity"},
			tests:   []string{"internal/mattermost/mmsim", "internal/certtest"},
			why:     whyAdapter,
		},
		"internal/mattermost/mmsim": {
			why: "the simulator may not share code with the client it is there to prove: a shared mistake would agree with itself",
		},
		"internal/state/postgres": {
			imports: []string{"internal/state", "internal/audit", "internal/reconcile/plan", "internal/identity", "migrations"},
			tests:   []string{"internal/state/statetest", "internal/pgtest", "internal/certtest"},
			why:     whyAdapter,
		},
		"internal/state/sqlite": {
			imports: []string{"internal/state", "internal/audit", "internal/reconcile/plan", "internal/identity", "migrations"},
			tests:   []string{"internal/state/statetest"},
			why:     whyAdapter,
		},
		"internal/schedule": {
			why: "when something is due is asked by whoever does it, and the answer must not depend on what that is",
		},
		"internal/state/archive": {
			imports: []string{"internal/state"},
			tests:   []string{"internal/identity", "internal/state/sqlite", "internal/state/postgres", "internal/pgtest"},
			why:     "a backup is a file that either store writes and reads; it is told in the words of the port",
		},
		"internal/admin": {
			imports: []string{"internal/state", "internal/reconcile/plan", "internal/identity"},
			why:     "whoever watches is told what others found and counted; what is looked at comes as a probe, so that health knows no adapter",
		},
		"internal/authorities": {
			tests: []string{"internal/certtest"},
			why:   "it reads one file, for whoever connects to something",
		},
		"internal/fetch": {
			why: "what gets an address from somebody else knows nothing but that address and what it may ask",
		},
		"internal/peer": {
			why: "it reads a request, for whoever is asked something",
		},
		"internal/audit/keyfile": {
			imports: []string{"internal/audit"},
			why:     whyAdapter,
		},
		"internal/notice": {
			imports: []string{"internal/state", "internal/reconcile/plan", "internal/identity"},
			tests:   []string{"internal/state/sqlite", "internal/state/postgres", "internal/pgtest", "internal/mattermost", "internal/mattermost/mmsim"},
			why:     whyAdapter,
		},
		"migrations": {
			tests: []string{"internal/pgtest"},
			why:   "migrations are SQL files and nothing else",
		},

		// words about one person, for the command line and the page
		"internal/explain": {
			imports: []string{"internal/reconcile", "internal/reconcile/plan", "internal/identity", "internal/state", "internal/sources"},
			why:     "a terminal and a browser are told the same about a person, so the words are made in neither",
		},

		"internal/admin/page": {
			imports: []string{"internal/explain", "internal/peer", "internal/reconcile", "internal/reconcile/plan", "internal/identity", "internal/state"},
			tests:   []string{"internal/state/sqlite"},
			why:     "the page shows what the store and the engine tell, whichever store that is; it listens nowhere and is mounted by whoever does",
		},

		// composition
		"internal/config": {
			why: "the configuration is a leaf of plain values; adapters take their own options, so that they can be tested without YAML",
		},
		"internal/demo": {
			imports: []string{"internal/mattermost/mmsim"},
			why:     "the demo is data and a simulated server; what runs against it is the real daemon",
		},
		"internal/daemon": {
			imports: []string{
				"internal/authorities", "internal/peer", "internal/config", "internal/identity", "internal/reconcile/plan", "internal/reconcile/guard",
				"internal/reconcile", "internal/audit", "internal/audit/keyfile", "internal/state", "internal/state/postgres", "internal/state/sqlite",
				"internal/sources", "internal/sources/ldap", "internal/sources/file", "internal/sources/scim", "internal/scim", "internal/mattermost", "internal/schedule",
				"internal/explain", "internal/notice", "internal/admin", "internal/admin/page", "internal/fetch",
			},
			tests: []string{"internal/mattermost/mmsim", "internal/demo", "internal/slapdtest", "internal/ldaptest", "internal/sambatest", "internal/pgtest"},
			why:   "the daemon is where adapters meet; nothing below may know it",
		},
		"cmd/mmsync": {
			imports: []string{
				"internal/daemon", "internal/config", "internal/demo", "internal/explain", "internal/identity", "internal/audit",
				"internal/reconcile/plan", "internal/reconcile/guard", "internal/reconcile", "internal/state",
				"internal/state/archive",
				"internal/mattermost/mmsim", // what the demo runs against
			},
			tests: []string{"internal/slapdtest", "internal/ldaptest", "internal/sambatest", "internal/pgtest", "internal/licencetest", "internal/addrtest"},
			why:   "commands parse, call the daemon and print; an adapter reached from here would be wired twice",
		},

		// support of tests
		"internal/state/statetest": {
			imports: []string{"internal/state", "internal/audit", "internal/reconcile/plan", "internal/identity"},
			support: true,
			why:     "the suite is the contract of the port, so it sees the port and no store",
		},
		"internal/licencetest": {support: true, why: "it stands before a simulated server in tests, and knows nothing of it"},
		"internal/addrtest":    {support: true, why: "it finds addresses for tests and knows nothing of mmsync"},
		"internal/certtest":    {support: true, why: "it makes certificates for tests and knows nothing of mmsync"},
		"internal/slapdtest":   {support: true, why: "it starts a real slapd for tests and knows nothing of mmsync"},
		"internal/ldaptest": {
			imports: []string{"internal/slapdtest"}, // its people and certificates
			tests:   []string{"internal/sambatest"},
			support: true,
			why:     "it plays directory servers for tests and is held to real ones; it knows nothing of mmsync",
		},
		"internal/sambatest": {
			imports: []string{"internal/slapdtest", "internal/ldaptest"}, // the same people, as the same entries
			support: true,
			why:     "it starts a real Samba for tests and knows nothing of mmsync",
		},
		"internal/pgtest": {support: true, why: "it starts a real PostgreSQL for tests and knows nothing of mmsync"},
		"internal/e2e": {
			support: true,
			tests: []string{
				"internal/daemon", "internal/config", "internal/demo", "internal/identity",
				"internal/reconcile/plan", "internal/reconcile/guard", "internal/reconcile", "internal/state",
				"internal/state/postgres", "internal/state/sqlite", "internal/sources", "internal/sources/ldap",
				"internal/sources/file", "internal/mattermost", "internal/mattermost/mmsim",
				"internal/slapdtest", "internal/ldaptest", "internal/sambatest", "internal/pgtest", "internal/certtest", "internal/addrtest", "cmd/mmsync",
			},
			why: "end-to-end tests see everything and are seen by nobody",
		},
		"internal/e2ereal": {
			support: true,
			tests: []string{
				"internal/daemon", "internal/config", "internal/reconcile", "internal/reconcile/plan",
				"internal/state", "internal/mattermost/mmsim",
			},
			why: "the suite for every server drives what the command drives, and looks at the server as its administrator would",
		},
		"internal/traps": {
			support: true,
			why:     "it reads the source as text and runs go test; what it demands of a package stands in that package's own tests",
		},
		"conformance": {
			support: true,
			tests:   []string{"internal/mattermost/mmsim"},
			why:     "clients of other people see the simulated server on the wire, as they would a real one",
		},
		"internal": {why: "this directory holds the test of the dependency rule and nothing else"},
	}
}

// library is where one third-party module may be imported.
type library struct {
	module string
	in     []string // packages of ours, in their tests as well; nil means anywhere
	// narrow names the few things a further package may use in shipped files.
	narrow map[string][]string
	tests  bool // only in _test files and in support packages
	why    string
}

// libraries lists every module we import directly. One that is missing here has
// not been weighed yet: docs/adr/0007-dependencies.md says how that is done.
func libraries() []library {
	return []library{
		{module: "cel.dev/cel-go", in: []string{"internal/sources"}, why: "expressions are a matter of mapping; everything else sees their results"},
		{module: "github.com/jackc/pgx/v5", in: []string{"internal/state/postgres", "internal/pgtest", "internal/e2e", "migrations"}, why: "PostgreSQL is seen by its store alone"},
		{module: "modernc.org/sqlite", in: []string{"internal/state/sqlite", "migrations"}, why: "SQLite is seen by its store alone"},
		{module: "github.com/pressly/goose/v3", in: []string{"internal/state/postgres", "internal/state/sqlite", "migrations"}, why: "migrations are run by the store they belong to"},
		{
			module: "github.com/go-ldap/ldap/v3", in: []string{"internal/sources/ldap", "internal/slapdtest", "internal/ldaptest", "internal/sambatest", "internal/e2e"},
			narrow: map[string][]string{"internal/sources": {"ParseDN"}}, // a group rule compares DNs, whatever read them
			why:    "LDAP is seen by its source alone",
		},
		{module: "github.com/go-jose/go-jose/v4", in: []string{"internal/sources/scim"}, why: "signed tokens are looked at where a SCIM client is let in, and nowhere else"},
		{module: "github.com/coreos/go-oidc/v3", in: []string{"internal/admin/page"}, why: "people log in at the status page, and nowhere else"},
		{module: "golang.org/x/oauth2", in: []string{"internal/admin/page"}, why: "people log in at the status page, and nowhere else"},
		{module: "github.com/wneessen/go-mail", in: []string{"internal/notice"}, why: "mail is one way of telling people, and nothing else sends any"},
		{module: "github.com/go-asn1-ber/asn1-ber", in: []string{"internal/sources/ldap", "internal/slapdtest", "internal/ldaptest"}, why: "only the LDAP source reads controls, and its tests fake a server on the wire"},
		{module: "filippo.io/age", in: []string{"internal/state/archive"}, why: "a backup is encrypted where it becomes a file, and nowhere else"},
		{module: "github.com/spf13/cobra", in: []string{"cmd/mmsync"}, why: "flags and commands end where the program begins"},
		{module: "go.yaml.in/yaml/v4", in: []string{"internal/config", "cmd/mmsync", "internal/admin"}, why: "only the configuration is YAML, what a command prints as YAML, and the alerts, which the tests of admin read"},
		{module: "github.com/lmittmann/tint", in: []string{"cmd/mmsync", "internal/daemon"}, why: "how a log looks is decided once, at the top"},
		{
			module: "github.com/prometheus/client_golang", in: []string{"internal/admin", "internal/daemon"},
			why: "what is counted is counted in one place; everything below tells it by plain functions",
		},
		{module: "golang.org/x/term", in: []string{"cmd/mmsync", "internal/daemon"}, why: "only the command talks to a terminal"},
		{
			module: "golang.org/x/sync",
			in: []string{
				"internal/reconcile", "internal/mattermost", "internal/sources/ldap", "internal/state/postgres", "internal/state/sqlite",
				"internal/state/statetest", "internal/notice", "internal/daemon", "internal/e2e", "cmd/mmsync",
			},
			why: "goroutines are started by the shell and its adapters, never by the core or the mapping",
		},
		{module: "github.com/robfig/cron/v3", in: []string{"internal/schedule"}, why: "what a cron expression means is said in one place, and only its parser is used"},
		{module: "github.com/coreos/go-systemd/v22", in: []string{"internal/daemon"}, why: "the daemon alone tells the service manager how it is"},
		{module: "golang.org/x/text", in: []string{"internal/sources", "internal/scim", "internal/scim/filter"}, why: "names are folded and normalised while they are mapped"},

		{module: "github.com/chromedp/cdproto", in: []string{"internal/daemon"}, tests: true, why: "a browser looks at the page in tests, and nowhere else"},
		{module: "github.com/chromedp/chromedp", in: []string{"internal/daemon"}, tests: true, why: "a browser looks at the page in tests, and nowhere else"},
		{module: "github.com/stretchr/testify", tests: true, why: "it is for tests"},
		{module: "github.com/rogpeppe/go-internal", tests: true, why: "it is for tests"},
		{module: "go.uber.org/goleak", tests: true, why: "it is for tests"},
		{module: "pgregory.net/rapid", tests: true, why: "it is for tests"},
	}
}
