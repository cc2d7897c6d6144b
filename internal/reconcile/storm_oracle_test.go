package reconcile_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// judge compares a world at rest with what its directories want. Whatever is not
// so must be so because the rules of the server or of the configuration say that
// mmsync may not change it; what mmsync itself says about it is not asked.
type judge struct {
	*storm
	users  []mmsim.User
	byID   map[string]*mmsim.User
	link   map[identity.Key]*identity.Link
	owner  map[string]identity.Key
	stated map[identity.Key]plan.Decision
}

func (s *storm) judge(p plan.Plan) judge {
	j := judge{storm: s, users: s.sim.Users(), byID: map[string]*mmsim.User{}, link: map[identity.Key]*identity.Link{}, owner: map[string]identity.Key{}, stated: map[identity.Key]plan.Decision{}}
	for i := range j.users {
		j.byID[j.users[i].ID] = &j.users[i]
	}
	for _, d := range p.Decisions {
		j.stated[d.Key] = d
	}
	links, err := s.db.Links(s.t.Context(), state.LinkFilter{})
	if err != nil {
		s.wrong("links cannot be read: %v", err)
	}
	for i := range links {
		l := &links[i]
		if j.link[l.Key] = l; l.Part == identity.Contributor {
			continue
		}
		if other, taken := j.owner[l.AccountID]; taken {
			s.wrong("account %s belongs to %s and to %s", l.AccountID, other, l.Key)
		}
		j.owner[l.AccountID] = l.Key
	}
	return j
}

func (j judge) world() {
	for _, k := range j.keys() {
		if why := j.person(j.people[k]); why != "" {
			j.wrong("%s: %s; mmsync says %+v", j.people[k], why, j.stated[k])
		}
	}
}

func (j judge) person(e *entry) string {
	l := j.link[e.key]
	var u *mmsim.User
	if l != nil {
		u = j.byID[l.AccountID]
	}
	switch {
	case e.adds:
		return j.adder(e, l, u)
	case l != nil && l.Part == identity.Contributor:
		return "" // his account has changed hands
	case e.listed && e.garbled:
		return "" // nobody can tell what he wants
	case !e.listed || !e.active:
		return j.leaver(e, u)
	case e.fault != "":
		return ""
	case u == nil:
		if l != nil && !j.rules.recreate {
			if _, gone := j.book.touched[l.AccountID]; !gone && j.book.restored.IsZero() {
				return "his account " + l.AccountID + " is gone, and nobody took it"
			}
			return ""
		}
		if why := j.unmade(e); why == "" {
			return "he has no account, and nothing speaks against one"
		}
		return ""
	case j.untouchable[u.ID] != "":
		return ""
	case !u.Active():
		return j.off(e, u)
	}
	return j.same(e, u)
}

func (j judge) leaver(e *entry, u *mmsim.User) string {
	switch {
	case u == nil || j.untouchable[u.ID] != "" || u.IsBot || u.IsRemote():
		return ""
	case !e.listed && j.inherited(u):
		return ""
	case !e.listed && j.kept(u): // who was off already stays off
		return ""
	case u.IsAdmin():
		return "he has left and is administrator"
	case !u.Active():
		return ""
	case u.AuthService == "ldap" && j.rules.profile == mmsim.Profile116 && !j.rules.del:
		return ""
	}
	return "he has left and is on"
}

// inherited tells whether somebody active who has no account wants what this one
// has: then its owner's absence may be a new id of the same person.
func (j judge) inherited(u *mmsim.User) bool {
	return slices.ContainsFunc(j.keys(), func(k identity.Key) bool {
		e := j.people[k]
		if l := j.link[k]; !e.wants() || (l != nil && j.byID[l.AccountID] != nil) {
			return false
		}
		return e.user == u.Username || e.mail == u.Email || (e.auth.Data != "" && e.auth.Data == u.AuthData)
	})
}

