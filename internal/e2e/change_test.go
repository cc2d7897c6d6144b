package e2e_test

import (
	"maps"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/slapdtest"
)

func TestRename(t *testing.T) {
	t.Parallel()
	for _, st := range stores() {
		t.Run(st.name+"/a new name, mail and place is one patch of the same account", func(t *testing.T) {
			t.Parallel()
			people := slapdtest.Roster(60)
			slapd := slapdtest.Start(t, slapdtest.Options{Users: len(people), NoTLS: true})
			w := newWorld(t, st, settings{ldap: slapd.URL})
			w.mmsync("sync").exits(0)
			before := w.managed()
			who := people[7]

			slapd.Add("ou=moved,"+slapdtest.PeopleDN, map[string][]string{"objectClass": {"organizationalUnit"}, "ou": {"moved"}})
			slapd.ModifyDN(who.DN, "uid=anna.neumann", "ou=moved,"+slapdtest.PeopleDN)
			dn := "uid=anna.neumann,ou=moved," + slapdtest.PeopleDN
			slapd.Modify(dn, "mail", "Anna.Neumann@example.test")
			slapd.Modify(dn, "sn", "Neumann")
			w.mmsync("plan").exits(2)
			w.sim.ResetCalls()
			w.mmsync("sync").exits(0)

			// A patched address is unverified again; to vouch for it takes a call of
			// its own, which changes nothing else.
			var patches []string
			for _, c := range w.sim.Writes() {
				patches = append(patches, c.Method+" "+c.Path)
				require.Contains(t, c.Path, before[who.UID].ID)
			}
			require.Equal(t, []string{http.MethodPut + " /api/v4/users/" + before[who.UID].ID + "/patch"}, patches)
			now := w.user("anna.neumann")
			require.Equal(t, before[who.UID].ID, now.ID)
			require.Equal(t, "anna.neumann@example.test", now.Email)
			require.Equal(t, "Neumann", now.LastName)
			after := w.managed()
			require.Len(t, after, len(before))
			for name, u := range before {
				if name != who.UID {
					require.Equal(t, u, after[name])
				}
			}
			w.quiet()
		})
	}
	t.Run("a move alone writes nothing to the server", func(t *testing.T) {
		t.Parallel()
		people := slapdtest.Roster(30)
		slapd := slapdtest.Start(t, slapdtest.Options{Users: len(people), NoTLS: true})
		w := newWorld(t, sqliteStore(), settings{ldap: slapd.URL})
		w.mmsync("sync").exits(0)
		slapd.Add("ou=moved,"+slapdtest.PeopleDN, map[string][]string{"objectClass": {"organizationalUnit"}, "ou": {"moved"}})
		slapd.ModifyDN(people[7].DN, "uid="+people[7].UID, "ou=moved,"+slapdtest.PeopleDN)
		w.sim.ResetCalls()
		w.mmsync("sync").exits(0)
		require.Empty(t, w.sim.Writes())
		for _, l := range w.links() {
			if l.Key.Anchor == people[7].EntryUUID {
				require.Contains(t, l.Ref, "ou=moved", "the link follows the person's place")
			}
		}
	})
}

func TestLeaver(t *testing.T) {
	t.Parallel()
	broken := "    nickname_attribute: 'attr.description == \"\" ? \"\" : attr.description.guid()'\n"
	spoil := map[string]func(*slapdtest.Server, string, slapdtest.Person) string{
		"broken mail": func(s *slapdtest.Server, dn string, _ slapdtest.Person) string {
			s.Modify(dn, "mail", "not an address")
			return dn
		},
		"a login somebody else has": func(s *slapdtest.Server, dn string, other slapdtest.Person) string {
			s.Add("ou=left,"+slapdtest.PeopleDN, map[string][]string{"objectClass": {"organizationalUnit"}, "ou": {"left"}})
			s.ModifyDN(dn, "uid="+other.UID, "ou=left,"+slapdtest.PeopleDN)
			return "uid=" + other.UID + ",ou=left," + slapdtest.PeopleDN
		},
		"an expression that fails": func(s *slapdtest.Server, dn string, _ slapdtest.Person) string {
			s.Modify(dn, "description", "no binary id")
			return dn
		},
	}
	every := func(s *slapdtest.Server, dn string, other slapdtest.Person) string {
		for _, name := range []string{"broken mail", "a login somebody else has", "an expression that fails"} {
			dn = spoil[name](s, dn, other)
		}
		return dn
	}
	cases := map[string]func(*slapdtest.Server, string, slapdtest.Person) string{"everything at once": every}
	maps.Copy(cases, spoil)
	for name, f := range cases {
		t.Run(name+" keeps nobody switched on", func(t *testing.T) {
			t.Parallel()
			people := slapdtest.Roster(60)
			slapd := slapdtest.Start(t, slapdtest.Options{Users: len(people), NoTLS: true})
			w := newWorld(t, sqliteStore(), settings{ldap: slapd.URL, mapping: broken})
			w.mmsync("sync").exits(0)
			before := w.managed()
			who, other := people[7], people[9]

			dn := f(slapd, who.DN, other)
			slapd.Modify(dn, "employeeType", "disabled")
			w.sim.ResetCalls()
			r := w.mmsync("sync").exits(0)
			require.Len(t, w.sim.Writes(), 1, r.stdout)
			gone := w.user(who.UID)
			require.Equal(t, before[who.UID].ID, gone.ID)
			require.False(t, gone.Active())
			require.Equal(t, 1, w.off())
			require.Equal(t, before[other.UID], w.user(other.UID), "whose login it is keeps it")
			w.quiet()
		})
	}
}

func TestReturner(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) (*world, []slapdtest.Person) {
		people := slapdtest.Roster(40)
		w := newWorld(t, sqliteStore(), settings{file: true})
		w.feed(people)
		w.mmsync("sync").exits(0)
		return w, people
	}
	leave := func(people []slapdtest.Person, i int, gone bool) []slapdtest.Person {
		people = append([]slapdtest.Person(nil), people...)
		people[i].Disabled = gone
		return people
	}
	t.Run("whom mmsync switched off comes back with the same account", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		id := w.user(people[5].UID).ID
		w.feed(leave(people, 5, true))
		w.mmsync("sync").exits(0)
		require.False(t, w.user(people[5].UID).Active())
		w.feed(people)
		w.mmsync("sync").exits(0)
		require.True(t, w.user(people[5].UID).Active())
		require.Equal(t, id, w.user(people[5].UID).ID)
		w.quiet()
	})
	t.Run("whom an administrator switched off stays off", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		w.switchOff(people[5].UID)
		w.sim.ResetCalls()
		r := w.mmsync("sync").exits(4)
		require.Contains(t, r.stdout, "not by mmsync")
		require.Empty(t, w.sim.Writes())
	})
	t.Run("whom an administrator switched on and off again after mmsync stays off", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		w.feed(leave(people, 5, true))
		w.mmsync("sync").exits(0)
		id := w.user(people[5].UID).ID
		w.sim.SetUser(id, func(u *mmsimUser) { u.DeleteAt, u.UpdateAt = 0, u.UpdateAt+1000 })
		w.switchOff(people[5].UID)
		w.feed(people)
		w.sim.ResetCalls()
		r := w.mmsync("sync").exits(4)
		require.Contains(t, r.stdout, "not by mmsync")
		require.Empty(t, w.sim.Writes())
	})
}
