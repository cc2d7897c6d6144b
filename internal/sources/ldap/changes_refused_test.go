package ldap_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

// playedWays are each way of asking for changes, at a server that is played and was
// written an hour ago: what was written in the last minutes is read again by timestamp.
func playedWays(t *testing.T, o ldaptest.Options, f func(t *testing.T, srv *ldaptest.Server, way string)) {
	t.Helper()
	for way, kind := range map[string]ldaptest.Kind{
		ldap.DeltaUSN: ldaptest.ActiveDirectory, ldap.DeltaDirSync: ldaptest.ActiveDirectory,
		ldap.DeltaTimestamp: ldaptest.OpenLDAP, ldap.DeltaSyncrepl: ldaptest.OpenLDAP,
	} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			var loaded atomic.Bool
			o := o
			o.Kind, o.Now = kind, func() time.Time {
				if loaded.Load() {
					return time.Now()
				}
				return time.Now().Add(-time.Hour)
			}
			srv := ldaptest.Start(t, o)
			loaded.Store(true)
			f(t, srv, way)
		})
	}
}

// What a server refuses, or limits, a full read may find all the same; a server that is
// away or busy is asked again later.
func TestSource_Changes_refused(t *testing.T) {
	t.Parallel()
	playedWays(t, ldaptest.Options{People: 12}, func(t *testing.T, srv *ldaptest.Server, way string) {
		s := playedSource(t, srv, way)
		m := markOf(t, s)
		srv.Modify(srv.Kind.PersonDN(1), "title", "Chief")
		for fault, want := range map[string]string{
			"size-limit": "size limit (code 4)", "time-limit": "time limit (code 3)", "admin-limit": "administrative limit (code 11)",
			"insufficient-rights": "not allowed (code 50)", "other-error": "internal error", "busy": "", "unavailable": "", "cut-mid-page": "",
		} {
			srv.Fail(ldaptest.FaultNamed(t, fault), ldaptest.At{})
			d, err := s.Changes(t.Context(), m)
			require.Positive(t, srv.Struck(), fault)
			srv.Heal()
			if want == "" {
				require.Error(t, err, fault)
				continue
			}
			require.NoError(t, err, fault)
			require.Contains(t, d.Full, "could not read what changed: ", fault)
			require.Contains(t, d.Full, want, fault)
			require.Empty(t, d.Mark, fault)
		}
		require.NotEmpty(t, changes(t, s, m).Identities)
	})
}

// Where a group cannot be read, a full read tells what is to be done about it, and people
// who are looked at for another reason are known without their roles.
func TestSource_Changes_groupGone(t *testing.T) {
	t.Parallel()
	playedWays(t, ldaptest.Options{People: 12}, func(t *testing.T, srv *ldaptest.Server, way string) {
		k := srv.Kind
		s := playedSource(t, srv, way, func(o *ldap.Options) { o.Groups.Mode = ldap.GroupsSearch })
		m := markOf(t, s)
		srv.Rename(k.GroupDN("chat-admins"), k.GroupDN("chat-bosses"))
		srv.Modify(k.PersonDN(1), "title", "Chief")
		d := changes(t, s, m)
		require.Contains(t, d.Full, "could not read what changed: could not read the group ")
		require.Contains(t, sources.DNKey(d.Full), "chat-admins")
		list, err := s.Read(t.Context(), []string{srv.AnchorOf(k.PersonDN(1))})
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Empty(t, list[0].Fault)
		require.Contains(t, list[0].RolesUnknown, "roles stay as they are")
		snap := snapshot(t, s)
		require.True(t, snap.Complete, snap.Incomplete)
		require.Empty(t, snap.Mark)

		srv.Rename(k.GroupDN("chat-bosses"), k.GroupDN("chat-admins"))
		srv.AddValues(k.GroupDN("chat-admins"), "member", k.PersonDN(6))
		d = changes(t, s, m)
		require.Empty(t, d.Full)
		require.True(t, slices.Contains(told(d), find(t, snap, k.PersonDN(6)).Profile.Username), "the mark of before tells of what came since")
	})
}
