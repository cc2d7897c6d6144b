package reconcile_test

import (
	"fmt"
	"maps"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// These tests are about servers of Enterprise Edition, which keep what their SAML settings
// map to the accounts of that login.

// samlMaps is a world in which people who log in by saml cannot be given another e-mail.
// told says that the server tells mmsync so.
func samlMaps(t *testing.T, told bool, settings map[string]string) *world {
	t.Helper()
	o := mmsim.Options{Enterprise: true, Settings: map[string]string{"MM_SAMLSETTINGS_EMAILATTRIBUTE": "mail"}}
	maps.Copy(o.Settings, settings)
	if !told { // and with the login off, no client is told either
		o.Logins = []string{"EnableLdap"}
	}
	w := newWorldOf(t, o)
	if !told {
		w.sim.Fail(mmsim.Fault{Method: http.MethodGet, Path: "/config", Status: http.StatusForbidden, ErrorID: "api.context.permissions.app_error"})
	}
	return w
}

// refused counts the patches that were answered 409.
func (w *world) refused() int {
	n := 0
	for _, c := range w.sim.Writes() {
		if c.Status == http.StatusConflict {
			n++
		}
	}
	return n
}

func TestEngine_enterpriseLocks(t *testing.T) {
	t.Parallel()
	for how, told := range map[string]bool{"known": true, "met": false} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			t.Run("a leaver who is back under another e-mail is let in", func(t *testing.T) {
				t.Parallel()
				w := samlMaps(t, told, nil)
				ada := human{ID: "1", UID: "ada", Service: "saml", Login: "ada@idp"}
				w.settle([]human{ada}, wiring{})
				ada.Left = "yes"
				w.settle([]human{ada}, wiring{})
				require.False(t, w.named("ada").Active())
				ada.Left, ada.Mail = "", "ada.smith@example.test"
				_, err := w.sync([]human{ada}, wiring{})
				require.NoError(t, err)
				require.True(t, w.named("ada").Active())
				require.Equal(t, "ada@example.test", w.named("ada").Email)
			})
			t.Run("the other fields of a patch arrive, and the link knows which", func(t *testing.T) {
				t.Parallel()
				w := samlMaps(t, told, nil)
				ada := human{ID: "1", UID: "ada", Service: "saml", Login: "ada@idp", Title: "Clerk"}
				w.settle([]human{ada}, wiring{})
				ada.Mail, ada.Title = "ada.smith@example.test", "Head"
				rep, err := w.sync([]human{ada}, wiring{})
				require.NoError(t, err)
				require.Equal(t, state.RunDone, rep.Status, "%v", rep.Failures)
				now := w.named("ada")
				require.Equal(t, "Head ada@example.test", now.Position+" "+now.Email)
				s := w.store()
				defer s.Close()
				links, err := s.Links(t.Context(), state.LinkFilter{})
				require.NoError(t, err)
				require.Equal(t, "Head ada@example.test", links[0].Applied.Profile.Position+" "+links[0].Applied.Profile.Email)
			})
			t.Run("who waits for an address that stays where it is waits on", func(t *testing.T) {
				t.Parallel()
				w := samlMaps(t, told, nil)
				people := []human{{ID: "1", UID: "ada", Service: "saml", Login: "ada@idp"}, {ID: "2", UID: "bob"}}
				w.settle(people, wiring{})
				people[0].Mail, people[1].Mail, people[0].Title = "ada.smith@example.test", "ada@example.test", "Head"
				rep, err := w.sync(people, wiring{})
				require.NoError(t, err)
				require.Zero(t, rep.Counts.Failed, "%v", rep.Failures)
				require.Equal(t, "bob@example.test", w.named("bob").Email)
				require.Equal(t, "Head", w.named("ada").Position)
			})
			t.Run("however many are refused, the run goes on", func(t *testing.T) {
				t.Parallel()
				w := samlMaps(t, told, nil)
				var people []human
				for i := range 40 {
					people = append(people, human{ID: fmt.Sprint(i), UID: fmt.Sprintf("u%02d", i), Service: "saml", Login: fmt.Sprintf("%d@idp", i)})
				}
				w.settle(people, wiring{})
				w.sim.ResetCalls()
				for i := range people {
					people[i].Mail = people[i].UID + "@new.example.test"
				}
				people = append(people, human{ID: "new", UID: "newcomer"})
				rep, err := w.sync(people, wiring{})
				require.NoError(t, err)
				w.named("newcomer")
				require.Zero(t, rep.Counts.Failed)
				require.Equal(t, told, w.refused() == 0)
			})
		})
	}
}

