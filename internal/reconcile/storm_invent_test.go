package reconcile_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
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
	s.sim = mmsim.New(mmsim.Options{
		Profile: r.profile, AdminToken: adminToken, Seed: s.seed + 1, LostConcurrentWrites: s.chance(60), MaxCalls: -1,
	})
	admin, _ := s.sim.User(s.sim.AdminID())
	s.mine[admin.ID] = admin
	s.untouchable[admin.ID] = "mmsync's own token belongs to"
	for range 3 + s.r.IntN(pick(s.r, 3, 8, 23)) {
		s.join()
	}
	s.furnish()
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
	s.people[e.key] = e
	return e
}

// one gives somebody of the directories.
func (s *storm) one() *entry {
	keys := s.keys()
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

// edit changes an account behind mmsync's back.
func (s *storm) edit(id, what string, change func(*mmsim.User)) {
	at := time.Now()
	s.sim.SetUser(id, func(u *mmsim.User) {
		change(u)
		u.UpdateAt = max(u.UpdateAt+1, at.Add(s.offset).UnixMilli())
	})
	u, _ := s.sim.User(id)
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	if _, ok := s.mine[id]; ok {
		s.mine[id] = u
	}
	s.book.touched[id] = at
	s.seen.add("server: " + what)
	s.book.tell("server: %s: %s %s <%s> %s off=%d", what, id, u.Username, u.Email, u.Roles, u.DeleteAt)
}

// meddle lets other people work on the server. Each account is named, so that a
// run under way can be told.
func (s *storm) meddle(n int) (ids []string) {
	for range n {
		users := slices.DeleteFunc(s.sim.Users(), func(u mmsim.User) bool {
			return u.ID == s.sim.AdminID() || (s.untouchable[u.ID] != "" && s.mine[u.ID].ID == "")
		})
		if len(users) == 0 {
			return ids
		}
		u := users[s.r.IntN(len(users))]
		ids = append(ids, u.ID)
		what := pick(s.r, "renamed", "new e-mail", "switched off", "switched on", "made administrator", "role added", "roles taken", "profile edited", "profile edited", "deleted")
		name := s.name()
		bot := u.IsBot || u.RemoteID != ""
		switch {
		case what == "renamed" && !bot:
			s.edit(u.ID, what, func(u *mmsim.User) { u.Username = name })
		case what == "new e-mail" && !bot:
			s.edit(u.ID, what, func(u *mmsim.User) { u.Email = name + "@z.test" })
		case what == "switched off":
			s.edit(u.ID, what, func(u *mmsim.User) { u.DeleteAt = time.Now().Add(s.offset).UnixMilli() + 7 })
		case what == "switched on":
			s.edit(u.ID, what, func(u *mmsim.User) { u.DeleteAt = 0 })
		case what == "made administrator" && !bot:
			s.edit(u.ID, what, func(u *mmsim.User) { u.Roles = "system_user system_admin" })
		case what == "role added" && !bot:
			s.edit(u.ID, what, func(u *mmsim.User) { u.Roles += " system_post_all" })
		case what == "roles taken":
			s.edit(u.ID, what, func(u *mmsim.User) { u.Roles = "system_user" })
		case what == "deleted" && s.chance(50):
			s.sim.RemoveUser(u.ID)
			s.book.mu.Lock()
			delete(s.mine, u.ID)
			s.book.touched[u.ID] = time.Now()
			s.book.tell("server: deleted %s %s", u.ID, u.Username)
			s.book.mu.Unlock()
			s.seen.add("server: " + what)
		default:
			s.edit(u.ID, "profile edited", func(u *mmsim.User) { u.Position = "edited " + name })
		}
	}
	return ids
}

// upheaval is what happens to the server as a whole.
func (s *storm) upheaval() {
	if s.chance(12) {
		s.setClock(pick(s.r, -24*time.Hour, -time.Hour, -10*time.Second, 10*time.Second, 10*time.Minute, 26*time.Hour))
	}
	if s.chance(20) {
		s.backups = append(s.backups, backup{s.sim.SnapshotState(), maps.Clone(s.mine), nil})
		s.tell("server: a backup is made")
	}
	if n := len(s.backups); n > 0 && s.chance(15) {
		b := s.backups[s.r.IntN(n)]
		before := map[string]int64{}
		for _, u := range s.sim.Users() {
			before[u.ID] = u.UpdateAt
		}
		s.sim.RestoreState(b.state)
		s.book.mu.Lock()
		mine := maps.Clone(b.mine)
		for id := range s.book.owner {
			if s.book.made[id] != (identity.Key{}) {
				delete(mine, id)
			}
			delete(mine, id)
		}
		s.mine = mine
		clear(s.tokens)
		s.book.restored = time.Now()
		for _, u := range s.sim.Users() {
			s.book.touched[u.ID] = time.Now()
		}
		for id := range before {
			s.book.touched[id] = time.Now()
		}
		for id, at := range s.book.newest {
			if _, owned := s.book.owner[id]; !owned {
				continue
			}
			u, ok := s.sim.User(id)
			if before[id] >= at && (!ok || u.UpdateAt < at) {
				s.book.setBack = true
				s.book.tell("server: %s is older than mmsync left it, or gone: %v, %d now, %d then", id, !ok, u.UpdateAt, at)
				if s.book.newest[id] = u.UpdateAt; !ok {
					delete(s.book.newest, id)
				}
			}
		}
		s.book.tell("server: set back to a backup; something mmsync wrote is lost: %v", s.book.setBack)
		s.book.mu.Unlock()
		s.seen.add("server set back")
	}
	if s.chance(12) {
		settings := pick(s.r, map[string]string{}, map[string]string{"MM_EMAILSETTINGS_REQUIREEMAILVERIFICATION": "true"},
			map[string]string{"MM_RATELIMITSETTINGS_ENABLE": "true", "MM_RATELIMITSETTINGS_PERSEC": "10", "MM_RATELIMITSETTINGS_MAXBURST": "20"})
		s.sim.Restart(settings)
		s.tell("server: restarted with %v", settings)
		s.seen.add("server restarted")
	}
	if s.chance(6) {
		s.shield()
	}
}

// setClock sets the server's clock. What mmsync wrote at a time that is still to
// come by the new one proves nothing about a server that was set back.
func (s *storm) setClock(by time.Duration) {
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	s.offset += by
	s.sim.SetClockOffset(s.offset)
	now := time.Now().Add(s.offset).UnixMilli()
	maps.DeleteFunc(s.book.newest, func(_ string, at int64) bool { return at > now })
	s.book.setBack = s.book.setBack && by > 0
	s.book.tell("server: the clock is off by %s now", s.offset)
	s.seen.add("server clock moved")
}

// shield protects an account of mmsync's own by a new pattern.
func (s *storm) shield() {
	links, err := s.db.Links(s.t.Context(), state.LinkFilter{})
	if err != nil || len(links) == 0 {
		return
	}
	l := links[s.r.IntN(len(links))]
	u, ok := s.sim.User(l.AccountID)
	if !ok || u.Username != l.Applied.Profile.Username || s.book.flying[u.ID] != "" {
		return
	}
	s.protect = append(s.protect, u.Username)
	s.untouchable[u.ID] = "is protected by the pattern " + u.Username + ","
	s.tell("configuration: the pattern %s is protected", u.Username)
	s.seen.add("a linked account is protected")
}

// trouble arms faults of the server for one run.
func (s *storm) trouble(run *stormRun) (over func()) {
	var cancel []func()
	for range s.r.IntN(4) {
		f := mmsim.Fault{Seed: s.r.Uint64(), Count: 1 + s.r.IntN(3)}
		if s.chance(50) {
			f.Skip = s.r.IntN(20)
		}
		if s.chance(40) {
			f.Count, f.Probability = 0, 0.03+s.r.Float64()*0.15
		}
		what := pick(s.r, "429", "5xx", "cut before", "cut after", "lost write", "database away", "users locked", "html", "redirect", "cache lag", "latency", "time-out")
		writes := s.chance(50)
		switch what {
		case "429":
			f.Status, f.RetryAfter = http.StatusTooManyRequests, s.r.IntN(3)
		case "5xx":
			f.Status = pick(s.r, 500, 502, 503, 504)
		case "cut before":
			f.CutBefore = true
		case "cut after":
			f.CutAfter = true
		case "lost write":
			f.LostWrite, writes = true, false
			f.Match = func(r *http.Request) bool {
				return r.Method != http.MethodGet && writePath.MatchString(r.URL.Path)
			}
		case "database away":
			f.DatabaseAway, f.Count = true, 1+s.r.IntN(20)
		case "users locked":
			f.UsersLocked, f.Match, writes = 30*time.Second, func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/patch") }, false
		case "html":
			f.HTML = true
		case "redirect":
			f.Redirect = "http://elsewhere.test/"
		case "cache lag":
			f = mmsim.Fault{CacheLag: time.Duration(1+s.r.IntN(20)) * time.Second, Match: func(r *http.Request) bool {
				return r.URL.Path == "/api/v4/users/ids" || (r.Method == http.MethodGet && writePath.MatchString(r.URL.Path))
			}}
			writes, run.lagged = false, true
		case "latency":
			f.Latency, writes = time.Duration(100+s.r.IntN(4000))*time.Millisecond, false
		case "time-out":
			f.Latency, f.Count = 50*time.Second, 1
		}
		if writes {
			f.Match = func(r *http.Request) bool { kind, _ := writeOf(r); return kind != "" }
		}
		if match := f.Match; f.Latency > 0 || f.UsersLocked > 0 { // no call takes longer than its client's patience and the way there
			f.Match = func(r *http.Request) bool { return r.Header.Get("Late") == "" && (match == nil || match(r)) }
		}
		cancel = append(cancel, s.sim.Fail(f))
		s.seen.add("fault: " + what)
		s.tell("run %s: %s on writes %v, skip %d count %d probability %.2f latency %s lag %s", run.name, what, writes, f.Skip, f.Count, f.Probability, f.Latency, f.CacheLag)
	}
	return func() {
		for _, c := range cancel {
			c()
		}
	}
}
