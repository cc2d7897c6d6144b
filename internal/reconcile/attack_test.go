package reconcile_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// These tests are attacks: somebody who can write an entry of the directory wants
// an account that is not his, or rights that nobody gave him. Each must end in a
// hold that says what is going on, and in no call at all for the attacked account.

// attack is one of them.
type attack struct {
	name string
	// before is the directory in peace; everybody in it has an account that is
	// settled. Besides them there are the accounts of fortress.
	before []human
	// prepare changes the server or the store between peace and attack.
	prepare func(w *world)
	// during is the directory under attack.
	during []human
	// victim is the account that must not be written to, by its name in peace;
	// "@" and an anchor names the account linked to it.
	victim string
	// The decision about the person with this anchor must have this reason, itself
	// or in a note, and its lines in the plan must hold these words.
	anchor string
	reason plan.Reason
	says   string
	// old is the reason on 5.38, if it differs: that server shows no login data, so
	// that the call is made, for another account, and the server itself refuses it.
	old plan.Reason
	// silent is set if the right answer is that nothing is to be done.
	silent bool
	policy func(*reconcile.Options)
}

// fortress is what every world has that is worth an attack: an administrator whom
// no source has, one who logs in by saml, an account for emergencies, people of
// other kinds.
func fortress(w *world) {
	for _, u := range []mmsim.User{
		{Username: "boss", Email: "boss@example.test", Roles: "system_admin system_user"},
		{Username: "chief", Email: "chief@example.test", Roles: "system_admin system_user", AuthService: "saml", AuthData: "chief@idp"},
		{Username: "breakglass", Email: "emergency@example.test", Roles: "system_admin system_user"},
		{Username: "plain", Email: "plain@example.test", Roles: "system_user", AuthService: "saml", AuthData: "plain@idp"},
		{Username: "sleeper", Email: "sleeper@example.test", Roles: "system_user", AuthService: "saml", AuthData: "sleeper@idp", DeleteAt: 1_700_000_000_000},
	} {
		w.sim.AddUser(u)
	}
}

// generous is a policy that gives away as much as a configuration can.
func generous(o *reconcile.Options) {
	o.Policy.AdoptByAuth, o.Policy.ChangeAuth, o.Policy.RevokeOnAuth, o.Policy.RecreateGone, o.Policy.DeleteEndpoint = true, true, true, true, true
	o.Policy.ReservedNames, o.Protect = []string{"breakglass*"}, []string{"breakglass*"}
}

func both(fs ...func(*reconcile.Options)) func(*reconcile.Options) {
	return func(o *reconcile.Options) {
		for _, f := range fs {
			f(o)
		}
	}
}

func asking(o *reconcile.Options) { o.Policy.Roles[0].Granted = nil }

func ada() human { return human{ID: "ada", UID: "ada"} }

func leader() human { return human{ID: "leader", UID: "leader", Groups: []string{adminsGroup}} }

