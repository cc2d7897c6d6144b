package config

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// connection checks the addresses together with what is said about encryption.
func (v *validator) connection(at string, l *LDAP) {
	plain, local := 0, 0
	for i, address := range l.ConnectionURL {
		where := indexPath(at+".connection_url", i)
		if address == "" {
			v.fault(where, "is empty", "")
			continue
		}
		if strings.HasPrefix(address, ldapi) {
			v.socket(where, address)
			local++
			continue
		}
		u, ok := v.ldapURL(where, address)
		if !ok {
			continue
		}
		if u.Scheme != "ldaps" {
			plain++
		}
		switch {
		case u.Scheme == "ldaps" && l.ConnectionSecurity == "starttls":
			v.fault(where, "ldaps:// is encrypted already and cannot start TLS", "write ldap:// for starttls, or connection_security: tls")
		case u.Scheme == "ldap" && l.ConnectionSecurity == "tls":
			v.fault(where, "ldap:// does not begin with TLS, as connection_security: tls wants", "write ldaps://, or connection_security: starttls")
		case u.Scheme == "srv" && u.Port() != "":
			v.fault(where, "srv:// has no port", "DNS lists the servers and their ports under _ldap._tcp."+u.Hostname())
		case u.Scheme == "srv" && l.ConnectionSecurity == "" && !l.AllowCleartext:
			v.fault(where, "srv:// would send the bind password unencrypted", "write connection_security: starttls, or tls for port 636 of the servers that DNS lists")
		case u.Scheme == "ldap" && l.ConnectionSecurity == "" && !l.AllowCleartext && !isLoopback(u.Hostname()):
			v.fault(where, "ldap:// would send the bind password unencrypted", "write ldaps://, or connection_security: starttls; allow_cleartext: true if the network between is yours")
		}
	}
	if plain+local == 0 && l.ConnectionSecurity == "" {
		l.ConnectionSecurity = "tls"
	}
}

func (v *validator) ldapURL(at, address string) (*url.URL, bool) {
	const form = "write ldaps://dc1.example.com or ldaps://dc1.example.com:636"
	u, err := url.Parse(address)
	switch {
	case err == nil && u.User != nil:
		v.fault(at, "holds a user name", "give it as bind_username, and the password as bind_password_file")
	case err != nil || u.Hostname() == "" || !slices.Contains([]string{"ldap", "ldaps", "srv"}, u.Scheme):
		v.fault(at, v.quote(at)+" is not an LDAP address", form)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		v.fault(at, v.quote(at)+" has more than a host and a port", "the base goes into base_dn, the filter into user_filter")
	default:
		return u, true
	}
	return nil, false
}

const ldapi = "ldapi://"

// socket checks ldapi://, whose path may stand as it is or escaped as a host.
func (v *validator) socket(at, address string) {
	path, err := url.PathUnescape(strings.TrimPrefix(address, ldapi))
	if err != nil || !strings.HasPrefix(path, "/") {
		v.fault(at, v.quote(at)+" names no socket", "write ldapi:///run/slapd/ldapi")
	}
}

// bind checks that the server can know who mmsync is.
func (v *validator) bind(at string, l *LDAP) {
	if !v.oneOf(at+".bind_method", l.BindMethod, BindSimple, BindExternal) {
		return
	}
	external := l.BindMethod == BindExternal
	password := at + ".bind_password"
	if l.BindPassword.File() != "" {
		password += "_file"
	}
	remote := slices.ContainsFunc(l.ConnectionURL, func(u string) bool { return !strings.HasPrefix(u, ldapi) })
	switch {
	case external && l.BindUsername != "":
		v.fault(at+".bind_username", "has no place beside bind_method: external", "remove it: the server takes the account from the certificate, or on ldapi:// from the process")
	case !external && l.BindUsername == "":
		v.fault(at+".bind_username", "is required", "")
	}
	switch {
	case external && l.BindPassword.IsSet():
		v.fault(password, "has no place beside bind_method: external", "remove it: the certificate is what proves who mmsync is")
	case !external && !l.BindPassword.IsSet() && !v.doc.isBad(at+".bind_password_file"):
		v.fault(at+".bind_password", "is required", "set bind_password, or bind_password_file to the name of a file that holds it")
	}
	if external && l.CertificateFile == "" && remote {
		v.fault(at+".bind_method", "external needs certificate_file and private_key_file", "only ldapi:// does without")
	}
}

// clientCertificate reads the pair and the pins, so that a wrong one is found here.
func (v *validator) clientCertificate(at string, l *LDAP) {
	for i, text := range l.CertificatePins {
		rest, ok := strings.CutPrefix(text, "sha256/")
		if raw, err := base64.StdEncoding.DecodeString(rest); !ok || err != nil || len(raw) != sha256.Size {
			v.fault(indexPath(at+".certificate_pins", i), "is not sha256/ and 44 characters of base64", "mmsync doctor shows the pin of the server's certificate")
		}
	}
	switch {
	case l.CertificateFile == "" && l.PrivateKeyFile == "":
		return
	case l.CertificateFile == "":
		v.fault(at+".certificate_file", "is required beside private_key_file", "")
		return
	case l.PrivateKeyFile == "":
		v.fault(at+".private_key_file", "is required beside certificate_file", "")
		return
	}
	l.CertificateFile, l.PrivateKeyFile = v.resolve(l.CertificateFile), v.resolve(l.PrivateKeyFile)
	v.config.secretFiles = append(v.config.secretFiles, SecretFile{Path: at + ".private_key_file", File: l.PrivateKeyFile})
	cert, err := v.loader.readFile(l.CertificateFile)
	if err != nil {
		v.fault(at+".certificate_file", fmt.Sprintf("file %s cannot be read: %s", l.CertificateFile, reason(err)), "")
		return
	}
	key, err := v.loader.readFile(l.PrivateKeyFile)
	if err != nil {
		v.fault(at+".private_key_file", fmt.Sprintf("file %s cannot be read: %s", l.PrivateKeyFile, reason(err)), "")
		return
	}
	// The error of the pair says what is wrong and quotes nothing of the key.
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		v.fault(at+".certificate_file", fmt.Sprintf("files %s and %s are not a certificate and its key: %s", l.CertificateFile, l.PrivateKeyFile, strings.TrimPrefix(err.Error(), "tls: ")),
			"both are PEM; the certificate comes first in its file, those that signed it behind it")
	}
}
