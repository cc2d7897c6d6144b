package config

import (
	"net"
	"strings"
)

// Admin is the listener of those who watch mmsync: health, metrics, and a page to look
// at. Nothing that is pushed comes in here.
type Admin struct {
	// Listen is host:port; "" means that there is no listener. Whoever reaches it may
	// read health and metrics, and sees numbers and no names on the page.
	Listen string `yaml:"listen"`
	// TLS is nil if the section is not there: the listener speaks plain HTTP.
	TLS *TLS `yaml:"tls"`
	// PProf serves profiles of the program, on loopback alone.
	PProf bool `yaml:"pprof"`
	// PublicURL is what people write to get to the status page; "" if they reach it at
	// the address that is listened on.
	PublicURL string `yaml:"public_url"`
	// TrustedProxies are CIDR prefixes. Whoever connects from there says in
	// X-Forwarded-For who tries to log in, and is believed.
	TrustedProxies []string `yaml:"trusted_proxies"`
	// Token logs in to the status page, and may approve. Not set: nobody can.
	Token Secret `yaml:"token,file"`
	Login Login  `yaml:"login"`
}

// Local tells whether only this machine can reach the listener.
func (a Admin) Local() bool {
	host, _, err := net.SplitHostPort(a.Listen)
	return err == nil && isLoopback(host)
}

// severalPages tells whether instances that share a database may stand behind one address
// and know nothing of each other's logins.
func (c *Config) severalPages() bool {
	a := c.Admin
	if a.Listen == "" || a.PublicURL == "" || a.Login.SessionKey.IsSet() || !a.Token.IsSet() && a.Login.OIDC == nil {
		return false
	}
	url, err := c.State.URL.Value()
	return err == nil && !strings.HasPrefix(url, "sqlite:")
}

func (v *validator) admin(a *Admin, scim string) {
	const at = "admin.listen"
	loopback := v.listen(at, "127.0.0.1:9095, or :9095 for all addresses", a.Listen)
	if a.TLS != nil {
		v.certificate("admin.tls.", a.TLS)
	}
	v.prefixes("admin.trusted_proxies", a.TrustedProxies)
	_, port, _ := net.SplitHostPort(a.Listen)
	switch {
	case a.Listen == "" && a.PProf:
		v.fault("admin.pprof", "there is no listener to serve profiles", "write listen: 127.0.0.1:9095 beside it")
	case a.Listen != "" && !v.doc.isBad(at) && a.PProf && !loopback:
		v.fault("admin.pprof", "profiles show what the program is doing to whoever reaches admin.listen", "listen on 127.0.0.1, or leave pprof off")
	case a.Listen != "" && a.Listen == scim && port != "0":
		v.fault(at, "is the address of scim.listen", "give each a port of its own: identity providers must not reach this one")
	}
}
