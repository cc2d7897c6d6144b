package reconcile_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Somebody comes back to whom a rule gives a role that may be given without asking.
func TestInterplay_returnWithARole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := []human{{ID: "1", UID: "ann"}, {ID: "2", UID: "bob"}}
	w.settle(people, wiring{})
	people[0].Left = "yes"
	w.settle(people, wiring{})
	require.False(t, w.active("ann"))
	people[0].Left, people[0].Groups = "", []string{adminsGroup}
	rep, err := w.sync(people, wiring{})
	require.NoError(t, err)
	require.Equal(t, plan.Reactivate, decisionOn(t, rep, "1").Action)
	require.Empty(t, rep.Failures)
	require.True(t, w.active("ann"))
}

// Two want the same locked name.
func TestInterplay_hollowDetour(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := []human{{ID: "1", UID: "anna", Service: "ldap", Login: "a-id"}, {ID: "2", UID: "bert", Service: "saml", Login: "bert@idp"}}
	w.settle(people, wiring{change: byDelete})
	people[0].UID, people[1].UID = "smith", "smith"
	people[0].Mail, people[1].Mail = "anna@example.test", "bert@example.test"
	w.sim.ResetCalls()
	_, err := w.changeLocked(people, wiring{}, -1)
	require.NoError(t, err)
	require.Empty(t, w.sim.Writes())
}

// A hold that is made between the two calls leaves the second for later.
func TestInterplay_holdBeforeSessions(t *testing.T) {
	t.Parallel()
	w, _ := newGuests(t)
	with := guestRules(plan.LostTake)
	w.settle([]human{{ID: "1", UID: "ann"}}, with)
	var held atomic.Bool
	cut := with
	cut.network = network(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/demote") && held.CompareAndSwap(false, true) {
			w.hold(identity.Key{}, 0)
		}
		return http.DefaultTransport.RoundTrip(r)
	})
	people := []human{guest("1", "ann")}
	_, err := w.sync(people, cut)
	require.NoError(t, err)
	require.True(t, held.Load())
	require.Equal(t, "system_guest", w.roles("ann"))
	require.Zero(t, w.revocations("ann"))
	w.release()
	_, err = w.sync(people, with)
	require.NoError(t, err)
	require.Equal(t, 1, w.revocations("ann"))
}

// A refused end of sessions is made later, whatever is pushed meanwhile.
func TestInterplay_pushedBeforeSessions(t *testing.T) {
	t.Parallel()
	w, _ := newGuests(t)
	c := newClient()
	with := wiring{target: mattermost.TargetOptions{Guests: true}, change: func(o *reconcile.Options) {
		roomy(o)
		o.Sources = []reconcile.Source{c}
		o.Policy.Roles = []plan.RoleAuthority{{Source: "idp", Managed: identity.NewRoles(identity.RoleAdmin), Guests: true, Guest: plan.LostTake}}
		o.Limits.RoleRemovals.Count, o.Limits.AdminGrants.Count = 50, 50
	}}
	p := w.service(c, with)
	p.push(pushedID(1, nil))
	over := w.sim.Fail(mmsim.Fault{Method: "POST", Path: "/users/*/sessions/revoke/all", Status: http.StatusForbidden, ErrorID: "api.context.permissions.app_error"})
	toGuest := func(title string) func(*identity.Identity) {
		return func(id *identity.Identity) {
			id.Roles, id.Profile.Position = identity.NewRoles(identity.RoleGuest), title
		}
	}
	p.keep(pushedID(1, toGuest("")))
	require.Eventually(t, func() bool { u, ok := p.account(1); return ok && u.Roles == "system_guest" }, time.Minute, 10*time.Millisecond)
	ended := func(as state.OpStatus) bool {
		ops, err := w.journal()
		require.NoError(t, err)
		return slices.ContainsFunc(ops, func(op state.OpRecord) bool { return op.Op.Kind == plan.RevokeSessions && op.Status == as })
	}
	require.Eventually(t, func() bool { return ended(state.OpSent) }, time.Minute, 10*time.Millisecond)
	over()
	require.Zero(t, w.revocations("p0001"))
	p.keep(pushedID(1, toGuest("Clerk")))
	require.Eventually(t, func() bool { return w.title("p0001") == "Clerk" }, time.Minute, 10*time.Millisecond)
	p.calm()
	p.stop()
	_, err := w.run(context.WithoutCancel(t.Context()), nil, with, reconcile.RunOptions{})
	require.NoError(t, err)
	require.Equal(t, 1, w.revocations("p0001"))
}