func attacks() []attack {
	mallory := human{ID: "m", UID: "mallory"}
	with := func(h human, change func(*human)) human { change(&h); return h }
	list := []attack{
		{
			name: "a newcomer has the mail of an administrator", during: []human{ada(), with(mallory, func(h *human) { h.Mail = "boss@example.test" })},
			victim: "boss", anchor: "m", reason: plan.MatchPrivileged, says: `account "boss"`,
		},
		{
			name: "a newcomer has the mail of an administrator in capitals", during: []human{ada(), with(mallory, func(h *human) { h.Mail = "  BOSS@Example.Test " })},
			victim: "boss", anchor: "m", reason: plan.MatchPrivileged, says: "has the same e-mail; it holds system_admin",
		},
		{
			name: "a newcomer has the name of an administrator in capitals", during: []human{ada(), with(mallory, func(h *human) { h.UID, h.Mail = "BOSS", "m@example.test" })},
			victim: "boss", anchor: "m", reason: plan.MatchPrivileged, says: "has the same username; it holds system_admin",
		},
		{
			name:   "a newcomer has the name of an administrator, with an invisible letter",
			during: []human{ada(), with(mallory, func(h *human) { h.UID, h.Mail = "BO\u200bSS", "m@example.test" })},
			victim: "boss", anchor: "m", reason: plan.EntryFault, says: `username "bo\u200bss"`,
		},
		{
			name: "a newcomer has a name that looks like an administrator's", during: []human{ada(), with(mallory, func(h *human) { h.UID, h.Mail = "b\u043ess", "m@example.test" })},
			victim: "boss", anchor: "m", reason: plan.EntryFault, says: "username",
		},
		{
			name: "a newcomer has the name of the account that mmsync itself works with", during: []human{ada(), with(mallory, func(h *human) { h.UID, h.Mail = "admin", "m@example.test" })},
			victim: "admin", anchor: "m", reason: plan.UsernameTaken, says: "which is protected",
		},
		{
			name: "a newcomer has the login data of an administrator", during: []human{ada(), with(mallory, func(h *human) { h.Service, h.Login = "saml", "chief@idp" })},
			victim: "chief", anchor: "m", reason: plan.MatchPrivileged, old: plan.Wanted, says: "it holds system_admin",
		},
		{
			name: "a newcomer has the login data of an account that is switched off", during: []human{ada(), with(mallory, func(h *human) { h.Service, h.Login = "saml", "sleeper@idp" })},
			victim: "sleeper", anchor: "m", reason: plan.MatchNeedsWord, old: plan.Wanted, says: "who switched it off is not known",
		},
		{
			name: "a newcomer has the login data of somebody who owns a token",
			prepare: func(w *world) {
				u, _ := w.sim.UserByName("plain")
				w.sim.AddToken(u.ID)
			},
			during: []human{ada(), with(mallory, func(h *human) { h.Service, h.Login = "saml", "plain@idp" })},
			victim: "plain", anchor: "m", reason: plan.MatchNeedsWord, old: plan.Wanted, says: "owns a bot or a personal access token",
		},
		{
			name: "a newcomer has the login data of an account by another service", during: []human{ada(), with(mallory, func(h *human) { h.Service, h.Login = "ldap", "plain@idp" })},
			victim: "plain", anchor: "m", reason: plan.AuthDataTaken, old: plan.Wanted, says: "logs in by saml",
		},
		{
			name: "a user takes the mail of an administrator", before: []human{ada()}, during: []human{with(ada(), func(h *human) { h.Mail = "boss@example.test" })},
			victim: "boss", anchor: "ada", reason: plan.EmailTaken, says: `e-mail is held by account "boss"`,
		},
		{
			name: "a user takes the name of an administrator", before: []human{ada()}, during: []human{with(ada(), func(h *human) { h.UID, h.Mail = "boss", "ada@example.test" })},
			victim: "boss", anchor: "ada", reason: plan.UsernameTaken, says: `username is held by account "boss"`,
		},
		{
			name: "a user takes the login data of an administrator", before: []human{ada()},
			during: []human{with(ada(), func(h *human) { h.Service, h.Login = "saml", "chief@idp" })},
			victim: "chief", anchor: "ada", reason: plan.AuthDataTaken, old: plan.Differs, says: "login data is held by account",
		},
		{
			name: "a user takes the anchor of an administrator", before: []human{ada(), leader()},
			during: []human{ada(), leader(), {ID: "leader", UID: "mallory", Mail: "mallory@example.test"}},
			victim: "leader", anchor: "leader", reason: plan.EntryFault, says: "occurs twice",
		},
		{
			name: "a new entry has the name of an emergency account that was renamed", during: []human{ada(), with(mallory, func(h *human) { h.UID = "breakglass" })},
			prepare: func(w *world) { w.edit("breakglass", func(u *mmsim.User) { u.Username = "bg" }) },
			victim:  "breakglass", anchor: "m", reason: plan.NameReserved, says: "protected pattern",
		},
		{
			name: "a new entry has the new name of an emergency account that was renamed", during: []human{ada(), with(mallory, func(h *human) { h.UID = "bg" })},
			prepare: func(w *world) { w.edit("breakglass", func(u *mmsim.User) { u.Username = "bg" }) },
			victim:  "breakglass", anchor: "m", reason: plan.UsernameTaken, says: "which is protected",
		},
		{
			name: "a user becomes an emergency account by name", before: []human{ada()}, during: []human{with(ada(), func(h *human) { h.UID, h.Mail = "breakglass2", "ada@example.test" })},
			victim: "@ada", anchor: "ada", reason: plan.NameReserved, says: "protected pattern",
		},
		{
			name: "a new entry wants a name that mmsync parks people on", during: []human{ada(), with(mallory, func(h *human) { h.UID, h.Mail = "MMSYNC-parked-1", "m@example.test" })},
			victim: "boss", anchor: "m", reason: plan.EntryFault, says: "are kept for renames in progress",
		},
		{
			name: "the recycled mail of a leaver", before: []human{ada(), {ID: "ivan", UID: "ivan"}},
			prepare: func(w *world) {
				w.settle([]human{ada(), {ID: "ivan", UID: "ivan", Left: "yes"}}, wiring{change: generous})
			},
			during: []human{ada(), {ID: "ivan", UID: "ivan", Left: "yes"}, with(mallory, func(h *human) { h.Mail = "ivan@example.test" })},
			victim: "ivan", anchor: "m", reason: plan.EmailTaken, says: `deactivated account "ivan"`,
		},
		{
			name: "the recycled name of a leaver whose entry is gone", before: []human{ada(), {ID: "ivan", UID: "ivan"}},
			prepare: func(w *world) { w.settle([]human{ada()}, wiring{change: generous}) },
			during:  []human{ada(), {ID: "m", UID: "ivan", Mail: "m@example.test"}},
			victim:  "ivan", anchor: "m", reason: plan.UsernameTaken, says: `deactivated account "ivan"`,
		},
		{
			name: "the recycled login of a leaver", before: []human{ada(), {ID: "ivan", UID: "ivan", Service: "saml", Login: "ivan@idp"}},
			prepare: func(w *world) {
				w.settle([]human{ada(), {ID: "ivan", UID: "ivan", Service: "saml", Login: "ivan@idp", Left: "yes"}}, wiring{change: generous})
			},
			during: []human{ada(), {ID: "ivan", UID: "ivan", Service: "saml", Login: "ivan@idp", Left: "yes"}, with(mallory, func(h *human) { h.Service, h.Login = "saml", "ivan@idp" })},
			victim: "ivan", anchor: "m", reason: plan.AuthDataTaken, says: `deactivated account "ivan"`,
		},
		{
			name: "an account that belonged to somebody else once", before: []human{ada()},
			prepare: func(w *world) { w.once("plain", identity.Key{Source: "corp", Anchor: "predecessor"}) },
			during:  []human{ada(), with(mallory, func(h *human) { h.Service, h.Login = "saml", "plain@idp" })},
			victim:  "plain", anchor: "m", reason: plan.MatchNeedsWord, old: plan.Wanted, says: "it was linked to somebody else before",
		},
		{
			name: "the source gives an administrator another mail", before: []human{ada(), leader()},
			during: []human{ada(), with(leader(), func(h *human) { h.Mail = "mallory@example.test" })},
			victim: "@leader", anchor: "leader", reason: plan.NeedsApproval, says: "changing the e-mail of an account that holds system_admin needs approval",
		},
		{
			name: "the source gives an administrator another name", before: []human{ada(), leader()},
			during: []human{ada(), with(leader(), func(h *human) { h.UID, h.Mail = "mallory", "leader@example.test" })},
			victim: "@leader", anchor: "leader", reason: plan.NeedsApproval, says: "changing the username of an account that holds system_admin needs approval",
		},
		{
			name: "the source gives an administrator another login", before: []human{ada(), leader()},
			during: []human{ada(), with(leader(), func(h *human) { h.Service, h.Login = "saml", "mallory@idp" })},
			victim: "@leader", anchor: "leader", reason: plan.NeedsApproval, says: "changing the login of an account that holds system_admin needs approval",
		},
		{
			name: "somebody gets into the administrators' group", before: []human{ada()}, policy: asking,
			during: []human{with(ada(), func(h *human) { h.Groups = []string{adminsGroup} })},
			victim: "@ada", anchor: "ada", reason: plan.NeedsApproval, says: "granting system_admin needs approval",
		},
		{
			name: "an administrator who was switched off comes back", before: []human{ada(), leader()},
			prepare: func(w *world) {
				w.settle([]human{ada(), with(leader(), func(h *human) { h.Left = "yes" })}, wiring{change: generous})
				w.edit("leader", func(u *mmsim.User) { u.Roles = "system_admin system_user" })
			},
			during: []human{ada(), leader()},
			victim: "@leader", anchor: "leader", reason: plan.NeedsApproval, says: "the account holds system_admin",
		},
		{
			name: "an account that somebody switched off is wanted again", before: []human{ada()},
			prepare: func(w *world) { w.edit("ada", func(u *mmsim.User) { u.DeleteAt = 1_700_000_000_000 }) },
			during:  []human{with(ada(), func(h *human) { h.Title = "Boss" })},
			victim:  "@ada", anchor: "ada", reason: plan.DeactivatedOther, says: "switched off on 2023-11-14 22:13 UTC, and not by mmsync",
		},
		{
			name: "two people swap their mails", before: []human{ada(), {ID: "bob", UID: "bob"}},
			during: []human{with(ada(), func(h *human) { h.Mail = "bob@example.test" }), {ID: "bob", UID: "bob", Mail: "ada@example.test"}},
			victim: "@bob", anchor: "ada", reason: plan.EmailTaken, says: "e-mail",
		},
		{
			name: "a user moves his mail out of the company", before: []human{ada()}, policy: ours,
			during: []human{with(ada(), func(h *human) { h.Mail = "ada@evil.test" })},
			victim: "@ada", anchor: "ada", reason: plan.EmailOutside, says: "in none of the domains",
		},
		{
			name: "a newcomer from outside has the login data of a user", before: []human{ada()}, policy: ours,
			during: []human{ada(), with(mallory, func(h *human) { h.Mail, h.Service, h.Login = "plain@evil.test", "saml", "plain@idp" })},
			victim: "plain", anchor: "m", reason: plan.EmailOutside, old: plan.EmailOutside, says: "in none of the domains",
		},
	}
	for _, group := range []string{
		"cn=admins,ou=evil,dc=test", "cn=admins,dc=test,dc=evil", "cn=admins", "admins", "ou=admins,dc=test", "cn=sub,cn=admins,dc=test",
		"cn=admins\\,dc=test", "cn=admins+ou=x,dc=test", "cn=\u0430dmins,dc=test", "cn=admins\\00,dc=test", "cn=ad mins,dc=test", "cn=admins,dc=te\u200bst", "",
	} {
		list = append(list, attack{
			name: "a group that is called like the administrators': " + group, before: []human{ada()},
			during: []human{with(ada(), func(h *human) { h.Groups = []string{group} })},
			victim: "@ada", anchor: "ada", silent: true,
		})
	}
	return list
}

