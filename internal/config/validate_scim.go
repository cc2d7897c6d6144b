package config

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (v *validator) scim(s *SCIM) {
	v.basePath(s)
	loopback := v.listen("scim.listen", "127.0.0.1:8443 behind a proxy on this machine, or :8443 for all addresses", s.Listen)
	v.prefixes("scim.trusted_proxies", s.TrustedProxies)
	if s.TLS != nil {
		v.certificate("scim.tls.", s.TLS)
	}
	if s.Listen != "" && !v.doc.isBad("scim.listen") {
		v.plain(s, loopback)
	}
	v.publicURL(s, loopback)
	v.lasts("scim.inline_timeout", s.InlineTimeout, 0, 20*time.Second)
	v.oneOf("scim.status", s.Status, StatusAlways, StatusOnRequest)
	v.lasts("scim.oauth.token_lifetime", s.OAuth.TokenLifetime, 5*time.Minute, day)
	l := s.Limits
	if l.Body < 64<<10 || l.Body > 64<<20 {
		v.fault("scim.limits.body", "want 64KiB to 64MiB, found "+l.Body.String(), "")
	}
	v.between("scim.limits.patch_operations", l.PatchOperations, 100, 100_000)
	v.between("scim.limits.bulk_operations", l.BulkOperations, 1, 100_000)
	v.between("scim.limits.page", l.Page, 100, 10_000)
	v.between("scim.limits.requests_per_second", l.RequestsPerSecond, 1, 10_000)
	v.between("scim.limits.burst", l.Burst, 1, 100_000)
}

func (v *validator) basePath(s *SCIM) {
	const at = "scim.base_path"
	s.BasePath = strings.TrimSuffix(s.BasePath, "/")
	if s.BasePath != "" && (path.Clean(s.BasePath) != s.BasePath || !pathOnly.MatchString(s.BasePath)) {
		v.fault(at, v.quote(at)+" is not a path", "write /scim/v2, of letters, digits, -, _ and .")
	}
}

var pathOnly = regexp.MustCompile(`^(/[A-Za-z0-9._-]+)+$`)

// listen checks an address and tells whether only this machine can reach it.
func (v *validator) listen(at, form, address string) (loopback bool) {
	if address == "" {
		return false
	}
	host, port, err := net.SplitHostPort(address)
	if _, badPort := strconv.ParseUint(port, 10, 16); err != nil || badPort != nil || strings.ContainsAny(host, "/@ ") {
		v.fault(at, v.quote(at)+" is not host:port", "write "+form)
		return false
	}
	return isLoopback(host)
}

// prefixes checks networks of proxies.
func (v *validator) prefixes(at string, list []string) {
	for i, p := range list {
		v.prefix(indexPath(at, i), p)
	}
	v.unique(at, list, same)
}

func (v *validator) prefix(at, text string) {
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		v.fault(at, v.quote(at)+" is not a network", "write 10.0.0.0/8, or 10.1.2.3/32 for one address")
	case p.Masked() != p:
		v.fault(at, v.quote(at)+" has bits behind its length", "write "+p.Masked().String())
	case p.Bits() == 0:
		v.fault(at, "would trust everybody to say who he is", "name the proxies' own network")
	}
}

// certificate reads the pair of the section at (with a dot behind it), so that a wrong
// file is found before a restart.
func (v *validator) certificate(at string, t *TLS) {
	v.oneOf(at+"min_version", t.MinVersion, "1.2", "1.3")
	if t.CertFile == "" || t.KeyFile == "" {
		return
	}
	t.CertFile, t.KeyFile = v.resolve(t.CertFile), v.resolve(t.KeyFile)
	v.config.secretFiles = append(v.config.secretFiles, SecretFile{Path: at + "key_file", File: t.KeyFile})
	cert, err := v.loader.readFile(t.CertFile)
	if err != nil {
		v.fault(at+"cert_file", fmt.Sprintf("file %s cannot be read: %s", t.CertFile, reason(err)), "")
		return
	}
	key, err := v.loader.readFile(t.KeyFile)
	if err != nil {
		v.fault(at+"key_file", fmt.Sprintf("file %s cannot be read: %s", t.KeyFile, reason(err)), "")
		return
	}
	// The error of the pair says what is wrong and quotes nothing of the key.
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		v.fault(at+"cert_file", fmt.Sprintf("files %s and %s are not a certificate and its key: %s", t.CertFile, t.KeyFile, strings.TrimPrefix(err.Error(), "tls: ")),
			"both are PEM; the certificate comes first in its file, those that signed it behind it")
	}
}

// plain refuses tokens that anybody on the way could read.
func (v *validator) plain(s *SCIM, loopback bool) {
	const at = "scim.listen"
	switch {
	case s.TLS != nil || loopback:
	case !s.AllowHTTP:
		v.fault(at, "without tls every token could be read on the way", "add tls with cert_file and key_file, or listen on 127.0.0.1 behind a proxy on this machine")
	case len(s.TrustedProxies) == 0:
		v.fault(at, "allow_http is for proxies, and trusted_proxies names none", "name the networks of the proxies that speak TLS to the clients; nobody else is answered over http")
	}
}

