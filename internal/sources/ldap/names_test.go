package ldap_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

// OpenLDAP answers in the first name of an attribute, whichever of its names it is asked by.
func TestSource_secondNames(t *testing.T) {
	t.Parallel()
	people := slapdtest.Roster(12)
	byOtherNames := func(r *sources.Rules) {
		r.LastName, r.FirstName, r.Email = x("attr.surname"), x(`attr.GN`), x(`attr["0.9.2342.19200300.100.1.3"]`)
		r.ID, r.Username = x("attr.userid"), x("attr.userid")
		r.Position, r.DisabledWhen = x("attr.sn"), x(`attr.surname == "Left"`)
	}
	check := func(t *testing.T, s *ldap.Source, modify func(dn, name string, values ...string)) {
		t.Helper()
		snap := snapshot(t, s)
		require.True(t, snap.Complete, snap.Incomplete)
		require.Len(t, snap.Identities, len(people))
		for _, p := range people {
			id := find(t, snap, p.DN)
			require.Empty(t, id.Fault)
			require.True(t, id.Active)
			require.Equal(t, []string{p.UID, p.First, p.Last, p.Last, p.Mail},
				[]string{id.Key.Anchor, id.Profile.FirstName, id.Profile.LastName, id.Profile.Position, id.Profile.Email})
		}
		modify(people[1].DN, "sn", "Left")
		d := changes(t, s, snap.Mark)
		require.Empty(t, d.Gone)
		i := slices.IndexFunc(d.Identities, func(id identity.Identity) bool { return id.Key.Anchor == people[1].UID })
		require.GreaterOrEqual(t, i, 0)
		require.False(t, d.Identities[i].Active)
		list, err := s.Read(t.Context(), []string{people[2].UID})
		require.NoError(t, err)
		require.Equal(t, people[2].Last, list[0].Profile.LastName)
		there, err := s.Confirm(t.Context(), []string{people[3].UID, "nobody"})
		require.NoError(t, err)
		require.Equal(t, map[string]identity.Presence{people[3].UID: identity.PresencePresent, "nobody": identity.PresenceGone}, there)
		rec, found, err := s.Lookup(t.Context(), people[4].UID)
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, people[4].Last, rec.Value("surname"))
	}
	t.Run("slapd", func(t *testing.T) {
		t.Parallel()
		srv := slapdtest.Start(t, slapdtest.Options{Users: len(people)})
		check(t, newSource(t, srv.URL, func(o *ldap.Options) {
			o.UserFilter, o.Mapper = "(&(objectClass=inetOrgPerson)(surname=*))", mapper(t, byOtherNames)
		}), srv.Modify)
	})
	t.Run("played", func(t *testing.T) {
		t.Parallel()
		srv := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.OpenLDAP, People: len(people)})
		check(t, newSource(t, srv.URL, func(o *ldap.Options) {
			o.UserFilter, o.Mapper = "(&(objectClass=inetOrgPerson)(surname=*)(givenName=*))", mapper(t, byOtherNames)
			o.BaseDN = srv.Kind.PeopleDN()
		}), srv.Modify)
	})
	t.Run("a name the server does not know", func(t *testing.T) {
		t.Parallel()
		srv := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.ActiveDirectory, People: 2})
		_, err := newAD(t, srv.URL, func(r *sources.Rules) { r.LastName = x("attr.surname") }).Snapshot(t.Context(), nil)
		require.ErrorContains(t, err, "the source has no attribute surname")
	})
}