func ours(o *reconcile.Options) { o.Policy.EmailDomains = []string{"example.test"} }

// once makes the store remember that an account was somebody else's.
func (w *world) once(username string, k identity.Key) {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	lease, err := s.AcquireLease(w.t.Context(), "reconcile", "test", time.Minute)
	require.NoError(w.t, err)
	u, ok := w.sim.UserByName(username)
	require.True(w.t, ok)
	other := w.sim.AddUser(mmsim.User{Username: "successor", Email: "successor@example.test", Roles: "system_user"})
	for _, id := range []string{u.ID, other.ID} {
		require.NoError(w.t, s.PutLinks(w.t.Context(), lease, []identity.Link{{Key: k, AccountID: id, Part: identity.Owner, Origin: identity.OriginCreated}}))
	}
	require.NoError(w.t, s.ReleaseLease(w.t.Context(), lease))
}

func TestAttacks(t *testing.T) {
	t.Parallel()
	for version, profile := range map[string]mmsim.Profile{"11.6": mmsim.Profile116, "5.38": mmsim.Profile538} {
		for _, a := range attacks() {
			if profile == mmsim.Profile538 && a.old == "" {
				continue // what decides is the same on every server
			}
			t.Run(version+"/"+a.name, func(t *testing.T) {
				t.Parallel()
				a.run(t, profile)
			})
		}
	}
}

