package reconcile_test

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// invent makes up the company, what its operator configured, and a server that
// was there before mmsync.
func (s *storm) invent() {
	r := &s.rules
	r.profile = pick(s.r, mmsim.Profile116, mmsim.Profile116, mmsim.Profile538)
	r.workers = pick(s.r, 1, 4)
	r.adopt, r.recreate, r.changeAuth, r.revoke, r.del = s.chance(50), s.chance(50), s.chance(50), s.chance(50), s.chance(50)
	r.lookAgain = pick(s.r, 0, 5*time.Millisecond, 40*time.Second)
	r.tight = s.chance(10)
	if r.sources = []string{"corp"}; s.chance(25) {
		r.sources = []string{"corp", "hr"}
	}
	if s.slow = s.chance(40); s.slow {
		r.grace = plan.Grace{Disabled: pick(s.r, 0, 24*time.Hour), Missing: 72 * time.Hour, OutOfScope: 48 * time.Hour}
	} else if s.chance(60) {
		r.grace = plan.Grace{Missing: 30 * time.Minute, OutOfScope: 20 * time.Minute}
	}
	s.protect = []string{"svc-*"}
	services := map[string]string{"saml": "EnableSaml", "ldap": "EnableLdap", "gitlab": "EnableSignUpWithGitLab"}
	if s.more.IntN(100) < 30 {
		r.loginOff = pick(s.more, slices.Sorted(maps.Keys(services))...)
		delete(services, r.loginOff)
	}
	s.sim = mmsim.New(mmsim.Options{
		Profile: r.profile, AdminToken: adminToken, Seed: s.seed + 1, LostConcurrentWrites: s.chance(60), MaxCalls: -1,
		Logins: slices.Sorted(maps.Values(services)),
	})
	admin, _ := s.sim.User(s.sim.AdminID())
	s.mine[admin.ID] = admin
	s.untouchable[admin.ID] = "mmsync's own token belongs to"
	for range 3 + s.r.IntN(pick(s.r, 3, 8, 23)) {
		s.join()
	}
	s.furnish()
	s.unite()
	s.host()
	s.found()
	s.tell("%+v", *r)
	for _, k := range s.keys() {
		s.tell("%s", s.people[k])
	}
	for _, id := range slices.Sorted(maps.Keys(s.mine)) {
		u := s.mine[id]
		s.tell("on the server: %s %s <%s> %s %s:%s off=%d bot=%v remote=%q", id, u.Username, u.Email, u.Roles, u.AuthService, u.AuthData, u.DeleteAt, u.IsBot, u.RemoteID)
	}
}

// furnish puts accounts on the server that mmsync did not make.
func (s *storm) furnish() {
	long := time.Now().Add(-1000 * time.Hour).UnixMilli()
	put := func(u mmsim.User, why string) {
		if u.Email == "" {
			u.Email = u.Username + "@chat.test"
		}
		u.CreateAt = long
		for _, other := range s.sim.Users() {
			if other.Username == u.Username || other.Email == u.Email || (u.AuthData != "" && other.AuthData == u.AuthData) {
				return
			}
		}
		made := s.sim.AddUser(u)
		if s.mine[made.ID] = made; why != "" {
			s.untouchable[made.ID] = why
		}
	}
	put(mmsim.User{Username: "some.bot", IsBot: true, OwnerID: s.sim.AdminID()}, "is a bot's")
	put(mmsim.User{Username: "svc-backup", Roles: "system_user"}, "is protected")
	for i := range s.r.IntN(4) {
		u := mmsim.User{Username: fmt.Sprintf("stranger%d", i)}
		switch s.r.IntN(4) {
		case 0:
			u.DeleteAt = long + 5
		case 1:
			u.RemoteID = "abcdefghijklmnopqrstuvwxyz"
		case 2:
			u.Roles = "system_user system_admin"
		}
		put(u, "")
	}
	for _, k := range s.keys() {
		e := s.people[k]
		if !s.chance(25) {
			continue
		}
		s.seen.add("an account was there before")
		switch u := (mmsim.User{Username: "was." + e.user, Email: "was." + e.mail}); s.r.IntN(4) {
		case 0:
			u.Username = e.user
			put(u, "")
		case 1:
			u.Email = e.mail
			put(u, "")
		case 2:
			if s.rules.profile == mmsim.Profile538 {
				continue // it shows nobody whose login that is, and refuses a second one for ever
			}
			u.AuthService, u.AuthData = e.auth.Service, e.auth.Data
			if s.chance(30) {
				u.Username, u.Email = e.user, e.mail
			}
			if s.chance(20) {
				u.Username = "svc-" + e.user
				put(u, "is protected")
				continue
			}
			put(u, "")
		default:
			u.Username, u.IsBot, u.OwnerID = e.user, true, s.sim.AdminID()
			put(u, "is a bot's")
		}
	}
}