// wants tells that the directory says something usable about the person.
func (e *entry) wants() bool { return e.listed && e.active && e.fault == "" && !e.garbled }

func (j judge) off(e *entry, u *mmsim.User) string {
	privileged := identity.ParseRoles(u.Roles).Privileged()
	switch {
	case !j.book.ourOff[u.ID][u.DeleteAt]:
		j.seen.add("left off: somebody else did it")
		return ""
	case j.book.undated[u.ID]:
		return ""
	case !j.book.restored.IsZero():
		return "" // a backup may show an account off that was on again since
	case j.rules.guests && !j.guestsOn && (e.guest || u.IsGuest()):
		return ""
	case privileged, u.AuthService == "ldap" && j.rules.profile == mmsim.Profile116:
		return ""
	}
	return fmt.Sprintf("he is active and his account %s is off since %d, by mmsync", u.ID, u.DeleteAt)
}

func (j judge) same(e *entry, u *mmsim.User) string {
	var out []string
	differs := func(what, is, want string, excused bool) {
		if is != want && !excused {
			out = append(out, fmt.Sprintf("%s is %q", what, is))
		}
	}
	oauth := u.AuthService == "gitlab"
	differs("username", u.Username, e.user, j.keeps(e, u, identity.Username))
	differs("e-mail", u.Email, e.mail, j.keeps(e, u, identity.Email))
	differs("position", u.Position, j.title(e, u), false)
	differs("first name", u.FirstName, e.first, oauth)
	differs("administrator", fmt.Sprint(u.IsAdmin()), fmt.Sprint(e.admin && !e.guest), u.IsGuest())
	if !e.auth.IsZero() {
		is := identity.Auth{Service: u.AuthService, Data: u.AuthData}
		excused := !j.rules.changeAuth || identity.ParseRoles(u.Roles).Privileged() || j.claimed(e, "auth") || j.holder("auth", e.auth.Data, u.ID) != nil
		if j.rules.profile == mmsim.Profile538 && is.Service == e.auth.Service || e.auth.Service == j.rules.loginOff {
			excused = true
		}
		differs("login", fmt.Sprint(is), fmt.Sprint(e.auth), excused)
	}
	if why := j.guest(e, u); why != "" {
		out = append(out, why)
	}
	return strings.Join(append(out, j.inPlaces(e, u)...), ", ")
}

func (e *entry) value(f string) string {
	switch f {
	case "username":
		return e.user
	case "email":
		return e.mail
	}
	return e.auth.Data
}

func valueOf(u *mmsim.User, f string) string {
	switch f {
	case "username":
		return u.Username
	case "email":
		return u.Email
	}
	return u.AuthData
}

// claimed tells whether somebody else in the directories wants the same value.
func (j judge) claimed(e *entry, f string) bool {
	v := e.value(f)
	return v != "" && slices.ContainsFunc(j.keys(), func(k identity.Key) bool {
		o := j.people[k]
		return o != e && o.listed && o.fault == "" && !o.garbled && o.value(f) == v
	})
}

func (j judge) holder(f, v, not string) *mmsim.User {
	for i := range j.users {
		if u := &j.users[i]; v != "" && valueOf(u, f) == v && u.ID != not {
			return u
		}
	}
	return nil
}

// keeps tells whether an account rightly keeps another username or e-mail than
// its person is to have.
func (j judge) keeps(e *entry, u *mmsim.User, f identity.Attribute) bool {
	return j.stuck(e, u, string(f), map[string]bool{})
}

func (j judge) stuck(e *entry, u *mmsim.User, f string, walked map[string]bool) bool {
	switch {
	case f == "username" && u.AuthService != "",
		f == "email" && (u.AuthService == "ldap" || u.AuthService == "gitlab"),
		identity.ParseRoles(u.Roles).Privileged(), j.untouchable[u.ID] != "",
		strings.HasPrefix(e.user, "svc-") && f == "username", j.claimed(e, f):
		return true
	}
	walked[u.ID] = true
	return j.taken(f, e.value(f), u.ID, walked)
}