func (a attack) run(t *testing.T, profile mmsim.Profile) {
	t.Helper()
	w := newWorldOf(t, mmsim.Options{Profile: profile})
	fortress(w)
	policy := generous
	if a.policy != nil {
		policy = both(generous, a.policy)
	}
	with := wiring{change: policy}
	before := a.before
	if before == nil {
		before = []human{ada()}
	}
	w.settle(before, wiring{change: both(policy, func(o *reconcile.Options) { o.Policy.Roles[0].Granted = o.Policy.Roles[0].Managed })})
	victim := a.account(w)
	if a.prepare != nil {
		a.prepare(w)
	}
	was, _ := w.sim.User(victim)
	from := len(w.sim.Calls())
	for i := range 4 {
		// The second run is an audit, which knows of every account by itself.
		rep, err := w.run(t.Context(), a.during, with, reconcile.RunOptions{Audit: i == 1})
		require.NoError(t, err)
		if i < 2 || i == 3 && !a.silent {
			a.judge(t, rep, profile)
		}
		w.sim.SetClockOffset(time.Duration(i+1) * time.Minute)
	}
	for _, c := range writes(w.sim.Calls()[from:]) {
		require.NotContains(t, c.Path, victim, "%s %s %s", c.Method, c.Path, c.Body)
	}
	_, made := w.sim.UserByName("mallory")
	require.False(t, made, "and nobody gets in beside it")
	is, _ := w.sim.User(victim)
	require.Equal(t, was, is, "nothing about the account has changed")
}

