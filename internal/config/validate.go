package config

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// validator checks the values and how they fit together, and fills the defaults
// that depend on other values.
type validator struct {
	config *Config
	doc    *document
	loader Loader
}

func (v *validator) run() {
	c := v.config
	if c.Version != Version {
		v.fault("version", fmt.Sprintf("want %d, found %d", Version, c.Version), "")
	}
	v.mattermost(&c.Mattermost)
	v.state(&c.State)
	v.audit(&c.Audit, c.State.URL)
	v.scim(&c.SCIM)
	v.admin(&c.Admin, c.SCIM.Listen)
	v.sources(c.Sources)
	v.mapping(&c.Mapping)
	v.auth(&c.Auth)
	v.matching(c.Matching)
	v.lifecycle(&c.Lifecycle)
	v.roles(c.Roles)
	v.authority(&c.Authority, c.Sources)
	v.memberships(&c.Memberships)
	v.guests(c.Guests)
	v.guards(&c.Guards)
	v.schedule(&c.Schedule)
	v.lasts("shutdown_timeout", c.ShutdownTimeout, time.Second, 10*time.Minute)
	v.login(&c.Admin)
	v.notices(&c.Notices)
	v.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	v.oneOf("log.format", c.Log.Format, "auto", "text", "json")
}

func (v *validator) fault(path, msg, hint string) { v.doc.fault(path, msg, hint) }

// quote gives what was written at path; see document.quote.
func (v *validator) quote(path string) string { return v.doc.quote(path) }

func (v *validator) mattermost(m *Mattermost) {
	if m.URL != "" {
		v.mattermostURL(m)
	}
	if m.RequestTimeout < 31*time.Second {
		v.fault("mattermost.request_timeout", "want at least 31s, found "+formatDuration(m.RequestTimeout),
			"the server gives its own queries 30s; a request given up before that may still take effect")
	}
	if m.RateLimit.PerSecond < 1 {
		v.fault("mattermost.rate_limit.per_second", fmt.Sprintf("want at least 1, found %d", m.RateLimit.PerSecond), "")
	}
	v.between("mattermost.max_in_flight", m.MaxInFlight, 1, 16)
	v.lasts("mattermost.since_overlap", m.SinceOverlap, time.Minute, 24*time.Hour)
	v.lasts("mattermost.outage_wait", m.OutageWait, 0, 24*time.Hour)
	m.CAFile = v.caFile("mattermost.ca_file", m.CAFile)
	if m.ProxyURL.IsSet() {
		v.proxyURL(m.ProxyURL)
	}
}

func (v *validator) mattermostURL(m *Mattermost) {
	const at = "mattermost.url"
	const form = "write https://chat.example.com"
	u, err := url.Parse(m.URL)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		v.fault(at, v.quote(at)+" is not a URL", form)
	case u.User != nil:
		v.fault(at, "holds a user name", "give the access token as token or token_file")
	case u.Scheme != "https" && u.Scheme != "http":
		v.fault(at, "want an address that begins with https://, found "+v.quote(at), form)
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		v.fault(at, v.quote(at)+" has more than a host and a path", form)
	case strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), "/api/v4"):
		v.fault(at, v.quote(at)+" is the address of the API", "write the site's address, without /api/v4")
	case u.Scheme == "http" && !m.AllowHTTP && !isLoopback(u.Hostname()):
		v.fault(at, "http would send the access token unencrypted", "write https://, or set allow_http: true if the network between is yours")
	default:
		m.URL = strings.TrimRight(m.URL, "/")
	}
}

func (v *validator) proxyURL(s Secret) {
	const at = "mattermost.proxy_url"
	value, err := s.Value()
	if err != nil {
		v.fault(at, err.Error(), "")
		return
	}
	// The address may hold a password: neither it nor the parser's error, which
	// quotes it, is shown.
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "socks5"}, u.Scheme) {
		v.fault(at, "is not the address of a proxy", "write http://proxy.example.com:3128; https:// and socks5:// work too")
	}
}

