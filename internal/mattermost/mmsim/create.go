package mmsim

import (
	"net/http"
	"strings"
)

// newUser is what POST /users and the full PUT read. What is not listed here
// (roles, create_at, delete_at, is_bot, mfa_active, remote_id on creation) is
// ignored by the server too.
type newUser struct {
	ID                  string            `json:"id"`
	Username            string            `json:"username"`
	Email               string            `json:"email"`
	EmailVerified       bool              `json:"email_verified"`
	Password            string            `json:"password"`
	AuthService         string            `json:"auth_service"`
	AuthData            *string           `json:"auth_data"`
	Nickname            string            `json:"nickname"`
	FirstName           string            `json:"first_name"`
	LastName            string            `json:"last_name"`
	Position            string            `json:"position"`
	Locale              string            `json:"locale"`
	Props               map[string]string `json:"props"`
	NotifyProps         map[string]string `json:"notify_props"`
	Timezone            map[string]string `json:"timezone"`
	RemoteID            *string           `json:"remote_id"`
	DisableWelcomeEmail bool              `json:"disable_welcome_email"`
	DeleteAt            int64             `json:"delete_at"` // read by 5.38 only, as are those below
	CreateAt            int64             `json:"create_at"`
	IsBot               bool              `json:"is_bot"`
	AllowMarketing      bool              `json:"allow_marketing"`
}

func (s *Server) createUser(q *request) reply {
	var in newUser
	if err := q.decode(&in); err != nil {
		return q.refuse(err, errBody)
	}
	if !q.admin() {
		if !s.conf.flag("TeamSettings", "EnableOpenServer") {
			return fail(http.StatusForbidden, "api.user.create_user.no_open_server")
		}
		// Whoever may sign up by himself gets a password account: the rest of
		// the request is dropped and then fails as a missing password.
		in.AuthService, in.AuthData, in.EmailVerified = "", nil, false
	}
	if s.full() {
		return fail(http.StatusBadRequest, "api.user.create_user.user_limits.exceeded")
	}
	u := s.fromNew(in)
	if s.db.groupNames[u.Username] {
		return fail(http.StatusBadRequest, errUsernameTaken)
	}
	// Not in the recording but for password accounts: server/channels/app/users/users.go,
	// CreateUser, exempts ldap and saml. No account is created as a guest by this call.
	if !u.ldap() && !u.saml() && !domainAllowed(u.Email, s.conf.text("TeamSettings", "RestrictCreationToDomains")) {
		return fail(http.StatusBadRequest, "api.user.create_user.accepted_domain.app_error")
	}
	if in.AuthService == "" {
		if id := s.weak(in.Password); id != "" {
			if s.profile == Profile538 {
				id = "api.user.check_user_password.invalid.app_error"
			}
			return fail(http.StatusBadRequest, id)
		}
	}
	if in.ID != "" && s.profile != Profile538 {
		return fail(http.StatusBadRequest, "app.user.save.existing.app_error")
	}
	u.ID = s.ids.id()
	if u.Username == "" {
		u.Username = "a" + s.ids.id()
	}
	if s.profile == Profile538 {
		s.createOld(in, u)
	}
	u.CreateAt, u.UpdateAt, u.LastPasswordUpdate = q.now, q.now, q.now
	if id := s.refusal(u); id != "" {
		return refused(id)
	}
	if s.profile == Profile538 && tooBigProps(u.Props) {
		return refused(errSave)
	}
	shown := u
	if s.profile == Profile538 {
		shown = unkept(in, u)
	}
	s.put(u)
	v := s.viewFor(q.asker, u)
	v.own = true
	if q.asker == nil || !q.admin() {
		v.hideAuth, v.hideNotify = false, false // one sees the account one has just made
	}
	return reply{status: http.StatusCreated, body: appendUser(nil, shown, v)}
}

// unkept is how 5.38 shows the account it has just made: with what it read in
// the request and did not store.
func unkept(in newUser, u *User) *User {
	shown := copyUser(u)
	shown.IsBot, shown.allowMarketing = in.IsBot, in.AllowMarketing
	u.DisableWelcomeEmail = false
	return &shown
}

// createOld is what 5.38 did otherwise: id, remote id and time of deactivation in
// the request are taken, and the invented name had no letter before it.
func (s *Server) createOld(in newUser, u *User) {
	if isID(in.ID) && s.db.users[in.ID] == nil {
		u.ID = in.ID
	}
	u.DeleteAt = in.DeleteAt
	u.remoteNull = in.RemoteID == nil
	if in.RemoteID != nil {
		u.RemoteID = *in.RemoteID
	}
	if in.Username == "" {
		u.Username = u.Username[1:]
	}
}

// refusal returns the error id of the first rule a new or changed row breaks.
func (s *Server) refusal(u *User) string {
	if id := s.invalid(u); id != "" {
		return id
	}
	if id := s.taken(u); id != "" {
		return id
	}
	if nul(u) {
		return errSave
	}
	return ""
}

func (s *Server) fromNew(in newUser) *User {
	u := &User{
		Username: strings.ToLower(in.Username), Email: normalEmail(in.Email), EmailVerified: in.EmailVerified,
		Password: in.Password, AuthService: in.AuthService,
		Nickname: clean(in.Nickname), FirstName: clean(in.FirstName), LastName: clean(in.LastName),
		Position: clean(in.Position), Locale: in.Locale, Roles: roleUser,
		Props: in.Props, NotifyProps: in.NotifyProps, Timezone: in.Timezone,
		DisableWelcomeEmail: in.DisableWelcomeEmail,
	}
	if in.AuthData != nil {
		u.AuthData = *in.AuthData // empty is stored as absent
	}
	if len(u.NotifyProps) == 0 {
		u.NotifyProps = nil
	}
	if len(u.Timezone) == 0 {
		u.Timezone = nil
	}
	if !uiLocale(u.Locale) {
		u.Locale = "en"
	}
	// The first person on an empty server becomes its admin.
	if s.humans() == 0 {
		u.Roles = roleAdmin + " " + roleUser
	}
	return u
}

func (s *Server) humans() int {
	if s.db.activeHumans > 0 {
		return s.db.activeHumans
	}
	n := 0
	for _, u := range s.db.users {
		if !u.IsBot {
			n++
		}
	}
	return n
}

// full tells whether the seat limit is met. Bots have no seat.
func (s *Server) full() bool {
	return s.profile != Profile538 && s.opts.SeatLimit > 0 && s.db.activeHumans >= s.opts.SeatLimit
}
