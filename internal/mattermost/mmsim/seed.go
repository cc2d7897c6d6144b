package mmsim

import (
	"cmp"
	"slices"
)

// Users returns all accounts, sorted by username.
func (s *Server) Users() []User {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]User, 0, len(s.db.users))
	for _, u := range s.db.byUsername() {
		out = append(out, copyUser(u))
	}
	return out
}

// User returns the account with this id.
func (s *Server) User(id string) (User, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.found(id)
}

// UserByName returns the account with this username.
func (s *Server) UserByName(name string) (User, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.found(s.db.byName[name])
}

func (s *Server) found(id string) (User, bool) {
	u, known := s.db.users[id]
	if !known {
		return User{}, false
	}
	return copyUser(u), true
}

// AddUser stores an account behind the API's back: no rule is checked and no
// seat counted. A missing id, missing times, missing role and missing locale
// are filled in. It panics when the id, username, e-mail or auth data is taken:
// that is a mistake in the test.
func (s *Server) AddUser(u User) User {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addUser(u)
}

// AddUsers stores many accounts as [Server.AddUser] does.
func (s *Server) AddUsers(users []User) []User {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]User, len(users))
	for i, u := range users {
		out[i] = s.addUser(u)
	}
	return out
}

func (s *Server) addUser(u User) User {
	row := copyUser(&u)
	if row.ID == "" {
		row.ID = s.ids.id()
	}
	now := s.millis()
	row.CreateAt = cmp.Or(row.CreateAt, now)
	row.UpdateAt = cmp.Or(row.UpdateAt, row.CreateAt)
	row.LastPasswordUpdate = cmp.Or(row.LastPasswordUpdate, row.CreateAt)
	row.Roles = cmp.Or(row.Roles, roleUser)
	row.Locale = cmp.Or(row.Locale, "en")
	row.remoteNull = row.RemoteID == "" && (row.IsBot || s.profile == Profile538)
	if row.IsBot {
		row.Email = cmp.Or(row.Email, row.Username+"@localhost")
		row.BotCreateAt = cmp.Or(row.BotCreateAt, row.CreateAt)
		row.BotUpdateAt = cmp.Or(row.BotUpdateAt, row.BotCreateAt)
	}
	if s.db.users[row.ID] != nil || s.taken(&row) != "" {
		panic("mmsim: AddUser: " + row.Username + ": id, username, e-mail or auth data is taken")
	}
	s.put(&row)
	return copyUser(&row)
}

// SetUser changes an account as an operator with the database open would:
// nothing is checked and update_at stays unless change sets it. It does nothing
// when the id is unknown.
func (s *Server) SetUser(id string, change func(*User)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.db.users[id]
	if u == nil {
		return
	}
	row := copyUser(u)
	change(&row)
	row.ID = id
	s.put(&row)
}

// SetGroupNames says what the groups of a licensed server are called: their names are
// refused to accounts as those of other accounts are (server/channels/app/user.go,
// isUniqueToGroupNames, 11.6), and no look-up of accounts finds them.
func (s *Server) SetGroupNames(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.db.groupNames = map[string]bool{}
	for _, name := range names {
		s.db.groupNames[name] = true
	}
}

// RemoveUser takes an account away for good, behind the API's back.
func (s *Server) RemoveUser(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase(id)
}

func (s *Server) erase(id string) {
	for token, one := range s.db.sessions {
		if one.userID == id {
			delete(s.db.sessions, token)
		}
	}
	for token, one := range s.db.pats {
		if one.userID == id {
			delete(s.db.pats, token)
		}
	}
	for _, t := range s.db.teams {
		delete(t.members, id)
	}
	for _, c := range s.db.channels {
		delete(c.members, id)
	}
	delete(s.memory, id)
	s.db.remove(id)
}

// AddToken gives an account a personal access token behind the API's back.
func (s *Server) AddToken(userID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addToken(userID, "", "seeded")
}

// addToken is called while the server is made or with the lock held.
func (s *Server) addToken(userID, token, description string) string {
	if token == "" {
		token = s.ids.id()
	}
	s.db.pats[token] = &pat{id: s.ids.id(), token: token, userID: userID, description: description, active: true}
	return token
}

// EnableToken switches an access token on or off behind the API's back.
func (s *Server) EnableToken(token string, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.db.pats[token]; p != nil {
		p.active = on
		delete(s.db.sessions, token)
	}
}

// ExpireSessions ends the login sessions of an account behind the API's back;
// its access tokens go on working.
func (s *Server) ExpireSessions(userID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for token, one := range s.db.sessions {
		if one.userID == userID && one.patID == "" {
			delete(s.db.sessions, token)
		}
	}
}

// State is a server's database at one time.
type State struct{ db *db }

// SnapshotState returns the database as it is now.
func (s *Server) SnapshotState() State {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return State{db: s.db.clone()}
}

// RestoreState sets the server back to a snapshot, as a restored backup does.
// A snapshot may be restored more than once, on another server too.
func (s *Server) RestoreState(st State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.db = st.db.clone()
	s.forgetCaches()
}

// put stores a row and keeps the one it replaces while a cache is asked to lag.
func (s *Server) put(u *User) {
	if s.history != nil {
		now := s.millis()
		s.history[u.ID] = append(s.history[u.ID], pastRow{until: now, node: s.writer, row: s.db.users[u.ID]})
	}
	delete(s.memory, u.ID)
	s.db.put(u)
}

// pastRow is what a cache that lags still shows: the row as it was until a
// time; nil before the account was made.
type pastRow struct {
	until int64
	node  int // who changed it
	row   *User
}

func (s *Server) trackHistory() {
	s.faults.mu.Lock()
	wanted := slices.ContainsFunc(s.faults.list, func(a *armed) bool { return a.CacheLag > 0 })
	replica := slices.ContainsFunc(s.faults.list, func(a *armed) bool { return a.MemberLag > 0 })
	s.faults.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.replica = replica; !replica {
		s.past = nil
	}
	switch {
	case !wanted && s.nodes == 0:
		s.history = nil
	case s.history == nil:
		s.history = map[string][]pastRow{}
	}
}

// byID reads as the server's memory does, which may lag when asked to.
func (s *Server) byID(q *request, id string) *User {
	if q.lag > 0 {
		for _, past := range s.history[id] {
			if past.until > q.now-q.lag {
				return past.row
			}
		}
	}
	if u := s.behind(q, id); u != nil {
		return u
	}
	if u := s.memory[id]; u != nil {
		return u
	}
	return s.db.users[id]
}
