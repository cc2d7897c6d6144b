package ldap_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

// Whatever a server does that is not a clean end costs the proof of absence.
func TestSource_Snapshot_faultyServer(t *testing.T) {
	t.Parallel()
	person := slapdtest.Roster(350)[7]
	for name, c := range map[string]struct {
		faults  slapdtest.Faults
		change  func(*ldap.Options)
		entries int
		want    string
	}{
		"cut on page 3":              {slapdtest.Faults{CutOnPage: 3}, nil, 200, "reading ended after 200 entries on page 3: the connection was lost"},
		"size limit midway":          {slapdtest.Faults{StopAfter: 250, StopCode: 4}, nil, 250, "the server stopped after 250 entries: size limit (code 4"},
		"time limit midway":          {slapdtest.Faults{StopAfter: 120, StopCode: 3}, nil, 120, "time limit (code 3"},
		"administrative limit":       {slapdtest.Faults{StopAfter: 330, StopCode: 11}, nil, 330, "lower max_page_size"},
		"lost cookie":                {slapdtest.Faults{FailPage: 2, FailCode: 53}, nil, 100, "a lost paging cookie looks like this"},
		"busy on page 2":             {slapdtest.Faults{FailPage: 2, FailCode: 51}, nil, 100, "busy"},
		"empty success":              {slapdtest.Faults{Empty: true}, nil, 0, "nobody below dc=example,dc=test matches the user filter"},
		"empty success, canary":      {slapdtest.Faults{Empty: true}, func(o *ldap.Options) { o.Canary = person.DN }, 0, "the canary " + person.DN + " exists, but the read did not find it"},
		"paging ignored":             {slapdtest.Faults{IgnorePaging: true}, nil, 350, "the server ignores paging, so that 350 entries cannot be told from a cut list"},
		"endless cookie":             {slapdtest.Faults{EndlessCookie: true}, nil, 350, "the server's pages repeat themselves after 350 entries"},
		"no schema":                  {slapdtest.Faults{NoSchema: true}, nil, 350, "the schema cannot be read"},
		"paging ignored as declared": {slapdtest.Faults{IgnorePaging: true}, func(o *ldap.Options) { o.WithoutPaging = true }, 350, ""},
		"references":                 {slapdtest.Faults{Referrals: 3}, nil, 350, "the server refers to ldap://other0.test/dc=example,dc=test for a part of the base, which is not read; name a server that holds all of it"},
		"references as declared":     {slapdtest.Faults{Referrals: 3}, func(o *ldap.Options) { o.References = ldap.ReferencesIgnore }, 350, ""},
		"slow":                       {slapdtest.Faults{Delay: 20 * time.Millisecond}, nil, 350, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := slapdtest.NewFake(t, slapdtest.FakePeople(350), c.faults)
			change := c.change
			if change == nil {
				change = func(*ldap.Options) {}
			}
			snap := snapshot(t, newSource(t, fake.URL, change))
			require.Equal(t, c.want == "", snap.Complete, snap.Incomplete)
			require.Contains(t, snap.Incomplete, c.want)
			require.Equal(t, c.entries, snap.Entries)
			require.Len(t, snap.Identities, c.entries)
		})
	}
}

func TestSource_Snapshot_knownCap(t *testing.T) {
	t.Parallel()
	fake := slapdtest.NewFake(t, slapdtest.FakePeople(500), slapdtest.Faults{})
	snap := snapshot(t, newSource(t, fake.URL, func(o *ldap.Options) { o.WithoutPaging = true }))
	require.False(t, snap.Complete)
	require.Contains(t, snap.Incomplete, "exactly 500 entries came without paging, which looks like a size limit")
	require.True(t, snapshot(t, newSource(t, fake.URL)).Complete, "with paging the number means nothing")
}

func TestSource_Snapshot_disconnected(t *testing.T) {
	t.Parallel()
	fake := slapdtest.NewFake(t, slapdtest.FakePeople(5), slapdtest.Faults{Disconnect: true})
	_, err := newSource(t, fake.URL).Snapshot(t.Context(), nil)
	require.ErrorContains(t, err, "read people below dc=example,dc=test: the connection was lost")
}

