package e2e_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/slapdtest"
)

// What a directory tells to have changed is done without reading it whole, and what it
// cannot tell by the next full read.
func TestChanges(t *testing.T) {
	t.Parallel()
	for _, st := range stores() {
		for _, way := range []string{"timestamp", "syncrepl"} {
			t.Run(st.name+"/"+way, func(t *testing.T) {
				t.Parallel()
				people := slapdtest.Roster(300)
				slapd := slapdtest.Start(t, slapdtest.Options{Users: len(people), NoTLS: true, SyncProvider: true, Written: time.Now().Add(-time.Hour)})
				w := newWorld(t, st, settings{ldap: slapd.URL, delta: way, guards: "{count: 20, percent: 50}"})
				w.mmsync("sync").exits(0)
				w.mmsync("sync").exits(0) // looks once more at those whom it made

				slapd.Modify(people[3].DN, "title", "Admiral")
				slapd.Modify(people[4].DN, "employeeType", "disabled")
				slapd.ModifyDN(people[5].DN, "uid=other.name", slapdtest.PeopleDN)
				slapd.Modify(slapdtest.GroupDN("chat-admins"), "member", people[6].DN)
				before := w.managed()
				rep := w.mmsync("sync", "--changes").exits(0)
				require.Contains(t, rep.stderr+rep.stdout, "changed entries")
				require.NotContains(t, rep.stderr, "everybody is read")
				require.Equal(t, "Admiral", w.user(people[3].UID).Position)
				require.False(t, w.user(people[4].UID).Active())
				require.Equal(t, before[people[5].UID].ID, w.user("other.name").ID)
				require.Contains(t, w.user(people[6].UID).Roles, "system_admin")
				require.NotContains(t, w.user(people[0].UID).Roles, "system_admin", "whose own entry nobody wrote to")

				slapd.Delete(people[7].DN)
				slapd.Modify(people[8].DN, "title", "Cook")
				w.mmsync("sync", "--changes").exits(0)
				require.Equal(t, "Cook", w.user(people[8].UID).Position)
				require.Equal(t, way == "timestamp", w.user(people[7].UID).Active(), "a deletion is told by syncrepl alone")
				w.mmsync("sync").exits(0)
				require.False(t, w.user(people[7].UID).Active())
				w.quiet()
			})
		}
	}
}
