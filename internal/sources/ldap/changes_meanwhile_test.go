package ldap_test

import (
	"encoding/json"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

// Whatever changes while people are read, each for himself or by a group, is behind the
// mark of that read, and told by the next one.
func TestSource_Changes_meanwhile(t *testing.T) {
	t.Parallel()
	playedWays(t, ldaptest.Options{People: 12}, func(t *testing.T, srv *ldaptest.Server, way string) {
		k := srv.Kind
		var during atomic.Pointer[func()]
		s := playedSource(t, srv, way, func(o *ldap.Options) {
			r := rules()
			if r.ID = x("attr." + k.Anchor()); k == ldaptest.ActiveDirectory {
				r.ID, r.Username = x("attr.objectGUID.guid()"), x("lower(attr.sAMAccountName)")
			}
			r.Roles = []sources.RoleRule{{Role: "system_admin", Groups: []string{k.GroupDN("chat-admins")}}}
			r.DisabledWhen = x("timePast(attr.description)") // asks for the time of each person who is mapped
			m, err := sources.Compile("corp", r, sources.CompileOptions{Now: func() time.Time {
				if f := during.Swap(nil); f != nil {
					(*f)()
				}
				return time.Now()
			}})
			require.NoError(t, err)
			o.Mapper = m
		})
		people := slapdtest.Roster(12)
		change := func(one, member int, title string) (at *time.Time) {
			at = new(time.Time)
			f := func() {
				*at = time.Now()
				srv.Modify(k.PersonDN(one), "title", title)
				srv.AddValues(k.GroupDN("chat-admins"), "member", k.PersonDN(member))
			}
			during.Store(&f)
			return at
		}
		told := func(mark string, at time.Time, one, member int) string {
			t.Helper()
			require.False(t, at.IsZero(), "nothing changed meanwhile")
			var m struct{ At time.Time }
			require.NoError(t, json.Unmarshal([]byte(mark), &m))
			require.True(t, m.At.Before(at), "what is read once more by timestamp is no excuse")
			d := changes(t, s, mark)
			require.Empty(t, d.Full)
			names := told(d)
			require.Subset(t, names, []string{people[one].UID, people[member].UID})
			if way != ldap.DeltaTimestamp { // which knows the server's clock by what it stamped last
				require.Less(t, len(names), len(people))
			}
			i := slices.IndexFunc(d.Identities, func(id identity.Identity) bool { return id.Ref == k.PersonDN(member) })
			require.True(t, d.Identities[i].Roles.Has(identity.RoleAdmin))
			return d.Mark
		}
		at := change(2, 6, "Chief")
		mark := told(markOf(t, s), *at, 2, 6)

		srv.Modify(k.PersonDN(1), "title", "Chief")
		at = change(3, 7, "Boss")
		d := changes(t, s, mark)
		told(d.Mark, *at, 3, 7)
	})
}
