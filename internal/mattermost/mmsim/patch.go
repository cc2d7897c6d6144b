package mmsim

import (
	"net/http"
	"strings"
	"sync/atomic"
)

func accountRoutes(p Profile) []route {
	routes := []route{
		put("users/{id}", (*Server).putUser).racing(racePatch),
		put("users/{id}/patch", (*Server).patchUser).racing(racePatch),
		put("users/{id}/active", (*Server).setActive).racing(raceActive),
		del("users/{id}", (*Server).deleteUser).racing(raceActive),
		put("users/{id}/roles", (*Server).setRoles).racing(raceRoles),
		put("users/{id}/auth", (*Server).setAuth).racing(raceAuth),
		put("users/{id}/password", (*Server).setPassword).hashing(),
		post("users/{id}/image", (*Server).setImage).writes(),
		post("users/{id}/demote", (*Server).demote).writes(),
		post("users/{id}/promote", (*Server).promote).writes(),
		post("users/{id}/email/verify/member", (*Server).verifyMember).writes(),
		get("users/{id}/sessions", (*Server).listSessions),
		post("users/{id}/sessions/revoke/all", (*Server).revokeSessions).writes(),
		get("users/{id}/tokens", (*Server).listTokens),
		post("users/{id}/tokens", (*Server).createToken).writes(),
		post("users/tokens/disable", (*Server).disableToken).writes(),
		post("users/tokens/enable", (*Server).enableToken).writes(),
		post("users/tokens/revoke", (*Server).revokeToken).writes(),
		post("users/login", (*Server).login).open().hashing(),
		post("users/logout", (*Server).logout).writes(),
		post("users/login/switch", (*Server).switchLogin).open().hashing(),
		post("users/migrate_auth/ldap", (*Server).migrateLDAP),
		post("users/migrate_auth/saml", (*Server).migrateSAML),
	}
	if p != Profile538 {
		routes = append(routes,
			post("users/{id}/reset_failed_attempts", (*Server).resetAttempts).writes(),
			post("users/login/type", (*Server).loginType).open(),
		)
	}
	return routes
}

// userPatch is what PATCH reads; a missing key and null leave a value alone.
// auth_service, auth_data, roles, password, delete_at and email_verified are
// answered with 200 and ignored.
type userPatch struct {
	Username    *string            `json:"username"`
	Email       *string            `json:"email"`
	Nickname    *string            `json:"nickname"`
	FirstName   *string            `json:"first_name"`
	LastName    *string            `json:"last_name"`
	Position    *string            `json:"position"`
	Locale      *string            `json:"locale"`
	Props       map[string]string  `json:"props"`
	NotifyProps map[string]string  `json:"notify_props"`
	Timezone    *map[string]string `json:"timezone"`
	RemoteID    *string            `json:"remote_id"`
}

func (s *Server) patchUser(q *request) reply {
	var in userPatch
	if err := q.decode(&in); err != nil {
		return q.refuse(err, errBody)
	}
	u := s.row(q, q.params["id"])
	if u == nil {
		return badBody() // not 404: the id is taken for a bad parameter
	}
	if !q.admin() && !q.self(u.ID) {
		return forbidden()
	}
	row := copyUser(u)
	set := func(to *string, from *string) {
		if from != nil {
			*to = clean(*from)
		}
	}
	set(&row.Nickname, in.Nickname)
	set(&row.FirstName, in.FirstName)
	set(&row.LastName, in.LastName)
	set(&row.Position, in.Position)
	set(&row.Locale, in.Locale)
	if in.Username != nil {
		row.Username = strings.ToLower(*in.Username)
	}
	if in.Email != nil {
		row.Email = normalEmail(*in.Email)
	}
	if in.RemoteID != nil {
		row.RemoteID, row.remoteNull = *in.RemoteID, false
	}
	// These three are replaced whole, not merged.
	if in.Props != nil {
		row.Props = in.Props
	}
	if in.NotifyProps != nil {
		row.NotifyProps = in.NotifyProps
		if len(in.NotifyProps) == 0 {
			row.NotifyProps = nil // back to the defaults
		}
	}
	if in.Timezone != nil {
		row.Timezone = *in.Timezone
		row.timezoneNull = false
	}
	return s.saveProfile(q, u, &row)
}

// putUser replaces the profile: what is missing becomes empty, and a missing
// remote_id becomes NULL. Roles, auth and delete_at in the body are ignored.
func (s *Server) putUser(q *request) reply {
	var in newUser
	if err := q.decode(&in); err != nil {
		return q.refuse(err, errBody)
	}
	if in.ID != q.params["id"] {
		return badBody()
	}
	u := s.row(q, in.ID)
	if u == nil {
		return missingUser()
	}
	if in.CreateAt == 0 && s.profile == Profile538 {
		return fail(http.StatusBadRequest, "model.user.is_valid.create_at.app_error")
	}
	if !q.admin() && !q.self(u.ID) {
		return forbidden()
	}
	row := copyUser(u)
	row.Username, row.Email = strings.ToLower(in.Username), normalEmail(in.Email)
	row.Nickname, row.FirstName, row.LastName = clean(in.Nickname), clean(in.FirstName), clean(in.LastName)
	row.Position, row.Locale, row.Props = clean(in.Position), in.Locale, in.Props
	row.NotifyProps = in.NotifyProps
	if len(in.NotifyProps) == 0 {
		row.NotifyProps = nil
	}
	row.Timezone = in.Timezone
	if in.Timezone == nil {
		row.Timezone = map[string]string{}
	}
	row.remoteNull = in.RemoteID == nil
	if in.RemoteID != nil {
		row.RemoteID = *in.RemoteID
	}
	if in.Timezone == nil && s.profile != Profile538 {
		row.nullTimezone = &atomic.Bool{}
		row.nullTimezone.Store(true)
	}
	rep := s.saveProfile(q, u, &row)
	if in.Timezone == nil && rep.status == http.StatusOK {
		shown := *s.db.users[u.ID]
		shown.timezoneNull = true
		rep.body = s.writtenUser(q, &shown)
	}
	return rep
}