func TestSource_Snapshot_duplicateAnchor(t *testing.T) {
	t.Parallel()
	entries := slapdtest.FakePeople(300)
	twin := entries[len(entries)-1]
	twin.DN = "uid=twin," + slapdtest.PeopleDN
	fake := slapdtest.NewFake(t, append(entries, twin), slapdtest.Faults{})
	snap := snapshot(t, newSource(t, fake.URL))
	require.False(t, snap.Complete)
	require.Contains(t, snap.Incomplete, "occurs twice, in "+entries[len(entries)-1].DN+" and uid=twin,")
	require.Len(t, snap.Identities, 300)
	double := slices.IndexFunc(snap.Identities, func(id identity.Identity) bool { return id.Fault != "" })
	require.Contains(t, snap.Identities[double].Fault, "occurs twice")
}

// A value that comes in ranges is read to its end; half of it would look like
// groups that were lost.
func TestSource_Snapshot_ranges(t *testing.T) {
	t.Parallel()
	entries := slapdtest.FakePeople(3)
	var many []string
	for i := range 47 {
		many = append(many, slapdtest.GroupDN(fmt.Sprintf("g%02d", i)))
	}
	var dn string
	for _, e := range entries {
		if e.Attributes["uid"] != nil {
			e.Attributes["memberOf"] = many
			dn = e.DN
		}
	}
	fake := slapdtest.NewFake(t, entries, slapdtest.Faults{Range: 10})
	s := newSource(t, fake.URL, func(o *ldap.Options) {
		o.Groups.Mode = "member_of"
		o.Mapper = mapper(t, func(r *sources.Rules) {
			r.Roles = []sources.RoleRule{{Role: "system_admin", Groups: []string{slapdtest.GroupDN("g46")}}}
		})
	})
	snap := snapshot(t, s)
	require.True(t, snap.Complete, snap.Incomplete)
	for _, id := range snap.Identities {
		require.Equal(t, identity.NewRoles("system_admin"), id.Roles)
	}
	rec, ok, err := s.Lookup(t.Context(), dn)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, many, rec.Groups)
}

func TestSource_Confirm_faultyServer(t *testing.T) {
	t.Parallel()
	present := slapdtest.Roster(3)[0].EntryUUID
	fake := slapdtest.NewFake(t, slapdtest.FakePeople(3), slapdtest.Faults{})
	s := newSource(t, fake.URL)
	got, err := s.Confirm(t.Context(), []string{present, "missing"})
	require.NoError(t, err)
	require.Equal(t, map[string]identity.Presence{present: identity.PresencePresent, "missing": identity.PresenceGone}, got)
	for _, f := range []slapdtest.Faults{{Empty: true}, {Disconnect: true}, {StopAfter: 1, StopCode: 11}, {FailPage: 1, FailCode: 51}, {BindCode: 52}} {
		fake.Set(f)
		got, err := s.Confirm(t.Context(), []string{"missing"})
		require.Error(t, err)
		require.Equal(t, identity.PresenceUnknown, got["missing"], "%+v", f)
	}
}

// Whoever may be in a group where a reference leads keeps his roles.
func TestSource_references_groups(t *testing.T) {
	t.Parallel()
	k := ldaptest.OpenLDAP
	srv := ldaptest.Start(t, ldaptest.Options{Kind: k, People: 3, Referrals: []string{"ldap://other.test/ou=branch," + k.GroupsDN()}})
	s := playedSource(t, srv, "", func(o *ldap.Options) { o.Groups.Nested, o.Groups.BaseDN = ldap.NestedWalk, k.BaseDN() })
	snap := snapshot(t, s)
	require.True(t, snap.Complete, snap.Incomplete)
	require.Contains(t, snap.RolesUnknown, "the list of groups below "+k.BaseDN()+" is not all there, so that roles stay as they are: the server refers to ")
}

