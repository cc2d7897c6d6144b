package ldap_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

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
