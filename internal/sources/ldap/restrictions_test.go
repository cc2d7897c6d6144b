package ldap_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/sources"
)

// Whose userAccountControl is hidden is not taken for somebody who is not disabled.
func TestSource_activeDirectory_hiddenControl(t *testing.T) {
	t.Parallel()
	hidden := func(dn string, srv *ldaptest.Server) {
		srv.Modify(dn, "userAccountControl")
		srv.Modify(dn, "accountExpires")
	}
	const cause = "userAccountControl, which every account of Active Directory has, is not shown, so that nobody can tell who is disabled; " +
		"let CN=reader,CN=Users,DC=ad,DC=test read the property set Account Restrictions"
	t.Run("of some", func(t *testing.T) {
		t.Parallel()
		srv := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: 300})
		srv.Modify(ad.PersonDN(1), "userAccountControl", "514")
		hidden(ad.PersonDN(2), srv)
		snap := snapshot(t, newAD(t, srv.URL, nil))
		require.True(t, snap.Complete, snap.Incomplete)
		require.False(t, find(t, snap, ad.PersonDN(1)).Active)
		id := find(t, snap, ad.PersonDN(2))
		require.True(t, id.Active, "who may have left counts as present")
		require.Equal(t, "disabled_when cannot be computed: "+cause+" ("+ad.PersonDN(2)+")", id.Fault)
		require.Empty(t, find(t, snap, ad.PersonDN(3)).Fault)
		srv.Modify(ad.PersonDN(2), "title", "new")
		delta := changes(t, newAD(t, srv.URL, nil), snap.Mark)
		require.Len(t, delta.Identities, 1)
		require.Contains(t, delta.Identities[0].Fault, cause)
	})
	t.Run("of all", func(t *testing.T) {
		t.Parallel()
		srv := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: 12})
		for i := range 12 {
			hidden(ad.PersonDN(i), srv)
		}
		s := newAD(t, srv.URL, nil)
		snap := snapshot(t, s)
		require.False(t, snap.Complete)
		require.Contains(t, snap.Incomplete, cause)
		for _, id := range snap.Identities {
			require.NotEmpty(t, id.Fault)
		}
		require.True(t, slices.ContainsFunc(s.Check(t.Context()), func(f identity.Finding) bool {
			return f.Level == identity.LevelFail && strings.Contains(f.Text, "12 of 12 people are shown without userAccountControl") &&
				strings.Contains(f.Mend, "Account Restrictions")
		}))
	})
	t.Run("and he has left by another rule", func(t *testing.T) {
		t.Parallel()
		srv := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: 3})
		hidden(ad.PersonDN(1), srv)
		srv.Modify(ad.PersonDN(1), "employeeType", "left")
		for _, rule := range []string{
			`bit(attr.userAccountControl, 2) || attr.employeeType == "left"`,
			`attr.employeeType == "left" || !bit(attr.userAccountControl, 512)`,
		} {
			snap := snapshot(t, newAD(t, srv.URL, func(r *sources.Rules) { r.DisabledWhen = x(rule) }))
			require.False(t, find(t, snap, ad.PersonDN(1)).Active, rule)
		}
	})
	t.Run("however it is read", func(t *testing.T) {
		t.Parallel()
		srv := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: 300})
		hidden(ad.PersonDN(1), srv)
		for _, rule := range []string{
			`bit(attr.userAccountControl, 2)`,
			`!bit(attr["useraccountcontrol"], 512)`,
			`attr.userAccountControl == "514"`,
			`has(attr.userAccountControl) && bit(attr.userAccountControl, 2)`,
			`attrs.userAccountControl.exists(v, bit(v, 2))`,
			`fileTimePast(attr.accountExpires)`,
		} {
			snap := snapshot(t, newAD(t, srv.URL, func(r *sources.Rules) { r.DisabledWhen = x(rule) }))
			id := find(t, snap, ad.PersonDN(1))
			require.True(t, id.Active, rule)
			require.Contains(t, id.Fault, "disabled_when cannot be computed", rule)
			require.Contains(t, id.Fault, "is not shown, so that nobody can tell who is disabled", rule)
			require.Empty(t, find(t, snap, ad.PersonDN(2)).Fault, rule)
		}
	})
	t.Run("and nothing reads it", func(t *testing.T) {
		t.Parallel()
		srv := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: 3})
		hidden(ad.PersonDN(1), srv)
		snap := snapshot(t, newAD(t, srv.URL, func(r *sources.Rules) { r.DisabledWhen = sources.Expr{} }))
		require.True(t, snap.Complete, snap.Incomplete)
		require.Empty(t, find(t, snap, ad.PersonDN(1)).Fault)
	})
	t.Run("of an account without an end", func(t *testing.T) {
		t.Parallel()
		srv := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: 3})
		srv.Modify(ad.PersonDN(1), "accountExpires")
		srv.Modify(ad.PersonDN(2), "accountExpires", ldaptest.FileTime(time.Now().Add(-time.Hour)))
		snap := snapshot(t, newAD(t, srv.URL, nil))
		require.Empty(t, find(t, snap, ad.PersonDN(1)).Fault)
		require.False(t, find(t, snap, ad.PersonDN(2)).Active)
	})
}
