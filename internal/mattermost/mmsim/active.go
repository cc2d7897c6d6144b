package mmsim

import (
	"encoding/json"
	"net/http"
)

// setActive deactivates and reactivates. Repeating either is a write: doing so
// moves delete_at forward, or raises update_at.
func (s *Server) setActive(q *request) reply {
	var in struct {
		Active json.RawMessage `json:"active"`
	}
	if err := q.decode(&in); err != nil {
		return q.refuse(err, errBody)
	}
	var active bool
	switch string(in.Active) {
	case "true":
		active = true
	case "false":
	default:
		return badBody()
	}
	id := q.params["id"]
	if q.self(id) && !active && !s.conf.flag("TeamSettings", "EnableUserDeactivation") {
		return fail(http.StatusUnauthorized, "api.user.update_active.not_enable.app_error")
	}
	if !q.admin() && !q.self(id) {
		return fail(http.StatusForbidden, "api.user.update_active.permissions.app_error")
	}
	u := s.row(q, id)
	switch {
	case u == nil:
		return missingUser()
	case u.ldap() && s.profile != Profile538:
		return fail(http.StatusForbidden, "api.user.update_active.cannot_modify_status_when_user_is_managed_by_ldap.app_error")
	case active && u.IsGuest() && !s.conf.flag("GuestAccountsSettings", "Enable"):
		return fail(http.StatusUnauthorized, "api.user.update_active.cannot_enable_guest_when_guest_feature_is_disabled.app_error")
	case active && !u.Active() && !u.IsBot && s.full():
		return fail(http.StatusBadRequest, "app.user.update_active.user_limit.exceeded")
	}
	s.activate(q, u, active)
	return statusOK()
}

// deleteUser deactivates, ldap accounts and oneself included. For good it
// deletes only when the server is set to allow that.
func (s *Server) deleteUser(q *request) reply {
	id := q.params["id"]
	if !q.admin() {
		if !q.self(id) {
			return forbidden()
		}
		if !s.conf.flag("TeamSettings", "EnableUserDeactivation") {
			return fail(http.StatusUnauthorized, "api.user.delete_user.not_enabled.app_error")
		}
	}
	u := s.row(q, id)
	if u == nil && s.memory[id] != nil {
		return fail(http.StatusBadRequest, "app.user.update.find.app_error") // 5.38, deleted for good
	}
	if u == nil {
		return missingUser()
	}
	if !q.flag("permanent") {
		s.activate(q, u, false)
		return statusOK()
	}
	if !s.conf.flag("ServiceSettings", "EnableAPIUserDeletion") {
		return fail(http.StatusUnauthorized, "api.user.delete_user.not_enabled"+s.forAdmin()+".app_error")
	}
	s.erase(id)
	if s.profile == Profile538 {
		gone := copyUser(u)
		gone.DeleteAt, gone.UpdateAt = q.now, q.now
		s.memory[id] = &gone // reads by id went on finding it
	}
	return statusOK()
}

func (s *Server) forAdmin() string {
	if s.profile == Profile538 {
		return ""
	}
	return ".for_admin"
}

func (s *Server) activate(q *request, u *User, active bool) {
	row := copyUser(u)
	row.DeleteAt = 0
	if !active {
		row.DeleteAt = q.now
	}
	s.rewrite(q, &row)
	if active {
		return // a bot that went with its owner stays disabled
	}
	s.dropSessions(u.ID)
	if !s.conf.flag("ServiceSettings", "DisableBotsWhenOwnerIsDeactivated") {
		return
	}
	for id, owner := range s.db.bots {
		if bot := s.db.users[id]; owner == u.ID && id != u.ID && bot.BotDeleteAt == 0 {
			s.enableBot(q, bot, false)
		}
	}
}
