package config

import "time"

// SCIM is the listener that identity providers push to. It serves all sources of
// type scim: the token of a request tells which one.
type SCIM struct {
	// Listen is host:port; "" means that there is no listener.
	Listen string `yaml:"listen"`
	// BasePath is where the endpoints are, without a slash at its end.
	BasePath string `yaml:"base_path"`
	// PublicURL is what stands in front of BasePath for clients, without a slash at its
	// end. It is Listen's own address if that is on loopback and nothing is written.
	PublicURL string `yaml:"public_url"`
	// TLS is nil if the section is not there: the listener speaks plain HTTP.
	TLS *TLS `yaml:"tls"`
	// TrustedProxies are CIDR prefixes. Whoever connects from there says in
	// X-Forwarded-For who the client is.
	TrustedProxies []string `yaml:"trusted_proxies"`
	// AllowHTTP lets plain HTTP leave this machine, to TrustedProxies alone.
	AllowHTTP bool `yaml:"allow_http"`
	// InlineTimeout is how long an answer waits for Mattermost, 0 to 20 s; what is not
	// done by then is done afterwards.
	InlineTimeout time.Duration `yaml:"inline_timeout"`
	// Status is always (each user has the extension that says how far Mattermost has
	// followed) or on_request (who names it in attributes is shown it, and it is not
	// announced).
	Status string     `yaml:"status"`
	Limits SCIMLimits `yaml:"limits"`
	OAuth  OAuth      `yaml:"oauth"`
}

// TLS is the certificate of a listener. Both files are read again when they change.
type TLS struct {
	CertFile string `yaml:"cert_file,required"`
	KeyFile  string `yaml:"key_file,required"`
	// MinVersion is 1.2 or 1.3.
	MinVersion string `yaml:"min_version"`
}

// SCIMLimits bound what one request may hold, and how many there may be.
type SCIMLimits struct {
	// Body is at least 64 KiB and at most 64 MiB.
	Body            Size `yaml:"body"`
	PatchOperations int  `yaml:"patch_operations"`
	BulkOperations  int  `yaml:"bulk_operations"`
	// Page is how many resources one answer may hold. A client that asks for more
	// gets as many.
	Page int `yaml:"page"`
	// RequestsPerSecond are those of one token; Burst may come at once.
	RequestsPerSecond int `yaml:"requests_per_second"`
	Burst             int `yaml:"burst"`
}

// OAuth is the token endpoint for clients that fetch short-lived tokens with their
// token's id and secret, RFC 6749 section 4.4.
type OAuth struct {
	Enabled bool `yaml:"enabled"`
	// TokenLifetime is 5 min to 24 h.
	TokenLifetime time.Duration `yaml:"token_lifetime"`
}

// The values of SCIMSource.Profile and SCIMSource.MattermostConflicts.
const (
	ProfileLenient = "lenient"
	ProfileStrict  = "strict"

	ConflictsHold   = "hold"
	ConflictsRefuse = "refuse"
)

// The values of SCIM.Status.
const (
	StatusAlways    = "always"
	StatusOnRequest = "on_request"
)

// SCIMSource is a source that identity providers push to.
type SCIMSource struct {
	// Profile is lenient (deviations that identity providers are known for are
	// taken) or strict.
	Profile string `yaml:"profile"`
	// Quirks switches single deviations on or off, by name, whatever Profile says.
	// Which names there are is known to the protocol alone.
	Quirks map[string]bool `yaml:"quirks"`
	// MattermostConflicts is hold (what Mattermost would refuse is stored and held) or
	// refuse (the client gets 409). A request that deactivates is never refused.
	MattermostConflicts string `yaml:"mattermost_conflicts"`
	// JWT is nil if no token of an identity provider's own is taken.
	JWT *JWT `yaml:"jwt"`
}

// JWT says which signed tokens of an issuer are taken, beside those of mmsync token.
type JWT struct {
	// Issuer is compared exactly.
	Issuer string `yaml:"issuer,required"`
	// Audience lists what aud may be; one suffices.
	Audience []string `yaml:"audience,required,single"`
	// JWKSURL is where the issuer's keys are. With Discovery it is asked for at
	// Issuer/.well-known/openid-configuration instead. Exactly one is given.
	JWKSURL   string `yaml:"jwks_url"`
	Discovery bool   `yaml:"discovery"`
	// Algorithms are those a token may be signed with.
	Algorithms []string `yaml:"algorithms"`
	// Claims must be in the token with exactly these values: the tenant and the client,
	// where the issuer serves others as well.
	Claims map[string]string `yaml:"claims"`
	// Scopes is what such a client may do: users, groups, read.
	Scopes []string `yaml:"scopes"`
}

func defaultSCIM() SCIM {
	return SCIM{
		BasePath:      "/scim/v2",
		InlineTimeout: 3 * time.Second,
		Status:        StatusAlways,
		Limits: SCIMLimits{
			Body: 4 << 20, PatchOperations: 1000, BulkOperations: 1000, Page: 1000, RequestsPerSecond: 50, Burst: 200,
		},
		OAuth: OAuth{TokenLifetime: time.Hour},
	}
}

func defaultTLS() *TLS { return &TLS{MinVersion: "1.2"} }

func defaultSCIMSource() *SCIMSource {
	return &SCIMSource{Profile: ProfileLenient, MattermostConflicts: ConflictsHold}
}

func defaultJWT() *JWT {
	return &JWT{Algorithms: []string{"RS256"}, Scopes: []string{"users", "groups"}}
}

// defaultMappingSCIM names the attributes of RFC 7643 section 4.1 in the form in
// which the source gives them. Many providers send an address as userName, and
// Mattermost takes no @ in a username: what stands before it is taken.
func defaultMappingSCIM() Attributes {
	return Attributes{
		ID:        Expr{Text: "attr.id"},
		Username:  Expr{Text: `lower(attr.userName.split("@")[0])`},
		Email:     Expr{Text: "attr.email"},
		FirstName: Expr{Text: "attr.givenName"},
		LastName:  Expr{Text: "attr.familyName"},
		Position:  Expr{Text: "attr.title"},
		Locale:    Expr{Text: "orValue(attr.preferredLanguage, attr.locale)"},
		Timezone:  Expr{Text: "attr.timezone"},
	}
}

// defaultSelfEditableSCIM are attributes that identity providers commonly let
// people edit in their own profile.
func defaultSelfEditableSCIM() []Expr {
	return unwritten([]string{
		"addresses", "displayName", "ims", "locale", "nickName", "phoneNumbers", "photos", "preferredLanguage", "profileUrl", "timezone",
	})
}
