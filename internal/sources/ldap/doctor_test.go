package ldap_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

var update = flag.Bool("update", false, "write what doctor says to testdata/doctor")

var volatile = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`(ldaps?|srv)://127\.0\.0\.1:\d+`), "$1://dc1.example.test"},
	{regexp.MustCompile(`ldapi://\S+`), "ldapi:///run/slapd/ldapi"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d`), "2026-01-31"},
	{regexp.MustCompile(`sha256/\S+`), "sha256/PIN"},
	{regexp.MustCompile(`people in \S+`), "people in 1ms"},
}

// said compares what doctor says of a source with the file of that name.
func said(t *testing.T, name string, s *ldap.Source) {
	t.Helper()
	var b strings.Builder
	for _, f := range s.Check(t.Context()) {
		fmt.Fprintf(&b, "%v %s: %s\n", f.Level, f.Part, f.Text)
		if f.Mend != "" {
			fmt.Fprintf(&b, "     to mend: %s\n", f.Mend)
		}
	}
	got := b.String()
	for _, v := range volatile {
		got = v.pattern.ReplaceAllString(got, v.instead)
	}
	file := filepath.Join("testdata", "doctor", name+".txt")
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func TestSource_Check_openldap(t *testing.T) {
	t.Parallel()
	monitor := []string{"database monitor", "access to * by users read"}
	for name, c := range map[string]struct {
		server slapdtest.Options
		change func(*slapdtest.Server, *ldap.Options)
	}{
		"openldap-well": {slapdtest.Options{Users: 330}, func(s *slapdtest.Server, o *ldap.Options) {
			o.URLs, o.CAFile, o.Canary = []string{s.TLSURL}, s.CAFile, slapdtest.Roster(1)[0].DN
		}},
		"openldap-size-limit": {slapdtest.Options{Users: 330, SizeLimit: 200, PagedTotal: 300}, nil},
		"openldap-page-limit": {slapdtest.Options{Users: 330, PageLimit: 60}, nil},
		"openldap-no-paging":  {slapdtest.Options{Users: 30, NoPaging: true}, nil},
		"openldap-unpaged-cut": {slapdtest.Options{Users: 330, SizeLimit: 200}, func(_ *slapdtest.Server, o *ldap.Options) {
			o.WithoutPaging = true
		}},
		"openldap-rights": {slapdtest.Options{Users: 30, ACL: []string{"to attrs=title,modifyTimestamp by * none"}}, nil},
		"openldap-anchor-twice": {slapdtest.Options{Users: 30}, func(_ *slapdtest.Server, o *ldap.Options) {
			o.Mapper = mapper(t, func(r *sources.Rules) { r.ID = x("attr.employeeType") })
		}},
		"openldap-anchor-computed": {slapdtest.Options{Users: 3}, func(_ *slapdtest.Server, o *ldap.Options) {
			o.Mapper = mapper(t, func(r *sources.Rules) { r.ID = x("lower(attr.uid)") })
		}},
		"openldap-unknown-attribute": {slapdtest.Options{Users: 3}, func(_ *slapdtest.Server, o *ldap.Options) {
			o.UserFilter = "(&(objectClass=inetOrgPerson)(memberOff=cn=chat,dc=example,dc=test))"
		}},
		"openldap-clock": {slapdtest.Options{Users: 3, Config: monitor}, func(s *slapdtest.Server, o *ldap.Options) {
			o.URLs = []string{s.SocketURL}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := slapdtest.Start(t, c.server)
			said(t, name, newSource(t, srv.URL, func(o *ldap.Options) {
				if c.change != nil {
					c.change(srv, o)
				}
			}))
		})
	}
}

func overAD(srv *ldaptest.Server, o *ldap.Options) {
	kind := ldaptest.ActiveDirectory
	o.URLs, o.BindDN, o.BaseDN, o.UserFilter = []string{srv.URL}, kind.ReaderDN(), kind.BaseDN(), "(&(objectCategory=person)(objectClass=user)(mail=*))"
}

func playedRules(r *sources.Rules) {
	r.ID, r.Username, r.DisabledWhen = x("attr.objectGUID.guid()"), x("lower(attr.sAMAccountName)"), x("bit(attr.userAccountControl, 2)")
}

func TestSource_Check_activeDirectory(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server ldaptest.Options
		change func(*ldaptest.Server, *ldap.Options)
	}{
		"ad-well": {ldaptest.Options{People: 1100}, func(s *ldaptest.Server, o *ldap.Options) {
			o.Security, o.CAFile, o.PageSize = ldap.SecurityStartTLS, s.CAFile, 1000
		}},
		"ad-rights":    {ldaptest.Options{People: 30, HideDeleted: true, HideUSN: true}, nil},
		"ad-page-size": {ldaptest.Options{People: 90, PageSize: 40}, nil},
		"ad-own-entry": {ldaptest.Options{People: 30}, func(_ *ldaptest.Server, o *ldap.Options) {
			o.UserFilter = "(&(objectCategory=person)(objectClass=user))"
		}},
		"ad-clock-behind": {ldaptest.Options{People: 3, Now: func() time.Time { return time.Now().Add(-17 * time.Minute) }}, nil},
		"ad-clock-ahead":  {ldaptest.Options{People: 3, Now: func() time.Time { return time.Now().Add(2 * time.Hour) }}, nil},
		"ad-signing":      {ldaptest.Options{People: 3, RequireTLS: true}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.server.Kind = ldaptest.ActiveDirectory
			srv := ldaptest.Start(t, c.server)
			said(t, name, newSource(t, srv.URL, func(o *ldap.Options) {
				overAD(srv, o)
				o.Mapper = mapper(t, playedRules)
				if c.change != nil {
					c.change(srv, o)
				}
			}))
		})
	}
}

func TestSource_Check_389(t *testing.T) {
	t.Parallel()
	srv := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.DS389, People: 30})
	said(t, "389-well", newSource(t, srv.URL, func(o *ldap.Options) {
		o.BindDN, o.BaseDN = ldaptest.DS389.ReaderDN(), ldaptest.DS389.BaseDN()
		o.Mapper = mapper(t, func(r *sources.Rules) {
			r.ID, r.DisabledWhen = x("attr.nsUniqueId"), x(`lower(attr.nsAccountLock) == "true"`)
		})
	}))
}