func (s *storm) name() string {
	s.names++
	return fmt.Sprintf("n%02d", s.names)
}

func (s *storm) join() *entry {
	s.nextID++
	e := &entry{key: identity.Key{Source: pick(s.r, s.rules.sources...), Anchor: fmt.Sprintf("p%02d", s.nextID)}, listed: true, active: true, gone: identity.PresenceGone}
	e.user = s.name()
	e.mail, e.title, e.first = e.user+"@x.test", pick(s.r, "", "Clerk", "Boss"), "F"+e.user
	e.admin = s.chance(12)
	if s.chance(40) {
		e.auth = identity.Auth{Service: pick(s.r, "saml", "saml", "ldap", "gitlab"), Data: "d-" + e.key.Anchor}
	}
	if s.people[e.key] = e; s.rules.several {
		e.number = e.key.String()
	}
	s.wish(e)
	return e
}

// one gives somebody of the directories that own accounts.
func (s *storm) one() *entry {
	keys := slices.DeleteFunc(s.keys(), func(k identity.Key) bool { return s.people[k].adds })
	return s.people[keys[s.r.IntN(len(keys))]]
}

func (s *storm) someone(is func(*entry) bool) *entry {
	for range 8 {
		if e := s.one(); is(e) {
			return e
		}
	}
	return nil
}

// staff changes the directories.
func (s *storm) staff() {
	here := func(e *entry) bool { return e.listed && e.active }
	for range s.r.IntN(5) {
		what := pick(s.r, "join", "disable", "disable", "remove", "remove", "out of scope", "leave broken", "rename", "rename", "swap", "ring", "mail", "swap mails",
			"admin", "admin", "return", "return", "title", "fault", "garble", "claim", "login", "born again")
		e := s.someone(here)
		if what == "return" {
			e = s.someone(func(e *entry) bool { return !here(e) })
		}
		if e == nil || (what != "join" && what != "return" && what != "born again" && len(s.keys()) < 3) {
			continue
		}
		switch what {
		case "join":
			e = s.join()
		case "disable":
			e.active = false
		case "remove", "out of scope":
			e.listed = false
			if e.gone = identity.PresenceGone; what != "remove" {
				e.gone = identity.PresenceOutOfScope
			}
		case "leave broken":
			e.active, e.fault = false, "the e-mail is none"
		case "rename":
			if e.user = s.name(); s.chance(50) {
				e.mail = e.user + "@x.test"
			}
		case "swap", "swap mails":
			if o := s.someone(here); o != nil {
				if what == "swap" {
					e.user, o.user = o.user, e.user
				} else {
					e.mail, o.mail = o.mail, e.mail
				}
			}
		case "ring":
			a, b := s.someone(here), s.someone(here)
			if a != nil && b != nil {
				e.user, a.user, b.user = a.user, b.user, e.user
			}
		case "mail":
			e.mail = s.name() + "@y.test"
		case "admin":
			e.admin = !e.admin
		case "return":
			e.listed, e.active, e.fault, e.garbled = true, true, "", false
		case "title":
			e.title = "T" + s.name()
		case "fault":
			if e.fault != "" {
				e.fault = ""
			} else {
				e.fault = "the username is none"
			}
		case "garble":
			e.garbled = !e.garbled
		case "claim":
			if o := s.someone(here); o != nil && o != e {
				if s.chance(50) {
					e.user = o.user
				} else {
					e.mail = o.mail
				}
			}
		case "login":
			if e.auth.IsZero() || s.chance(50) {
				e.auth = identity.Auth{Service: pick(s.r, "saml", "ldap", "gitlab"), Data: "e-" + s.name()}
			} else {
				e.auth = identity.Auth{}
			}
		case "born again": // the directory gave the person another id
			e.listed = false
			n := s.join()
			n.user, n.mail = e.user, e.mail
			s.tell("directory: %s: %s", what, n)
		}
		s.seen.add("directory: " + what)
		s.tell("directory: %s: %s", what, e)
	}
}
