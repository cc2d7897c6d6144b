package config

import (
	"fmt"
	"net/url"
	"time"
)

// leastToken is how many characters a token of the status page has at least: nobody
// guesses 24 random ones.
const leastToken = 24

// leastKey is the least length of what a key is made of.
const leastKey = 32

func (v *validator) login(a *Admin) {
	v.longEnough("admin.token", a.Token, leastToken)
	if a.Listen == "" && a.Token.IsSet() {
		key := "admin.token"
		if a.Token.File() != "" {
			key = "admin.token_file"
		}
		v.fault(key, "there is no listener to log in at", "write listen: 127.0.0.1:9095 beside it")
	}
	v.longEnough("admin.login.session_key", a.Login.SessionKey, leastKey)
	v.lasts("admin.login.lifetime", a.Login.Lifetime, 5*time.Minute, 8*time.Hour)
	v.pageURL(a)
	o := a.Login.OIDC
	if o == nil {
		return
	}
	const at = "admin.login.oidc"
	if a.PublicURL == "" {
		v.fault(at, "needs admin.public_url, where the provider sends people back to", "write public_url: https://mmsync.example.com, and allow https://mmsync.example.com/login/oidc/callback at the provider")
	}
	if o.Issuer != "" {
		v.issuer(at+".issuer", o.Issuer)
	}
	for i, s := range o.Scopes {
		if s == "openid" {
			v.fault(indexPath(at+".scopes", i), "openid is asked for anyway", "remove it")
		}
	}
	v.unique(at+".scopes", o.Scopes, same)
	if o.NameClaim == "" {
		v.fault(at+".name_claim", "is empty", "write sub, email or preferred_username")
	}
	v.claim(at+".viewers", o.Viewers)
	v.claim(at+".approvers", o.Approvers)
	if o.Approvers.Any {
		v.fault(at+".approvers.any", "would let everybody who has a login switch people off and on", "name a claim and its values")
	}
	if !o.Viewers.Any && o.Viewers.Claim == "" && o.Approvers.Claim == "" && !o.Approvers.Any {
		v.fault(at, "lets nobody in", "write approvers: {claim: groups, values: [mmsync-admins]}, or viewers: {any: true}")
	}
}

// longEnough refuses secrets that could be guessed. Neither the value nor its exact
// length is told.
func (v *validator) longEnough(at string, s Secret, least int) {
	if !s.IsSet() {
		return
	}
	if s.File() != "" {
		at += "_file"
	}
	value, err := s.Value()
	switch {
	case err != nil:
		v.fault(at, err.Error(), "")
	case len(value) < least:
		v.fault(at, fmt.Sprintf("is shorter than %d characters", least), "make one with: openssl rand -hex 32")
	}
}

func (v *validator) pageURL(a *Admin) {
	const at = "admin.public_url"
	const form = "write https://mmsync.example.com"
	if a.PublicURL == "" {
		return
	}
	u, err := url.Parse(a.PublicURL)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		v.fault(at, v.quote(at)+" is not an address", form)
	case u.User != nil:
		v.fault(at, "holds a user name", "")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		v.fault(at, v.quote(at)+" has more than a host", form)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		v.fault(at, "over http logins could be read on the way", "write https://")
	default:
		a.PublicURL = u.Scheme + "://" + u.Host
	}
}

func (v *validator) issuer(at, issuer string) {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "":
		v.fault(at, v.quote(at)+" is not an address", "write https://login.example.com")
	case u.User != nil:
		v.fault(at, "holds a user name", "")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		v.fault(at, "over http anybody on the way could log in as anybody", "write https://")
	}
}

func (v *validator) claim(at string, c Claim) {
	switch {
	case c.Any && (c.Claim != "" || len(c.Values) > 0):
		v.fault(at+".any", "is given beside a claim", "keep one of the two")
	case c.Claim == "" && len(c.Values) > 0:
		v.fault(at, "has values and no claim", "write claim: groups")
	case c.Claim != "" && len(c.Values) == 0:
		v.fault(at, "has a claim and no values", "write values: [mmsync-admins]")
	}
	for i, value := range c.Values {
		if value == "" {
			v.fault(indexPath(at+".values", i), "is empty", "")
		}
	}
	v.unique(at+".values", c.Values, same)
}