// Whoever has left is switched off although nobody knows who is in a channel.
func TestInterplay_leaverAndChannels(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"lists": "/channels/*/members", "names": "/teams/name/*/channels/name/*"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClub(t, mmsim.Options{}, "eng", "eng/a")
			people := newClient()
			with := wiring{change: func(o *reconcile.Options) {
				o.Sources = []reconcile.Source{people}
				o.Policy.Memberships = []plan.MembershipAuthority{{Source: "idp", Spaces: []plan.SpaceRule{{Name: "eng"}, {Name: "eng/a"}}}}
			}}
			people.people["id-0001"] = pushedID(1, nil)
			_, err := c.run(t.Context(), nil, with, reconcile.RunOptions{})
			require.NoError(t, err)
			over := c.sim.Fail(mmsim.Fault{Method: "GET", Path: path, Status: http.StatusForbidden, ErrorID: "api.context.permissions.app_error"})
			defer over()
			people.people["id-0001"] = pushedID(1, leaver)
			rep, err := c.run(t.Context(), nil, with, reconcile.RunOptions{})
			require.NoError(t, err)
			require.Equal(t, state.RunPartial, rep.Status)
			require.Contains(t, strings.Join(rep.Problems, "\n"), "is changed in this run")
			require.False(t, c.active("p0001"))
		})
	}
}

// A call for the owner may still arrive: what a contributor says waits for it.
func TestInterplay_contributorAndBusyOwner(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), newClient()
	corp := []human{{ID: "1", UID: "anna", Title: "Clerk", Mail: "anna@example.test"}}
	with := wiring{change: func(o *reconcile.Options) {
		roomy(o)
		o.SettleAfter = 3 * time.Second
		o.Sources = []reconcile.Source{directory(t, corp), c}
		o.Policy.Authority = []plan.Authority{{Attribute: identity.Position, Sources: []string{"idp"}}}
		o.Policy.Contributing = []plan.Contributing{{Source: "idp", Only: true}}
	}}
	c.people["id-0001"] = pushedID(1, titled("Boss"))
	_, err := w.sync(nil, with)
	require.NoError(t, err)
	_, err = w.act(nil, with, func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
		return e.Contribute(ctx, reconcile.RunOptions{Reason: "same", RequestedBy: "test"}, "idp/id-0001", "anna", false)
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool { // a push beside the run may have taken it over
		_, err := w.sync(nil, with)
		return err == nil && w.title("anna") == "Boss"
	}, time.Minute, 10*time.Millisecond)
	corp[0].Mail = "anna.smith@example.test"
	require.Eventually(t, func() bool { // a push beside the run may take it over, and find nothing to do
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		cut := with
		cut.network = network(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/patch") {
				cancel()
				return nil, io.ErrUnexpectedEOF
			}
			return http.DefaultTransport.RoundTrip(r)
		})
		_, err := w.run(ctx, nil, cut, reconcile.RunOptions{})
		return errors.Is(err, context.Canceled)
	}, time.Minute, 10*time.Millisecond)
	ops, err := w.journal()
	require.NoError(t, err)
	require.Equal(t, state.OpSent, ops[len(ops)-1].Status)
	w.sim.ResetCalls()
	p := w.service(c, with)
	p.keep(pushedID(1, titled("Head")))
	require.Eventually(t, func() bool { return w.title("anna") == "Head" }, time.Minute, 10*time.Millisecond)
	p.stop()
	for _, call := range w.sim.Writes() {
		require.False(t, call.At.Before(ops[len(ops)-1].SentAt.Add(3*time.Second)), "%s before the other call can have come", call.Path)
	}
}

// Whose account was made anew is known to the others as before.
func TestInterplay_recreatedAndContributors(t *testing.T) {
	t.Parallel()
	w, s := united(t)
	s.change = func(o *reconcile.Options) { o.Policy.RecreateGone = true }
	u, _ := w.sim.UserByName("anna")
	w.sim.RemoveUser(u.ID)
	for range 5 {
		_, err := w.run(t.Context(), nil, s.wiring(t), reconcile.RunOptions{Audit: true})
		require.NoError(t, err)
	}
	require.Equal(t, "Boss", w.title("anna"))
}