// taken tells whether a value stays with the account that has it.
func (j judge) taken(f, v, not string, walked map[string]bool) bool {
	h := j.holder(f, v, not)
	if h == nil {
		return false
	}
	o := j.people[j.owner[h.ID]]
	switch {
	case walked[h.ID]:
		return f == "email" // a ring of usernames can be broken, one of e-mails cannot
	case o == nil || o.adds || !o.wants() || !h.Active() || o.value(f) == v:
		return true
	}
	return j.stuck(o, h, f, walked)
}

// unmade says why somebody who wants an account rightly has none.
func (j judge) unmade(e *entry) string {
	switch {
	case e.guest && j.rules.guests && !j.guestsOn:
		return "the server makes no guests"
	case j.claimed(e, "username"), j.claimed(e, "email"), j.claimed(e, "auth"):
		return "claimed twice"
	case j.holder("auth", e.auth.Data, "") != nil:
		return "the login is taken"
	case j.taken("username", e.user, "", map[string]bool{}), j.taken("email", e.mail, "", map[string]bool{}):
		return "the name or the e-mail is taken"
	case !slices.ContainsFunc(j.protect, func(p string) bool { return plan.Match(p, e.user) }):
		return ""
	}
	return "the name is protected"
}

// strangers compares the accounts that are not mmsync's with what this test made
// of them.
func (s *storm) strangers(when string) {
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	for id, was := range s.mine {
		if _, owned := s.book.owner[id]; owned {
			continue
		}
		if now, ok := s.sim.User(id); !ok || !reflect.DeepEqual(was, now) {
			s.book.wrong("%s: account %s is not mmsync's and was changed: %+v, was %+v", when, id, now, was)
		}
	}
	for id, why := range s.untouchable {
		if was, ok := s.mine[id]; ok && s.book.owner[id] != (identity.Key{}) {
			s.book.wrong("%s: account %s %s %s mmsync's now", when, id, was.Username, why)
		}
	}
}

// journal compares the calls that had an effect with the ops.
func (s *storm) journal() {
	ops, err := s.db.Ops(s.t.Context(), state.OpFilter{})
	if err != nil {
		s.wrong("the journal cannot be read: %v", err)
	}
	calls := map[state.OpRef][]*attempt{}
	for _, a := range s.book.attempts {
		calls[a.ref] = append(calls[a.ref], a)
	}
	for _, o := range ops {
		if !o.Status.Closed() {
			s.wrong("op %s (%s of %s) is left %s", o.Ref, o.Op.Kind, o.Key, o.Status)
			continue
		}
		done := o.Status == state.OpDone || o.Status == state.OpObserved
		effective, excused := 0, false
		account := o.AccountID
		for _, a := range calls[o.Ref] {
			excused = excused || a.raced || (a.stepped && (a.kind == plan.CreateAccount || a.kind == plan.SetActive)) // dated otherwise than it was sent
			if account == "" {
				account = a.account
			}
			if a.effective {
				effective++
			}
		}
		_, touched := s.book.touched[account]
		touched = touched || isPlace(o.Op.Kind) && s.places.moved[account]
		switch {
		case effective > 1:
			s.wrong("op %s (%s of %s) had its effect %d times", o.Ref, o.Op.Kind, o.Key, effective)
		case effective == 1 && !done && !touched && !excused:
			s.wrong("op %s (%s of %s, account %s) is %s, and had its effect", o.Ref, o.Op.Kind, o.Key, account, o.Status)
		case effective == 0 && o.Status == state.OpDone && !excused && !touched && readBack(o.Op.Kind):
			s.wrong("op %s (%s of %s) is done, and had no effect", o.Ref, o.Op.Kind, o.Key)
		}
	}
}

func readBack(k plan.OpKind) bool {
	return k == plan.CreateAccount || k == plan.SetActive || k == plan.SetRoles || k == plan.SetAuth
}
