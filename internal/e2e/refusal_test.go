package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/slapdtest"
)

const contractors = `  - {name: contractors, type: file, path: contractors.csv, format: csv, disabled_when: 'attr.status == "left"'}
`

const contractorsMapping = `  sources:
    contractors:
      id_attribute: attr.badge
`

func writeContractors(t *testing.T, w *world) {
	t.Helper()
	csv := "badge,uid,mail,givenName,sn,title,status\n" +
		"B1,x.one,x.one@partner.test,Xaver,One,Painter,here\n" +
		"B2,x.two,x.two@partner.test,Xenia,Two,Welder,here\n"
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "contractors.csv"), []byte(csv), 0o600))
}

func TestTwoSources(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) (*world, *slapdtest.Server, []slapdtest.Person) {
		people := slapdtest.Roster(50)
		slapd := slapdtest.Start(t, slapdtest.Options{Users: len(people), NoTLS: true})
		w := newWorld(t, sqliteStore(), settings{ldap: slapd.URL, extra: contractors, mapping: contractorsMapping})
		writeContractors(t, w)
		w.mmsync("sync").exits(0)
		require.Len(t, w.managed(), staffed(len(people))+2)
		return w, slapd, people
	}
	t.Run("while the file cannot be read, the directory goes on", func(t *testing.T) {
		t.Parallel()
		w, slapd, people := setup(t)
		require.NoError(t, os.Remove(filepath.Join(w.dir, "contractors.csv")))
		slapd.Modify(people[3].DN, "title", "Director")
		slapd.Modify(people[4].DN, "employeeType", "disabled")
		w.sim.ResetCalls()
		w.mmsync("plan").exits(2).says("source contractors could not be read")
		require.Empty(t, w.sim.Writes())
		w.mmsync("sync").exits(4).says("source contractors could not be read")
		require.Len(t, w.sim.Writes(), 2)
		require.Equal(t, "Director", w.user(people[3].UID).Position)
		require.False(t, w.user(people[4].UID).Active())
		require.True(t, w.user("x.one").Active())
		require.True(t, w.user("x.two").Active())
		w.mmsync("plan").exits(4)
	})
	t.Run("while the directory cannot be read, the file goes on", func(t *testing.T) {
		t.Parallel()
		w, slapd, _ := setup(t)
		slapd.Stop()
		csv := "badge,uid,mail,givenName,sn,title,status\nB1,x.one,x.one@partner.test,Xaver,One,Foreman,here\nB2,x.two,x.two@partner.test,Xenia,Two,Welder,left\n"
		require.NoError(t, os.WriteFile(filepath.Join(w.dir, "contractors.csv"), []byte(csv), 0o600))
		w.sim.ResetCalls()
		w.mmsync("sync").exits(4).says("source corp could not be read")
		require.Len(t, w.sim.Writes(), 2)
		require.Equal(t, "Foreman", w.user("x.one").Position)
		require.False(t, w.user("x.two").Active())
		require.Equal(t, 1, w.off())
	})
	t.Run("while none can be read, nothing happens", func(t *testing.T) {
		t.Parallel()
		w, slapd, _ := setup(t)
		slapd.Stop()
		require.NoError(t, os.Remove(filepath.Join(w.dir, "contractors.csv")))
		w.sim.ResetCalls()
		w.mmsync("sync").exits(1).says("read sources")
		require.Empty(t, w.sim.Writes())
	})
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	t.Run("a store never drives another server than its own", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, sqliteStore(), settings{file: true})
		w.feed(slapdtest.Roster(20))
		w.mmsync("sync").exits(0)
		other := mmsim.New(mmsim.Options{AdminToken: w.sim.AdminToken()})
		s := w.settings
		s.url = other.Start(t)
		w.configure(s)
		for _, command := range []string{"plan", "sync"} {
			w.mmsync(command).exits(78).says("this store belongs to mattermost")
		}
		require.Empty(t, other.Writes())
	})
	t.Run("of two syncs at once the second waits no longer than it is told", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, sqliteStore(), settings{file: true})
		people := slapdtest.Roster(120)
		w.feed(people)
		half, goOn := make(chan struct{}), make(chan struct{})
		w.atCreation(20, func() { close(half); <-goOn })
		first := w.start("sync")
		<-half
		w.mmsync("sync", "--wait-lock", "0s").exits(6)
		close(goOn)
		first.wait().exits(0)
		requireStaff(t, w, people)
	})
	t.Run("without a human administrator nothing is written", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, sqliteStore(), settings{file: true})
		w.feed(slapdtest.Roster(20))
		// A bot with the token is an administrator, but nobody who could sign in.
		bot := w.addStranger(mmsim.User{Username: "mmsync", Email: "mmsync@localhost", IsBot: true, OwnerID: w.sim.AdminID(), Roles: "system_user system_admin"})
		token := w.sim.AddToken(bot.ID)
		for _, u := range w.sim.Users() {
			if u.IsAdmin() && !u.IsBot {
				w.sim.SetUser(u.ID, func(u *mmsim.User) { u.Roles = "system_user" })
			}
		}
		w.knowForeign()
		text, err := os.ReadFile(w.config)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(w.config, []byte(strings.Replace(string(text), "${MMSYNC_E2E_TOKEN}", token, 1)), 0o600))
		w.sim.ResetCalls()
		w.mmsync("sync").exits(1).says("no active human administrator")
		require.Empty(t, w.sim.Writes())
	})
	t.Run("who holds a name or mail that somebody wants keeps it, linked to nobody", func(t *testing.T) {
		t.Parallel()
		people := slapdtest.Roster(30)
		w := newWorld(t, sqliteStore(), settings{file: true})
		w.feed(people)
		w.addStranger(mmsim.User{Username: people[3].UID, Email: "private@chat.test"})
		w.addStranger(mmsim.User{Username: "somebody.else", Email: people[4].Mail})
		w.addStranger(mmsim.User{Username: people[5].UID, Email: people[5].Mail})
		w.addStranger(mmsim.User{Username: people[6].UID, Email: people[6].Mail, DeleteAt: 1700000000000})
		for range 2 {
			r := w.mmsync("sync").exits(4)
			require.Contains(t, r.stdout, "4 held")
		}
		require.Len(t, w.managed(), staffed(len(people))-4)
		require.Len(t, w.links(), staffed(len(people))-4)
	})
}
