package e2e_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/state"
)

// A directory names managers by their DNs, in whatever spelling; people move, and their
// reports' entries say so at once or later.
func TestManagers(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]ldaptest.Kind{"active directory": ldaptest.ActiveDirectory, "openldap": ldaptest.OpenLDAP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := ldaptest.Start(t, ldaptest.Options{Kind: kind, People: 6})
			field := strings.Repeat("m", 26)
			w, d := newDirectoryWorld(t, reading{
				kind: kind, url: srv.URL, also: "    person_attributes: {Manager: attr.manager}\n    manager: attr.manager\n",
				fields: []mmsim.CustomField{{ID: field, Name: "Manager", Type: "user"}},
			})
			people := slapdtest.Roster(6)
			account := func(n int) string { return w.user(people[n].UID).ID }
			boss := func(n int) string { return w.sim.Custom(account(n))[field] }
			// chief is whom somebody's link holds, for the day he leaves.
			chief := func(n int) string {
				list, err := d.Store.Links(t.Context(), state.LinkFilter{AccountIDs: []string{account(n)}})
				require.NoError(t, err)
				require.Len(t, list, 1)
				return list[0].Applied.Manager
			}
			// rest runs until nobody is decided about.
			rest := func() {
				t.Helper()
				for range 4 {
					rep, err := synced(t, d, false)
					require.NoError(t, err)
					require.Equal(t, state.RunDone, rep.Status, rep.Problems)
					if rep.Decided == 0 {
						return
					}
				}
				require.Fail(t, "somebody has to be decided again and again")
			}
			spelled := strings.ToUpper(strings.ReplaceAll(kind.PersonDN(4), ",", ", "))
			srv.Modify(kind.PersonDN(1), "manager", spelled)
			srv.Modify(kind.PersonDN(2), "manager", kind.PersonDN(1))
			rest()
			require.Equal(t, account(4), boss(1))
			require.Equal(t, account(1), boss(2))
			require.Empty(t, boss(4))
			require.Equal(t, []string{account(4), account(1), ""}, []string{chief(1), chief(2), chief(4)})

			srv.Modify(kind.PersonDN(3), "manager", kind.PersonDN(4))
			rep, err := synced(t, d, true)
			require.NoError(t, err)
			require.True(t, rep.Plan.Sources[0].Changes, "only what changed was read")
			require.Equal(t, account(4), boss(3))
			require.Equal(t, account(4), chief(3))

			_, parent, _ := strings.Cut(kind.PersonDN(4), ",")
			rdn, _, _ := strings.Cut(kind.PersonDN(4), "=")
			moved := rdn + "=moved.away," + parent
			srv.Rename(kind.PersonDN(4), moved)
			for _, n := range []int{1, 3} {
				srv.Modify(kind.PersonDN(n), "manager", moved)
			}
			was := boss(1)
			rest()
			require.Equal(t, was, boss(1), "he is who he was, wherever he stands")
			require.Equal(t, was, boss(3))
			require.Equal(t, was, chief(1))

			srv.Modify(kind.PersonDN(1), "manager")
			srv.Delete(moved)
			for range 2 { // he is looked at again for a while
				_, err := synced(t, d, false)
				require.NoError(t, err)
			}
			require.Empty(t, boss(1))
			if kind == ldaptest.ActiveDirectory { // takes a deleted person's name out of all entries
				was = ""
			}
			require.Equal(t, was, boss(3))
		})
	}
}
