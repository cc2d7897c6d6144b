package slapdtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// writeConfig writes slapd.conf(5). The flat file needs no running server to
// be changed, unlike cn=config.
func (s *Server) writeConfig() {
	s.t.Helper()
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	schema := firstDir("/etc/ldap/schema", "/etc/openldap/schema", "/usr/local/etc/openldap/schema")
	for _, name := range []string{"core", "cosine", "inetorgperson", "nis", "dyngroup"} {
		line("include %s/%s.schema", schema, name)
	}
	if modules := firstDir("/usr/lib/ldap", "/usr/lib64/openldap", "/usr/lib/openldap", "/usr/libexec/openldap"); modules != "" {
		line("modulepath %s", modules)
		for _, name := range []string{"back_mdb", "memberof", "syncprov", "dynlist"} {
			if found, _ := filepath.Glob(filepath.Join(modules, name+".*")); len(found) > 0 { // else it is built in
				line("moduleload %s", name)
			}
		}
	}
	line("pidfile %s/slapd.pid", s.dir)
	line("argsfile %s/slapd.args", s.dir)
	line("sizelimit unlimited")
	if !s.opts.NoTLS {
		line("TLSCertificateFile %s/server.pem", s.dir)
		line("TLSCertificateKeyFile %s/server.key", s.dir)
		line("TLSCACertificateFile %s/ca.pem", s.dir)
		if s.opts.AskCertificate {
			line("TLSVerifyClient try")
		}
	}
	for _, l := range s.opts.Config {
		line("%s", l)
	}
	line("database mdb\nmaxsize 1073741824\nsuffix %q\nrootdn %q\nrootpw %s", BaseDN, AdminDN, AdminPassword)
	line("directory %s/db\ndbnosync", s.dir)
	line("index objectClass,uid,mail,entryUUID,entryCSN,modifyTimestamp,member,uniqueMember,memberUid,memberOf eq")
	line("access to attrs=userPassword by anonymous auth by * none")
	for _, rule := range s.opts.ACL {
		line("access %s", rule)
	}
	line("access to * by users read by * none")
	line("limits dn.exact=%q %s", ReaderDN, s.opts.limits())
	line("overlay memberof")
	if s.opts.DynamicGroups {
		line("overlay dynlist\ndynlist-attrset groupOfURLs memberURL member")
	}
	if s.opts.SyncProvider {
		line("overlay syncprov\nsyncprov-sessionlog 1000")
	}
	s.must(os.WriteFile(s.config(), []byte(b.String()), 0o600))
}

func (o Options) limits() string {
	or := func(n int, zero string) string {
		if n == 0 {
			return zero
		}
		return fmt.Sprint(n)
	}
	total := or(o.PagedTotal, "unlimited")
	if o.NoPaging {
		total = "disabled"
	}
	size := or(o.SizeLimit, "unlimited")
	return fmt.Sprintf("size.soft=%s size.hard=%s size.pr=%s size.prtotal=%s", size, size, or(o.PageLimit, "1000"), total)
}

func firstDir(list ...string) string {
	for _, d := range list {
		if st, err := os.Stat(d); err == nil && st.IsDir() {
			return d
		}
	}
	return ""
}