// saveProfile applies the locks on accounts of other services, checks the row
// and stores it. Nothing of a refused change sticks; a change that changes
// nothing is a write all the same and raises update_at.
func (s *Server) saveProfile(q *request, old, row *User) reply {
	known := old
	if cached := s.memory[old.ID]; cached != nil && s.profile == Profile538 {
		known = cached // its checks go by the cached service, which may be the one before
	}
	if s.locked(known, row) {
		return fail(http.StatusConflict, "api.user.patch_user.login_provider_attribute_set.app_error")
	}
	if row.Username != old.Username && s.db.groupNames[row.Username] {
		return fail(http.StatusBadRequest, errUsernameTaken)
	}
	if row.Email != old.Email {
		section, id := "TeamSettings", "api.user.update_user.accepted_domain.app_error"
		if old.IsGuest() { // not in the recording: server/channels/app/user.go, UpdateUser
			section, id = "GuestAccountsSettings", "api.user.update_user.accepted_guest_domain.app_error"
		}
		switch {
		case old.oauth():
			row.Email = old.Email // 200, silently unchanged
		case !old.ldap() && !old.saml() && !domainAllowed(row.Email, s.conf.text(section, "RestrictCreationToDomains")):
			return fail(http.StatusBadRequest, id)
		case s.conf.flag("EmailSettings", "RequireEmailVerification"):
			row.Email = old.Email // pending until the mail is answered
		}
	}
	if id := s.invalid(row); id != "" {
		return refused(id)
	}
	if old.ldap() && row.Email != old.Email {
		return fail(http.StatusBadRequest, "app.user.update.find.app_error")
	}
	if nul(row) {
		return fail(http.StatusInternalServerError, "app.user.update.finding.app_error")
	}
	if id := s.taken(row); id != "" {
		return refused(id)
	}
	if s.profile == Profile538 && tooBigProps(row.Props) {
		return fail(http.StatusInternalServerError, "app.user.update.finding.app_error")
	}
	if row.Email != old.Email && !old.sso() {
		row.EmailVerified = false
	}
	if row.Username != old.Username && s.profile != Profile538 && old.LastPictureUpdate <= 0 {
		row.LastPictureUpdate = -q.now // the generated picture is made anew; one that was set stays
	}
	s.rewrite(q, row)
	return reply{status: http.StatusOK, body: s.writtenUser(q, row)}
}

// rewrite stores a whole row. 11.6 takes the e-mail of an account of another
// service for verified whenever it does so. Pictures and user attributes are kept
// elsewhere, or in a column that such a write takes over as it finds it
// (store/sqlstore/user_store.go, Update), so that none of them is lost by it.
func (s *Server) rewrite(q *request, row *User) {
	row.UpdateAt = q.now
	if now := s.db.users[row.ID]; now != nil {
		row.custom, row.picture = now.custom, now.picture
		if now.LastPictureUpdate > 0 {
			row.LastPictureUpdate = now.LastPictureUpdate
		}
	}
	if s.profile != Profile538 && row.sso() && row.AuthService != "email" {
		row.EmailVerified = true
	}
	s.put(row)
}

func (s *Server) writtenUser(q *request, u *User) []byte {
	v := s.viewFor(q.asker, u)
	v.own = true
	return appendUser(nil, u, v)
}

// locked: the username belongs to the sign-in service, for an admin too and
// whether or not the service is configured; so do the names with OAuth. An Enterprise
// build asks its LDAP engine about ldap accounts, and about saml ones while
// SamlSettings.EnableSyncWithLdap is on, else its SAML engine about those: what the
// settings map to an attribute cannot be changed (app/user.go, CheckProviderAttributes;
// the engines' own code is closed, and which fields they look at is from the
// administration guide: first and last name, position, nickname and e-mail).
func (s *Server) locked(old, row *User) bool {
	if !old.sso() {
		return false
	}
	if row.Username != old.Username {
		return true
	}
	switch {
	case s.opts.Enterprise && old.ofLDAP(s.conf):
		return s.conf.maps("LdapSettings", old, row)
	case s.opts.Enterprise && old.AuthService == "saml":
		return s.conf.maps("SamlSettings", old, row)
	}
	return old.oauth() && (row.FirstName != old.FirstName || row.LastName != old.LastName)
}

// ofLDAP tells an account that an Enterprise build asks its LDAP engine about.
func (u *User) ofLDAP(c *config) bool {
	return u.ldap() || u.AuthService == "saml" && c.flag("SamlSettings", "EnableSyncWithLdap")
}

// maps tells whether a field differs that a section maps to an attribute.
func (c *config) maps(section string, old, row *User) bool {
	differs := func(key, is, to string) bool { return is != to && c.text(section, key) != "" }
	return differs("FirstNameAttribute", old.FirstName, row.FirstName) || differs("LastNameAttribute", old.LastName, row.LastName) ||
		differs("NicknameAttribute", old.Nickname, row.Nickname) || differs("PositionAttribute", old.Position, row.Position) ||
		differs("EmailAttribute", old.Email, row.Email)
}

// tooBigProps is for 5.38, whose column took 4,000 characters.
func tooBigProps(props map[string]string) bool { return len(appendMap(nil, props)) > 4000 }