func (v *validator) publicURL(s *SCIM, loopback bool) {
	const at = "scim.public_url"
	switch {
	case s.PublicURL == "" && loopback:
		scheme := "http"
		if s.TLS != nil {
			scheme = "https"
		}
		s.PublicURL = scheme + "://" + s.Listen
		return
	case s.PublicURL == "":
		if s.Listen != "" {
			v.fault(at, "is required, for the address that is listened on is not the one clients use", "write https://sync.example.com, without base_path")
		}
		return
	}
	u, err := url.Parse(s.PublicURL)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		v.fault(at, v.quote(at)+" is not an address", "write https://sync.example.com")
	case u.User != nil:
		v.fault(at, "holds a user name", "")
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		v.fault(at, v.quote(at)+" has more than a host and a path", "write https://sync.example.com")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		v.fault(at, "clients would be sent to http, where tokens can be read on the way", "write https://")
	case s.BasePath != "" && strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), s.BasePath):
		v.fault(at, "ends with base_path, which comes behind it by itself", "write "+v.quote(at)+" without "+s.BasePath)
	default:
		s.PublicURL = strings.TrimRight(s.PublicURL, "/")
	}
}

func (v *validator) scimSource(at string, s *SCIMSource) {
	v.oneOf(at+".profile", s.Profile, ProfileLenient, ProfileStrict)
	v.oneOf(at+".mattermost_conflicts", s.MattermostConflicts, ConflictsHold, ConflictsRefuse)
	if s.JWT != nil {
		v.jwt(at+".jwt", s.JWT)
	}
}

// signatures are those made with a key pair: whoever knows the public key of an
// issuer cannot make one.
func signatures() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

func (v *validator) jwt(at string, j *JWT) {
	v.keysURL(at, j)
	for i, a := range j.Audience {
		if a == "" {
			v.fault(indexPath(at+".audience", i), "is empty", "")
		}
	}
	if len(j.Algorithms) == 0 {
		v.fault(at+".algorithms", "without one no token is taken", "write [RS256], or remove the line")
	}
	for i, a := range j.Algorithms {
		v.oneOf(indexPath(at+".algorithms", i), a, signatures()...)
	}
	for _, name := range slices.Sorted(maps.Keys(j.Claims)) {
		switch claim := at + ".claims." + name; {
		case slices.Contains([]string{"iss", "aud", "exp", "nbf", "iat"}, name):
			v.fault(claim, name+" is looked at anyway", "remove the line; issuer and audience say what those must be")
		case j.Claims[name] == "":
			v.fault(claim, "is empty", "write the value it must have")
		}
	}
	v.scopes(at+".scopes", j.Scopes)
}

func (v *validator) keysURL(at string, j *JWT) {
	if j.Issuer == "" {
		return
	}
	switch {
	case j.JWKSURL != "" && j.Discovery:
		v.fault(at+".discovery", "is given beside jwks_url", "keep one of the two")
		return
	case j.JWKSURL == "" && !j.Discovery:
		v.fault(at, "does not say where the issuer's keys are", "write jwks_url, or discovery: true to ask the issuer for it")
		return
	}
	name, where := ".jwks_url", j.JWKSURL
	if j.Discovery {
		name, where = ".issuer", j.Issuer
	}
	u, err := url.Parse(where)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || u.Fragment != "":
		v.fault(at+name, v.quote(at+name)+" is not an address", "write https://login.example.com/keys")
	case u.User != nil:
		v.fault(at+name, "holds a user name", "")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		v.fault(at+name, "over http anybody on the way could put in a key of his own", "write https://")
	}
}

func (v *validator) scopes(at string, list []string) {
	for i, s := range list {
		v.oneOf(indexPath(at, i), s, "users", "groups", "read")
	}
	v.unique(at, list, same)
}

// distinctIssuers refuses two sources that would take the same token.
func (v *validator) distinctIssuers(list []Source) {
	for i := range list {
		for j := range i {
			a, b := list[i].SCIM, list[j].SCIM
			if a == nil || b == nil || a.JWT == nil || b.JWT == nil || a.JWT.Issuer == "" || a.JWT.Issuer != b.JWT.Issuer {
				continue
			}
			shared := slices.ContainsFunc(a.JWT.Audience, func(x string) bool { return slices.Contains(b.JWT.Audience, x) })
			if shared && reflect.DeepEqual(a.JWT.Claims, b.JWT.Claims) {
				v.fault(indexPath("sources", i)+".jwt", "takes the same tokens as source "+list[j].Name, "tell them apart by audience or by claims: a token belongs to one source")
			}
		}
	}
}
