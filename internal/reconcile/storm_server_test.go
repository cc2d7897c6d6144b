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
	"github.com/mmsync/mmsync/internal/state"
)

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
		clear(s.places.left)
		clear(s.places.gave)
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
				// Two saves within a moment can be stamped in the other order; no backup is that young.
				s.book.setBack = s.book.setBack || !ok || at-u.UpdateAt > 2000
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
	if s.rules.guests && s.more.IntN(10) == 0 {
		s.guestFeature(!s.guestsOn)
	}
	if n := s.more.IntN(40); n < 3 && s.places.ids != nil {
		s.sim.Restart(map[string]string{"MM_TEAMSETTINGS_MAXUSERSPERTEAM": fmt.Sprint(1 + s.more.IntN(5))})
		s.tell("server: teams are full")
		s.seen.add("a team is full")
	} else if s.chance(12) {
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
