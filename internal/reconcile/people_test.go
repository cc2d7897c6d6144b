package reconcile_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

// manager is the id of the server's user attribute of type user.
const manager = "manageraaaaaaaaaaaaaaaaaaa"

func newWorldOfManagers(t *testing.T) (*world, wiring) {
	t.Helper()
	w := newWorldOf(t, mmsim.Options{CustomFields: []mmsim.CustomField{{ID: manager, Name: "Manager", Type: "user"}}})
	return w, wiring{change: func(o *reconcile.Options) { o.Policy.People = []string{"Manager"} }}
}

// boss gives the username of somebody's manager in Mattermost.
func (w *world) boss(name string) string {
	w.t.Helper()
	id := w.sim.Custom(w.user(name).ID)[manager]
	if id == "" {
		return ""
	}
	for _, u := range w.sim.Users() {
		if u.ID == id {
			return u.Username
		}
	}
	w.t.Fatalf("the manager of %s has no account: %s", name, id)
	return ""
}

// unknownManagers is the warning about n people.
func unknownManagers(whose string) string {
	return `user attribute "Manager" of ` + whose + " stays as it is, because mmsync knows no account that is on of whom the source names; it is set by the next run after there is one"
}

func TestEngine_people_as_user_attributes(t *testing.T) {
	t.Parallel()
	t.Run("a manager is set once his account is known, and again only when he is another", func(t *testing.T) {
		t.Parallel()
		w, with := newWorldOfManagers(t)
		ann, bob, cid := human{ID: "1", UID: "ann"}, human{ID: "2", UID: "bob", Boss: "1"}, human{ID: "3", UID: "cid", Boss: "2"}
		rep, err := w.sync([]human{ann, bob, cid}, with)
		require.NoError(t, err)
		require.Equal(t, state.RunDone, rep.Status)
		require.Zero(t, w.customWrites(), "nobody has an account to name yet")
		require.Equal(t, []string{unknownManagers("2 people")}, rep.Plan.Warnings)
		w.rest([]human{ann, bob, cid}, with)
		require.Equal(t, "ann", w.boss("bob"))
		require.Equal(t, "bob", w.boss("cid"))
		require.Equal(t, 2, w.customWrites(), "not each night, and nothing for whom there is nobody")
		cid.Boss = "1"
		w.rest([]human{ann, bob, cid}, with)
		require.Equal(t, "ann", w.boss("cid"))
		cid.Boss = ""
		w.rest([]human{ann, bob, cid}, with)
		require.Empty(t, w.boss("cid"))
		require.Equal(t, 4, w.customWrites())
	})
	t.Run("settled people are decided again when their manager gets an account, and when he is another one", func(t *testing.T) {
		t.Parallel()
		w, with := newWorldOfManagers(t)
		bob, cid := human{ID: "2", UID: "bob", Boss: "1"}, human{ID: "3", UID: "cid", Boss: "1"}
		w.rest([]human{bob, cid}, with)
		require.Zero(t, w.customWrites())
		ann := human{ID: "1", UID: "ann"}
		require.Equal(t, 1, w.decided([]human{ann, bob, cid}, with), "the others have not changed")
		w.rest([]human{ann, bob, cid}, with)
		require.Equal(t, "ann", w.boss("bob"))
		require.Equal(t, "ann", w.boss("cid"))
		require.Equal(t, 2, w.customWrites())
	})
	t.Run("who has left is nobody's manager anew, and stays that of whom he was", func(t *testing.T) {
		t.Parallel()
		w, with := newWorldOfManagers(t)
		ann, bob := human{ID: "1", UID: "ann"}, human{ID: "2", UID: "bob", Boss: "1"}
		w.rest([]human{ann, bob}, with)
		ann.Left = "yes"
		cid := human{ID: "3", UID: "cid", Boss: "1"}
		w.settle([]human{ann, bob}, with)
		require.Equal(t, "ann", w.boss("bob"))
		rep, err := w.sync([]human{ann, bob, cid}, with)
		require.NoError(t, err)
		require.Equal(t, []string{unknownManagers("2 people")}, rep.Plan.Warnings, "those are counted as well who are settled")
		w.settle([]human{ann, bob, cid}, with)
		require.Empty(t, w.boss("cid"))
		require.Equal(t, 1, w.customWrites())
		ann.Left = ""
		w.settle([]human{ann, bob, cid}, with)
		require.Equal(t, "ann", w.boss("cid"))
	})
	t.Run("without a licence that is said, and nothing is tried", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.custom = true
		_, with := newWorldOfManagers(t)
		rep, err := w.sync([]human{{ID: "1", UID: "ann"}, {ID: "2", UID: "bob", Boss: "1"}}, with)
		require.NoError(t, err)
		require.Equal(t, []string{"user attributes are not set, because this server has no licence for them; they take Enterprise"}, rep.Plan.Warnings)
		w.rest([]human{{ID: "1", UID: "ann"}, {ID: "2", UID: "bob", Boss: "1"}}, with)
		require.Zero(t, w.customWrites())
	})
}

