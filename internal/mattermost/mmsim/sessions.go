package mmsim

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	errCredentials = "api.user.login.invalid_credentials_email_username"
	errTooMany     = "api.user.check_user_login_attempts.too_many.app_error"
)

// session is a login, or what a personal access token works through.
type session struct {
	id, token, userID, csrf string
	patID                   string // the access token that made it
	createAt, expiresAt     int64
	cached                  bool // known without the database
}

// pat is a personal access token. Disabling it, switching all of them off and
// deactivating its owner keep it; it works again afterwards.
type pat struct {
	id, token, userID, description string
	active                         bool
}

// signIn finds out who asks. A token that is unknown, revoked, disabled or
// whose owner is deactivated is the same as none, and so is a good one that
// is not cached while the database is away.
func (s *Server) signIn(q *request, away bool) {
	scheme, token, _ := strings.Cut(q.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") || token == "" {
		return
	}
	s.mu.RLock()
	one, fresh := s.lookSession(token)
	if one != nil && (one.cached || away) {
		if one.cached {
			q.session, q.asker = one, s.db.users[one.userID]
		}
		s.mu.RUnlock()
		return
	}
	s.mu.RUnlock()
	if one == nil && !fresh || away {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if one, fresh = s.lookSession(token); fresh {
		p := s.db.pats[token]
		now := s.millis()
		one = &session{
			id: s.ids.id(), token: token, userID: p.userID, patID: p.id,
			createAt: now, expiresAt: now + (100 * 365 * 24 * time.Hour).Milliseconds(),
		}
		s.db.sessions[token] = one
	}
	if one != nil {
		one.cached = true
		q.session, q.asker = one, s.db.users[one.userID]
	}
}

// lookSession returns the live session of a token, or says that the token is
// an access token that has none yet.
func (s *Server) lookSession(token string) (one *session, fresh bool) {
	p := s.db.pats[token]
	one = s.db.sessions[token]
	userID := ""
	switch {
	case p != nil:
		if !p.active || !s.conf.flag("ServiceSettings", "EnableUserAccessTokens") {
			return nil, false
		}
		userID = p.userID
	case one != nil && one.patID == "" && one.expiresAt > s.millis():
		userID = one.userID
	default:
		return nil, false
	}
	u := s.db.users[userID]
	if u == nil || !u.Active() {
		return nil, false
	}
	return one, one == nil
}

func (s *Server) dropSessions(userID string) {
	for token, one := range s.db.sessions {
		if one.userID == userID {
			delete(s.db.sessions, token)
		}
	}
}

// login names neither whether the account exists nor whether it has a
// password. Ten wrong passwords lock it, for the right one too.
func (s *Server) login(q *request) reply {
	var in struct {
		LoginID  string `json:"login_id"`
		Password string `json:"password"`
	}
	if err := q.decode(&in); err != nil {
		return q.refuse(err, errBody)
	}
	id := s.db.byName[strings.ToLower(in.LoginID)]
	if id == "" {
		id = s.db.byEmail[normalEmail(in.LoginID)]
	}
	u := s.db.users[id]
	refuse := func(id string) reply { return fail(http.StatusUnauthorized, id) }
	switch {
	case u == nil:
		return refuse(errCredentials)
	case u.IsRemote() && s.profile != Profile538:
		return refuse("api.user.login.remote_users.login.error")
	case u.IsBot:
		return refuse("api.user.login.bot_login_forbidden.app_error")
	case s.lockedOut(u):
		return refuse(errTooMany)
	case u.Password == "":
		s.countServiceLogin(u)
		return refuse(errCredentials) // as a wrong password
	case u.Password != in.Password:
		row := copyUser(u)
		row.FailedAttempts++
		s.put(&row)
		return refuse(errCredentials)
	case !u.Active():
		return refuse("api.user.login.inactive.app_error")
	case s.conf.flag("EmailSettings", "RequireEmailVerification") && !u.EmailVerified:
		return refuse("api.user.login.not_verified.app_error")
	}
	shown := *u // the answer still has the failed attempts that end here
	row, before := copyUser(u), copyUser(u)
	row.FailedAttempts, before.FailedAttempts = 0, 0
	if s.profile != Profile538 {
		// 11.6 raises update_at with each login, so it is no sign of a change;
		// reads by id go on showing the old one until the next write.
		row.UpdateAt = q.now
	}
	s.put(&row)
	s.memory[u.ID] = &before
	one := s.newSession(u.ID)
	v := s.viewFor(u, u)
	v.own = true
	return reply{status: http.StatusOK, body: appendUser(nil, &shown, v), token: one.token}
}

// lockedOut takes nil for an account that is not.
func (s *Server) lockedOut(u *User) bool {
	return u != nil && u.FailedAttempts >= s.conf.number("ServiceSettings", "MaximumLoginAttempts")
}

// countServiceLogin: a password for an account of another service is not
// counted, except that 5.38, after PUT auth, goes by the cached row, which has
// no service yet.
func (s *Server) countServiceLogin(u *User) {
	cached := s.memory[u.ID]
	if s.profile != Profile538 || cached == nil || cached.sso() {
		return
	}
	row := copyUser(u)
	row.FailedAttempts++
	s.put(&row)
	s.memory[u.ID] = cached
}

// newSession needs the lock.
func (s *Server) newSession(userID string) *session {
	now := s.millis()
	one := &session{
		id: s.ids.id(), token: s.ids.id(), userID: userID, csrf: s.ids.id(), createAt: now,
		expiresAt: now + (180 * 24 * time.Hour).Milliseconds(),
	}
	s.db.sessions[one.token] = one
	return one
}

func (s *Server) logout(q *request) reply {
	delete(s.db.sessions, q.session.token)
	return statusOK()
}

// loginType is there in 11.6 and says nothing.
func (s *Server) loginType(*request) reply {
	return reply{status: http.StatusNotFound, body: []byte{}, kind: "text/plain; charset=utf-8"}
}

// switchLogin to SAML gives a link although SAML is not set up; the way back
// was only ever seen to be refused.
func (s *Server) switchLogin(q *request) reply {
	var in struct {
		Current  string `json:"current_service"`
		New      string `json:"new_service"`
		Email    string `json:"email"`
		Password string `json:"password"`
	}
	if err := q.decode(&in); err != nil {
		return q.refuse(err, errBody)
	}
	switch {
	case in.Current == "email" && in.New == "ldap" && s.profile == Profile538 && s.lockedOut(s.db.users[s.db.byEmail[normalEmail(in.Email)]]):
		return fail(http.StatusUnauthorized, errTooMany)
	case in.Current == "email" && in.New == "ldap":
		return fail(http.StatusNotImplemented, "api.user.email_to_ldap.not_available.app_error")
	case in.Current == "email" && in.New != "":
		u := s.db.users[s.db.byEmail[normalEmail(in.Email)]]
		if u == nil || u.Password == "" || u.Password != in.Password {
			return fail(http.StatusUnauthorized, "api.user.check_user_password.invalid.app_error")
		}
		return ok(http.StatusOK, map[string]string{"follow_link": s.siteURL() + "/login/sso/" + in.New +
			"?action=email_to_sso&email_token=" + s.ids.text(64)})
	case in.Current != "" && in.New == "email":
		if s.profile == Profile538 {
			return fail(http.StatusForbidden, "api.user.oauth_to_email.context.app_error")
		}
		return expired()
	}
	return badBody()
}

// listSessions of an unknown account is an empty list.
func (s *Server) listSessions(q *request) reply {
	id := q.params["id"]
	if !q.admin() && !q.self(id) {
		return forbidden()
	}
	var found []*session
	for _, one := range s.db.sessions {
		if one.userID == id {
			found = append(found, one)
		}
	}
	slices.SortFunc(found, func(a, b *session) int {
		return cmp.Or(cmp.Compare(b.createAt, a.createAt), cmp.Compare(b.id, a.id))
	})
	platform := "Unknown"
	if s.profile == Profile538 {
		platform = "Windows"
	}
	out := make([]map[string]any, 0, len(found))
	for _, one := range found {
		out = append(out, one.shown(s.db.users[id], platform))
	}
	return ok(http.StatusOK, out)
}

// shown takes what the server calls a platform it does not know.
func (one *session) shown(u *User, platform string) map[string]any {
	guest, roles := "false", ""
	if u != nil {
		guest, roles = strconv.FormatBool(u.IsGuest()), u.Roles
	}
	props := map[string]string{
		"browser": "Unknown/0.0", "csrf": one.csrf, "isMobile": "false", "isOAuthUser": "false",
		"isSaml": "false", "is_guest": guest, "os": "", "platform": platform,
	}
	if one.patID != "" {
		props = map[string]string{"is_guest": guest, "type": "UserAccessToken", "user_access_token_id": one.patID}
	}
	return map[string]any{
		"id": one.id, "token": "", "create_at": one.createAt, "expires_at": one.expiresAt,
		"last_activity_at": one.createAt, "user_id": one.userID, "device_id": "", "roles": roles,
		"is_oauth": false, "expired_notify": false, "props": props, "team_members": []string{}, "local": false,
	}
}

// revokeSessions answers 200 for unknown accounts too. Access tokens make a
// new session when they are used next.
func (s *Server) revokeSessions(q *request) reply {
	id := q.params["id"]
	if !q.admin() && !q.self(id) {
		return forbidden()
	}
	s.dropSessions(id)
	return statusOK()
}

func (p *pat) shown() map[string]any {
	return map[string]any{"id": p.id, "user_id": p.userID, "description": p.description, "is_active": p.active}
}

func (s *Server) listTokens(q *request) reply {
	id := q.params["id"]
	if !q.admin() && !q.self(id) {
		return forbidden()
	}
	out := []map[string]any{}
	for _, p := range s.db.pats {
		if p.userID == id {
			out = append(out, p.shown())
		}
	}
	slices.SortFunc(out, func(a, b map[string]any) int {
		x, _ := a["id"].(string)
		y, _ := b["id"].(string)
		return strings.Compare(x, y)
	})
	return ok(http.StatusOK, out)
}

// createToken needs a description and answers 200, not 201. A plain user may
// not make one, not even for himself.
func (s *Server) createToken(q *request) reply {
	var in struct {
		Description string `json:"description"`
	}
	if !s.conf.flag("ServiceSettings", "EnableUserAccessTokens") {
		return fail(http.StatusNotImplemented, "app.user_access_token.disabled")
	}
	if !q.admin() {
		return forbidden()
	}
	if err := q.decode(&in); err != nil || in.Description == "" {
		return badBody()
	}
	u := s.db.users[q.params["id"]]
	if u == nil {
		return missingUser()
	}
	p := s.db.pats[s.addToken(u.ID, "", in.Description)]
	out := p.shown()
	out["token"] = p.token
	return ok(http.StatusOK, out)
}

func (s *Server) disableToken(q *request) reply {
	return s.changeToken(q, func(p *pat) { p.active = false })
}

func (s *Server) enableToken(q *request) reply {
	return s.changeToken(q, func(p *pat) { p.active = true })
}

func (s *Server) revokeToken(q *request) reply {
	return s.changeToken(q, func(p *pat) { delete(s.db.pats, p.token) })
}

func (s *Server) changeToken(q *request, change func(*pat)) reply {
	var in struct {
		TokenID string `json:"token_id"`
	}
	if err := q.decode(&in); err != nil || in.TokenID == "" {
		return badBody()
	}
	if !q.admin() {
		return forbidden()
	}
	for _, p := range s.db.pats {
		if p.id == in.TokenID {
			change(p)
			delete(s.db.sessions, p.token)
			return statusOK()
		}
	}
	return fail(http.StatusNotFound, "app.user_access_token.get_by_user.app_error")
}