// Who may be where a reference leads is not gone. References to what is no part of the base
// take nothing away.
func TestSource_references(t *testing.T) {
	t.Parallel()
	k := ldaptest.OpenLDAP
	for reference, part := range map[string]bool{
		"ldap://other.test/ou=branch," + k.BaseDN():                               true,
		"ldap://other.test/OU=Branch,%20" + strings.ToUpper(k.BaseDN()) + "??sub": true,
		"ldap://other.test/" + k.BaseDN():                                         true,
		"ldap://other.test/dc=test":                                               true, // holds all of it
		"ldap://other.test/":                                                      true,
		"ldap://other.test/?":                                                     true,
		"ldap://other.test/dc=other":                                              false,
		"ldap://other.test/ou=people,dc=other??sub":                               false,
	} {
		t.Run(reference, func(t *testing.T) {
			t.Parallel()
			srv := ldaptest.Start(t, ldaptest.Options{Kind: k, People: 5, Referrals: []string{reference}})
			there, gone := srv.AnchorOf(k.PersonDN(0)), srv.AnchorOf(k.PersonDN(1))
			srv.Delete(k.PersonDN(1))
			wide := func(o *ldap.Options) { o.BaseDN = k.BaseDN() }
			s := playedSource(t, srv, "", wide)
			snap := snapshot(t, s)
			require.Len(t, snap.Identities, 4)
			require.Equal(t, !part, snap.Complete, snap.Incomplete)
			got, err := s.Confirm(t.Context(), []string{there, gone})
			require.Equal(t, identity.PresencePresent, got[there])
			if !part {
				require.NoError(t, err)
				require.Equal(t, identity.PresenceGone, got[gone])
				return
			}
			require.Contains(t, snap.Incomplete, "the server refers to "+reference+" for a part of the base")
			require.ErrorContains(t, err, "or set references: ignore if nobody of this source is there")
			require.Equal(t, identity.PresenceUnknown, got[gone])

			s = playedSource(t, srv, "", wide, func(o *ldap.Options) { o.References = ldap.ReferencesIgnore })
			require.True(t, snapshot(t, s).Complete)
			require.Equal(t, identity.PresenceGone, confirmed(t, s, gone))
		})
	}
}

// A server finds people by an anchor in any spelling, and by any of its values: who was
// found is not gone.
func TestSource_Confirm_spelling(t *testing.T) {
	t.Parallel()
	srv := slapdtest.Start(t, slapdtest.Options{Users: 4})
	people := slapdtest.Roster(4)
	srv.Modify(people[0].DN, "description", "jdoe")
	srv.Modify(people[1].DN, "description", "new.name", "Old  name")
	srv.Modify(people[2].DN, "description", "outside")
	srv.Modify(people[2].DN, "title", "external")
	srv.Modify(people[3].DN, "description", "\uff4earrow") // slapd compares after Unicode's NFKC
	s := newSource(t, srv.URL, func(o *ldap.Options) {
		o.UserFilter = "(&(objectClass=inetOrgPerson)(!(title=external)))"
		o.Mapper = mapper(t, func(r *sources.Rules) { r.ID = x("attr.description") })
	})
	got, err := s.Confirm(t.Context(), []string{"JDoe", "old name", "new.name", "OUTSIDE", "narrow", "nobody"})
	require.NoError(t, err)
	require.Equal(t, map[string]identity.Presence{
		"JDoe": identity.PresencePresent, "old name": identity.PresencePresent, "new.name": identity.PresencePresent, "narrow": identity.PresencePresent,
		"OUTSIDE": identity.PresenceOutOfScope, "nobody": identity.PresenceGone,
	}, got)
}

func TestSource_guid(t *testing.T) {
	t.Parallel()
	const wire, text = "\x1e\xbc\xff\x1e\xa3\x4a\x9d\x4f\xa5\x08\xd4\xd8\x1f\x1f\x58\x73", "1effbc1e-4aa3-4f9d-a508-d4d81f1f5873"
	entries := slapdtest.FakePeople(1)
	entries[len(entries)-1].Attributes["objectGUID"] = []string{wire}
	fake := slapdtest.NewFake(t, entries, slapdtest.Faults{})
	s := newSource(t, fake.URL, func(o *ldap.Options) {
		o.Mapper = mapper(t, func(r *sources.Rules) { r.ID = x("attr.objectGUID.guid()") })
	})
	require.Equal(t, text, snapshot(t, s).Identities[0].Key.Anchor)
	got, err := s.Confirm(t.Context(), []string{text, "00000000-0000-0000-0000-000000000000", "no uuid"})
	require.NoError(t, err)
	require.Equal(t, identity.PresencePresent, got[text])
	require.Equal(t, identity.PresenceGone, got["00000000-0000-0000-0000-000000000000"])
	require.Equal(t, identity.PresenceUnknown, got["no uuid"])
	rec, ok, err := s.Lookup(t.Context(), text)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, wire, rec.Value("objectGUID"))
}