func TestEngine_people_by_their_places(t *testing.T) {
	t.Parallel()
	// A place of a file is a line of it.
	placed := func(key func(string) string) func(*reconcile.Options) {
		return func(o *reconcile.Options) { o.Policy.People, o.PlaceKey = []string{"Manager"}, key }
	}
	t.Run("however it is spelled", func(t *testing.T) {
		t.Parallel()
		w, with := newWorldOfManagers(t)
		with.change = placed(func(s string) string { return strings.ReplaceAll(strings.ToLower(s), " ", "") })
		ann, bob := human{ID: "1", UID: "ann"}, human{ID: "2", UID: "bob"}
		w.rest([]human{ann, bob}, with)
		place := w.links()["1"].Ref
		require.NotEmpty(t, place)
		bob.Boss = strings.ToUpper(place) + " "
		w.rest([]human{ann, bob}, with)
		require.Equal(t, "ann", w.boss("bob"))
	})
	t.Run("of two at one place neither is taken, unless one of them has left", func(t *testing.T) {
		t.Parallel()
		w, with := newWorldOfManagers(t)
		with.change = placed(func(string) string { return "the same" })
		ann, bob := human{ID: "1", UID: "ann"}, human{ID: "2", UID: "bob", Boss: "there"}
		w.rest([]human{ann, bob}, with)
		require.Empty(t, w.boss("bob"))
		ann.Left = "yes"
		w.settle([]human{ann, bob}, with)
		w.settle([]human{ann, bob}, with)
		require.Equal(t, "bob", w.boss("bob"))
	})
}

func TestEngine_people_of_pushes_and_changes(t *testing.T) {
	t.Parallel()
	t.Run("somebody who is pushed names whom the client pushed before", func(t *testing.T) {
		t.Parallel()
		w, with := newWorldOfManagers(t)
		p := w.service(newClient(), with)
		led := func(by string) func(*identity.Identity) {
			return func(id *identity.Identity) { id.People = map[string]string{"Manager": by} }
		}
		p.push(pushedID(2, led("id-0001")))
		require.Empty(t, w.boss("p0002"), "who has no account yet")
		p.push(pushedID(1, led("")))
		p.push(pushedID(3, led("id-0001")))
		p.calm()
		require.Equal(t, "p0001", w.boss("p0003"))
		require.Empty(t, w.boss("p0002"), "nobody pushed him anew")
		p.stop() // what is pushed has the lease for a while
		p = w.service(p.client, with)
		_, err := p.engine.Sync(p.ctx, reconcile.RunOptions{Trigger: "test", RequestedBy: "test"})
		require.NoError(t, err)
		require.Equal(t, "p0001", w.boss("p0002"), "the next run sees to it")
		p.push(pushedID(3, led("")))
		require.Empty(t, w.boss("p0003"))
		require.Equal(t, 3, w.customWrites())
	})
	t.Run("a run that reads only what changed knows everybody's account", func(t *testing.T) {
		t.Parallel()
		w, with := newWorldOfManagers(t)
		c := &changing{world: w, ledgered: &ledgered{people: three()}, change: with.change}
		c.sync(t, false)
		c.sync(t, false)
		c.reads = nil
		c.set(human{ID: "2", UID: "bert", Boss: "1"})
		c.set(human{ID: "3", UID: "cora", Boss: "9"})
		rep := c.sync(t, true)
		require.Equal(t, []string{"changes"}, c.reads)
		require.Equal(t, []string{unknownManagers("1 person")}, rep.Plan.Warnings)
		require.Equal(t, "anna", w.boss("bert"))
		require.Equal(t, 1, w.customWrites())
		c.sync(t, false)
		c.sync(t, false)
		require.Zero(t, c.sync(t, false).Decided)
		require.Equal(t, 1, w.customWrites())
	})
}

func TestEngine_people_of_several_sources(t *testing.T) {
	t.Parallel()
	w, with := newWorldOfManagers(t)
	s := &several{
		corp:   []human{{ID: "1", UID: "anna", Number: "11"}, {ID: "2", UID: "bert", Number: "12", Boss: "1"}},
		hr:     []human{{ID: "h1", UID: "anna", Title: "Boss", Number: "11", Boss: "h2"}, {ID: "h2", UID: "bert", Title: "Cook", Number: "12"}},
		change: with.change,
	}
	for range 6 {
		w.several(s)
	}
	const contributors = 2 // who are looked at each time
	require.Equal(t, contributors, w.several(s).Decided)
	require.True(t, w.settled()["1"])
	require.True(t, w.settled()["2"])
	require.Equal(t, "anna", w.boss("bert"))
	require.Empty(t, w.boss("anna"), "who has a word about positions alone says nothing of managers")
	require.Equal(t, 1, w.customWrites())
	s.corp[0].Boss = "3"
	require.Equal(t, contributors+1, w.several(s).Decided)
	require.Equal(t, contributors, w.several(s).Decided)
	s.corp = append(s.corp, human{ID: "3", UID: "cora"})
	for range 3 {
		w.several(s)
	}
	require.Equal(t, "cora", w.boss("anna"))
}