// A refusal that nothing foretold: of a field that no settings speak of.
func TestEngine_enterpriseLocks_rights(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := human{ID: "1", UID: "ada", Service: "saml", Login: "ada@idp", Groups: []string{adminsGroup}, Title: "Clerk"}
	w.settle([]human{ada}, wiring{})
	require.True(t, w.named("ada").IsAdmin())
	w.sim.Fail(mmsim.Fault{Path: "/users/*/patch", Status: http.StatusConflict, ErrorID: "api.user.patch_user.login_provider_attribute_set.app_error"})
	ada.Groups, ada.Title = nil, "Head"
	rep, err := w.sync([]human{ada}, wiring{})
	require.NoError(t, err)
	require.False(t, w.named("ada").IsAdmin(), "rights are taken whatever cannot be changed besides")
	require.Equal(t, state.RunPartial, rep.Status)
	require.Equal(t, 1, rep.Counts.Skipped)
	require.Contains(t, rep.Failures[0].Error, "position: the server keeps this to the account's login service")
}

// Any other refusal of what is changed of somebody keeps no right with him, either; but
// it gives him none.
func TestEngine_refusedPatchTakesRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := []human{{ID: "1", UID: "ada", Groups: []string{adminsGroup}, Title: "Clerk"}, {ID: "2", UID: "bob", Title: "Clerk"}}
	w.settle(people, wiring{})
	stop := w.sim.Fail(mmsim.Fault{Path: "/users/*/patch", Status: http.StatusBadRequest, ErrorID: "model.user.is_valid.position.app_error"})
	people[0].Groups, people[0].Title = nil, "Head"
	people[1].Groups, people[1].Title = []string{adminsGroup}, "Head"
	rep, err := w.sync(people, wiring{})
	require.NoError(t, err)
	require.Equal(t, 2, rep.Counts.Failed)
	require.False(t, w.named("ada").IsAdmin())
	require.False(t, w.named("bob").IsAdmin())
	stop()
	w.settle(people, wiring{})
	require.True(t, w.named("bob").IsAdmin())
}

// Who is to be a guest is made one, whatever the server says of his name.
func TestEngine_refusedPatchMakesGuests(t *testing.T) {
	t.Parallel()
	w, _ := newGuests(t)
	with := guestRules(plan.LostTake)
	people := []human{{ID: "1", UID: "ann", Title: "Clerk"}}
	w.settle(people, with)
	stop := w.sim.Fail(mmsim.Fault{Path: "/users/*/patch", Status: http.StatusBadRequest, ErrorID: "model.user.is_valid.position.app_error"})
	people[0] = guest("1", "ann")
	people[0].Title = "Adviser"
	rep, err := w.sync(people, with)
	require.NoError(t, err)
	require.Equal(t, 1, rep.Counts.Failed)
	require.Equal(t, "system_guest", w.roles("ann"))
	stop()
	w.settle(people, with)
}

func TestMemberships_refusedPatch(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]string{
		"locked":  "api.user.patch_user.login_provider_attribute_set.app_error",
		"refused": "api.user.update_user.accepted_domain.app_error",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := engineering(t)
			c.strict["eng/dev"] = true
			people := engineers()
			c.sync(people)
			c.sim.SetUser(c.id("bob"), func(u *mmsim.User) { u.AuthService, u.AuthData, u.Password = "saml", "bob@idp", "" })
			stop := c.sim.Fail(mmsim.Fault{Path: "/users/*/patch", Status: http.StatusConflict, ErrorID: id})
			people[0].Groups, people[0].Title = []string{"g-eng", "g-dev"}, "Head" // no lead any more
			people[1].Groups, people[1].Title = nil, "Head"
			c.sync(people)
			require.Equal(t, []string{"ann"}, c.in("eng/dev"))
			stop()
			c.sync(people)
			require.Equal(t, "Head", c.named("bob").Position)
		})
	}
}

func TestEngine_ChangeLocked_enterprise(t *testing.T) {
	t.Parallel()
	w := samlMaps(t, true, map[string]string{"MM_SAMLSETTINGS_POSITIONATTRIBUTE": "title"})
	people := []human{
		{ID: "1", UID: "anna", Service: "ldap", Login: "anna-id"},
		{ID: "2", UID: "bert", Service: "saml", Login: "bert@idp", Title: "Clerk"},
	}
	w.settle(people, wiring{change: byDelete})
	people[0].Mail, people[1].Mail, people[1].Title = "anna.smith@example.test", "bert.smith@example.test", "Head"
	w.settle(people, wiring{change: byDelete})
	before := w.loginOf()
	rep, err := w.changeLocked(people, wiring{}, 2)
	require.NoError(t, err)
	require.Equal(t, state.RunDone, rep.Status, "%v %v", rep.Failures, rep.Problems)
	require.Equal(t, "anna.smith@example.test", w.named("anna").Email)
	require.Equal(t, "bert.smith@example.test Head", w.named("bert").Email+" "+w.named("bert").Position)
	require.Equal(t, before, w.loginOf())
	require.Zero(t, w.refused())
	require.False(t, w.plan(people, wiring{change: byDelete}).Plan.Effective())
}