// A busy server is passed over; one that refuses the password is the last,
// because every further try may lock the account.
func TestSource_Snapshot_failOver(t *testing.T) {
	t.Parallel()
	good := slapdtest.NewFake(t, slapdtest.FakePeople(3), slapdtest.Faults{})
	for code, passedOver := range map[int]bool{51: true, 52: true, 49: false, 8: false} {
		bad := slapdtest.NewFake(t, slapdtest.FakePeople(3), slapdtest.Faults{BindCode: code, BindMessage: "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data 775, v2580"})
		s := newSource(t, bad.URL, func(o *ldap.Options) { o.URLs = []string{bad.URL, good.URL} })
		before := len(good.Calls())
		snap, err := s.Snapshot(t.Context(), nil)
		require.Len(t, slices.DeleteFunc(bad.Calls(), func(c string) bool { return !strings.HasPrefix(c, "bind") }), 1)
		if passedOver {
			require.NoError(t, err)
			require.True(t, snap.Complete)
			continue
		}
		require.Error(t, err, "code %d", code)
		require.Len(t, good.Calls(), before, "code %d", code)
		if code == 49 {
			require.ErrorContains(t, err, "the account is locked (code 49, data 775); unlock it")
		}
	}
}

// A server that has no certificate, or that has let us in and has lost, hides or refers
// its base, is passed over: no password is at risk by asking the next one.
func TestSource_Snapshot_failOver_harmless(t *testing.T) {
	t.Parallel()
	start := func(o ldaptest.Options) *ldaptest.Server {
		o.Kind, o.People = ad, 3
		return ldaptest.Start(t, o)
	}
	for name, c := range map[string]struct {
		fault, says string
		bad         ldaptest.Options
	}{
		"no certificate for StartTLS": {says: "the server refuses StartTLS: ", bad: ldaptest.Options{NoTLS: true}},
		"the base is lost":            {fault: "base-gone", says: "(code 32)"},
		"the base is referred":        {fault: "referral", says: "(code 10)"},
		"not willing":                 {fault: "unwilling", says: "(code 53: server is not willing)"},
		"an internal error":           {fault: "operations-error", says: "internal error"},
		"an error without a name":     {fault: "other-error", says: "internal error"},
		"no right":                    {fault: "insufficient-rights", says: "(code 50)"},
		"shown to nobody":             {fault: "empty-success", says: "the entry is not shown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, good := start(c.bad), start(ldaptest.Options{})
			if c.fault != "" {
				bad.Fail(ldaptest.FaultNamed(t, c.fault), ldaptest.At{Lookups: true})
			}
			s := newAD(t, bad.URL, nil, func(o *ldap.Options) {
				o.URLs, o.Security, o.CAFile = []string{bad.URL, good.URL}, ldap.SecurityStartTLS, good.CAFile
				if bad.CAFile != "" {
					o.CAFile = bothCAs(t, bad.CAFile, good.CAFile)
				}
			})
			require.Len(t, snapshot(t, s).Identities, 3)
			require.NoError(t, s.Reach(t.Context()))
			good.Fail(ldaptest.FaultNamed(t, "base-gone"), ldaptest.At{})
			_, err := s.Snapshot(t.Context(), nil)
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, err, good.URL+": read base_dn", "both are named")
		})
	}
}

func TestSource_Snapshot_largeMessage(t *testing.T) {
	t.Parallel()
	entries := slapdtest.FakePeople(3)
	entries[len(entries)-1].Attributes["title"] = []string{strings.Repeat("x", 5000)}
	snap := snapshot(t, newSource(t, slapdtest.NewFake(t, entries, slapdtest.Faults{}).URL))
	require.False(t, snap.Complete, "one of three cannot be mapped")
	require.Contains(t, snap.Incomplete, "the result is longer than 4096 bytes")
}
