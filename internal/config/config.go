package config

import "time"

// Version is the only value of the version key this package reads.
const Version = 1

// Config is a whole configuration file with its defaults filled in. The yaml
// tags are the schema: they are read by this package's own decoder, which
// knows the options required (the key must be there and not empty), file (a
// Secret may be given as <key>_file instead) and single (a list may be written
// as one text).
type Config struct {
	Version    int        `yaml:"version,required"`
	Mattermost Mattermost `yaml:"mattermost,required"`
	State      State      `yaml:"state,required"`
	Audit      Audit      `yaml:"audit"`
	// Sources are where people come from. Their order decides nothing about people.
	Sources []Source `yaml:"sources,required"`
	// Mapping may be left out if every source is of type scim.
	Mapping   Mapping     `yaml:"mapping"`
	Auth      Auth        `yaml:"auth"`
	Matching  []Match     `yaml:"matching"`
	Lifecycle Lifecycle   `yaml:"lifecycle"`
	Roles     []RoleRule  `yaml:"roles"`
	Guests    []GuestRule `yaml:"guests"`
	// Authority says what other sources than an account's owner decide about.
	Authority Authority `yaml:"authority"`
	// Memberships says which teams and channels people are in.
	Memberships Memberships `yaml:"memberships"`
	Guards      Guards      `yaml:"guards"`
	// SCIM is where the sources of type scim are pushed to.
	SCIM SCIM `yaml:"scim"`
	// Admin is where health and metrics are.
	Admin Admin `yaml:"admin"`
	// Schedule says what mmsync serve does by itself.
	Schedule Schedule `yaml:"schedule"`
	// Notices are told to people who are not looking.
	Notices Notices `yaml:"notices"`
	// ShutdownTimeout is what mmsync serve takes at most to end, 1 s to 10 min.
	ShutdownTimeout time.Duration `yaml:"shutdown_timeout"`
	Log             Log           `yaml:"log"`

	// File is the name the configuration was read under.
	File string `yaml:"-"`

	doc         *document
	secretFiles []SecretFile
}

// Mattermost says how to reach the server and how hard to press it.
type Mattermost struct {
	// URL is the server's address without a trailing slash; it may have a path.
	// It is http only on loopback or with AllowHTTP.
	URL string `yaml:"url,required"`
	// Token is a system administrator's access token, personal or a bot's.
	Token Secret `yaml:"token,required,file"`
	// CAFile holds PEM certificates to trust beside the system's; "" for none.
	CAFile string `yaml:"ca_file"`
	// ProxyURL may hold a password and is a Secret for that.
	ProxyURL  Secret `yaml:"proxy_url,file"`
	AllowHTTP bool   `yaml:"allow_http"`
	// RequestTimeout is at least 31 s: the server gives its own queries 30 s,
	// and a call abandoned before that may still take effect.
	RequestTimeout time.Duration `yaml:"request_timeout"`
	RateLimit      RateLimit     `yaml:"rate_limit"`
	// MaxInFlight is how many requests may run at once, 1 to 16.
	MaxInFlight int `yaml:"max_in_flight"`
	// SinceOverlap is how far behind the newest change seen the next run begins
	// to read, 1 min to 24 h: a write that the server dates earlier than it shows
	// it is not missed then.
	SinceOverlap time.Duration `yaml:"since_overlap"`
	// OutageWait is how long a run waits for a server that went away in the middle of
	// it, 0 to 24 h; 0 ends the run at once.
	OutageWait time.Duration `yaml:"outage_wait"`
}

// RateLimit bounds the requests sent to Mattermost.
type RateLimit struct {
	// PerSecond is at least 1.
	PerSecond int `yaml:"per_second"`
}

// State says where mmsync keeps what it knows.
type State struct {
	// URL is postgres://…, postgresql://… or sqlite:/absolute/path.
	URL Secret `yaml:"url,required,file"`
	// ListenURL leads to the same PostgreSQL database without a pooler; not set: nobody
	// listens.
	ListenURL Secret `yaml:"listen_url,file"`
}

// Audit says how the history is kept from being changed unseen.
type Audit struct {
	// KeyFile holds the key that seals it, outside of the state; beside it stands
	// KeyFile.head. It is made if it is not there.
	KeyFile string `yaml:"key_file"`
}

// Log says what is logged and how.
type Log struct {
	// Level is debug, info, warn or error.
	Level string `yaml:"level"`
	// Format is auto (text on a terminal, else json), text or json.
	Format string `yaml:"format"`
}

// Expr is text that another package compiles: an expression, an LDAP filter or
// an attribute name. Line and Col are those of the text's first character in
// the file, both from 1, Col in characters. Line 0 means the key was not
// written; Line above 0 with an empty Text means it was written as "".
type Expr struct {
	Text      string
	Line, Col int
}

// Fault makes the Error for something wrong with the value at path
// (sources[0].user_filter), found by whoever compiled or used it. If that path
// was not written, the nearest section around it is named. The hint may be "".
func (c *Config) Fault(path, msg, hint string) *Error {
	if c.doc == nil {
		return &Error{File: c.File, Path: path, Msg: msg, Hint: hint}
	}
	e := c.doc.errorAt(path, msg, hint)
	c.doc.excerpt(e)
	return e
}

// SecretFiles lists the files secrets are read from, in order of the file.
func (c *Config) SecretFiles() []SecretFile {
	return append([]SecretFile(nil), c.secretFiles...)
}
