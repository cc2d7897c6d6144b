package config

import "time"

// Login says who may look at people on the status page, and who may speak about what
// is held. Whoever is not logged in sees numbers alone.
type Login struct {
	// Lifetime is how long a login lasts, 5 min to 8 h.
	Lifetime time.Duration `yaml:"lifetime"`
	// SessionKey seals logins, for several instances behind one address; without it
	// each process makes a key of its own, and its end ends the logins.
	SessionKey Secret `yaml:"session_key,file"`
	// OIDC is nil if nobody logs in at an identity provider.
	OIDC *OIDC `yaml:"oidc"`
}

// OIDC is the identity provider at which people log in.
type OIDC struct {
	// Issuer is its address, as its discovery document has it.
	Issuer       string `yaml:"issuer,required"`
	ClientID     string `yaml:"client_id,required"`
	ClientSecret Secret `yaml:"client_secret,file"`
	// Scopes are asked for beside openid.
	Scopes []string `yaml:"scopes"`
	// NameClaim is what the history calls a person by.
	NameClaim string `yaml:"name_claim"`
	// Viewers see people, Approvers say yes or no as well. Nobody is either by default.
	Viewers   Claim `yaml:"viewers"`
	Approvers Claim `yaml:"approvers"`
}

// Claim selects logins by what the provider says of them.
type Claim struct {
	// Claim is the name, such as groups; its value is a text or a list of texts, of which
	// one has to be among Values, exactly.
	Claim  string   `yaml:"claim"`
	Values []string `yaml:"values"`
	// Any selects everybody whom the provider lets in; for viewers alone.
	Any bool `yaml:"any"`
}

func defaultLogin() Login { return Login{Lifetime: 8 * time.Hour} }

func defaultOIDC() *OIDC {
	return &OIDC{Scopes: []string{"profile", "email"}, NameClaim: "preferred_username"}
}