func (v *validator) state(s *State) {
	at := "state.url"
	if s.URL.File() != "" {
		at = "state.url_file"
	}
	if !s.URL.IsSet() {
		return
	}
	value, err := s.URL.Value()
	if err != nil {
		v.fault(at, err.Error(), "")
		return
	}
	const form = "write postgres://user:password@host/database or sqlite:/var/lib/mmsync/state.db"
	scheme, rest, ok := strings.Cut(value, ":")
	switch {
	case ok && (scheme == "postgres" || scheme == "postgresql"):
		if u, err := url.Parse(value); err != nil || !strings.HasPrefix(rest, "//") || strings.Trim(u.Path, "/") == "" {
			v.fault(at, "is not the address of a PostgreSQL database", "write postgres://user:password@host/database, with %-escapes for special characters in the password")
		}
	case ok && scheme == "sqlite" && (strings.Contains(rest, ":memory:") || strings.Contains(rest, "mode=memory")):
		v.fault(at, "a state in memory would forget which accounts are mmsync's", "write sqlite:/var/lib/mmsync/state.db")
	case ok && scheme == "sqlite":
		if !path.IsAbs(rest) || strings.HasPrefix(rest, "//") || strings.HasSuffix(rest, "/") || strings.ContainsAny(rest, "?#") {
			v.fault(at, "what stands behind sqlite: is not the absolute path of a file", "write sqlite:/var/lib/mmsync/state.db")
		}
	default:
		v.fault(at, "is neither a PostgreSQL nor a SQLite address", form)
	}
	v.listenURL(s, scheme)
}

func (v *validator) listenURL(s *State, scheme string) {
	if !s.ListenURL.IsSet() {
		return
	}
	at := "state.listen_url"
	if s.ListenURL.File() != "" {
		at += "_file"
	}
	value, err := s.ListenURL.Value()
	if err != nil {
		v.fault(at, err.Error(), "")
		return
	}
	u, err := url.Parse(value)
	switch {
	case scheme == "sqlite":
		v.fault(at, "there is nobody to listen to beside a SQLite file", "leave it out")
	case err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") || strings.Trim(u.Path, "/") == "":
		v.fault(at, "is not the address of a PostgreSQL database", "write postgres://user:password@host/database: the database of state.url, past any pooler")
	}
}

// audit gives the key its place: beside an SQLite file, which has to be writable,
// or else beside the configuration.
func (v *validator) audit(a *Audit, state Secret) {
	if a.KeyFile != "" {
		a.KeyFile = v.resolve(a.KeyFile)
		return
	}
	a.KeyFile = v.resolve("audit.key")
	if value, err := state.Value(); err == nil {
		if file, ok := strings.CutPrefix(value, "sqlite:"); ok {
			a.KeyFile = file + ".audit.key"
		}
	}
}

// caFile checks a file of PEM certificates and gives its resolved path.
func (v *validator) caFile(at, name string) string {
	if name == "" {
		return ""
	}
	name = v.resolve(name)
	data, err := v.loader.readFile(name)
	switch {
	case err != nil:
		v.fault(at, fmt.Sprintf("file %s cannot be read: %s", name, reason(err)), "")
	case !x509.NewCertPool().AppendCertsFromPEM(data):
		v.fault(at, fmt.Sprintf("file %s holds no PEM certificate", name), "it must hold lines of -----BEGIN CERTIFICATE-----")
	}
	return name
}

func (v *validator) resolve(name string) string {
	return resolve(filepath.Dir(v.config.File), name)
}

func (v *validator) oneOf(at, value string, allowed ...string) bool {
	if slices.Contains(allowed, value) {
		return true
	}
	hint := ""
	if best := nearest(value, allowed); best != "" {
		hint = "did you mean " + best + "?"
	}
	v.fault(at, "want "+orList(allowed)+", found "+v.quote(at), hint)
	return false
}

func (v *validator) between(at string, value, low, high int) {
	if value < low || value > high {
		v.fault(at, fmt.Sprintf("want %d to %d, found %d", low, high, value), "")
	}
}

func (v *validator) lasts(at string, value, low, high time.Duration) {
	if value < low || value > high {
		v.fault(at, fmt.Sprintf("want %s to %s, found %s", formatDuration(low), formatDuration(high), formatDuration(value)), "")
	}
}

// unique reports the items that are in a list a second time, as fold sees them.
func (v *validator) unique(at string, items []string, fold func(string) string) {
	seen := map[string]int{}
	for i, item := range items {
		item = fold(item)
		if first, ok := seen[item]; ok {
			v.fault(indexPath(at, i), fmt.Sprintf("is there twice, first on line %d", v.doc.marks[indexPath(at, first)].line), "keep one of the two")
			continue
		}
		seen[item] = i
	}
}

func same(s string) string { return s }

// orList writes "a, b or c"; an empty word as "".
func orList(words []string) string {
	out := slices.Clone(words)
	for i, w := range out {
		if w == "" {
			out[i] = `""`
		}
	}
	if len(out) < 2 {
		return strings.Join(out, "")
	}
	return strings.Join(out[:len(out)-1], ", ") + " or " + out[len(out)-1]
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