// account gives the id of the attacked account.
func (a attack) account(w *world) string {
	w.t.Helper()
	if anchor, linked := strings.CutPrefix(a.victim, "@"); linked {
		return w.links()[anchor].AccountID
	}
	u, ok := w.sim.UserByName(a.victim)
	require.True(w.t, ok, a.victim)
	return u.ID
}

// judge looks whether a run says what is going on.
func (a attack) judge(t *testing.T, rep reconcile.Report, profile mmsim.Profile) {
	t.Helper()
	if a.silent {
		require.False(t, slices.ContainsFunc(rep.Plan.Decisions, func(d plan.Decision) bool { return d.Key.Anchor == a.anchor }), "%+v", rep.Plan.Decisions)
		return
	}
	d := decisionOn(t, rep, a.anchor)
	want := a.reason
	if profile == mmsim.Profile538 && a.old != "" {
		want = a.old
	}
	var b strings.Builder
	plan.RenderDecision(&b, d, plan.Style{}, 10)
	require.True(t, d.Reason == want || slices.ContainsFunc(d.Notes, func(n plan.Note) bool { return n.Reason == want }), "want %s:\n%s", want, b.String())
	var whole bytes.Buffer
	require.NoError(t, plan.Render(&whole, rep.Plan, plan.Style{}))
	if want != plan.Wanted && want != plan.Differs {
		require.Contains(t, whole.String(), a.says)
		return
	}
	require.NotEmpty(t, rep.Failures, "the server refuses it")
	require.Equal(t, state.RunPartial, rep.Status)
}
