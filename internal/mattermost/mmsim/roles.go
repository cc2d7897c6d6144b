package mmsim

import (
	"net/http"
	"slices"
	"strings"
)

// builtInRoles are the roles the server knows without a licence. Those of
// plugins and of sharing between servers are not among them.
const builtInRoles = " system_admin system_user system_guest system_post_all system_post_all_public " +
	"system_user_access_token system_user_manager system_read_only_admin system_manager system_custom_group_admin " +
	"custom_group_user team_user team_admin team_guest team_post_all team_post_all_public " +
	"channel_user channel_admin channel_guest playbook_admin playbook_member run_admin run_member "

func knownRole(role string, p Profile) bool {
	if p == Profile538 && strings.Contains(role, "custom_group") {
		return false
	}
	return role != "" && !strings.Contains(role, " ") && strings.Contains(builtInRoles, " "+role+" ")
}

func licensedRole(role string) bool {
	return role == "system_user_manager" || role == "system_manager" || role == "system_read_only_admin"
}

// setRoles replaces all roles and stores the text verbatim. A body without the
// key, with a list, or that is no JSON wipes them and answers 200.
func (s *Server) setRoles(q *request) reply {
	if !q.admin() {
		return forbidden()
	}
	in := map[string]any{}
	if err := q.decode(&in); err != nil {
		in = nil
	}
	roles, _ := in["roles"].(string) // anything else counts as empty
	words := strings.Fields(roles)
	if !validRoles(words) {
		return badBody()
	}
	if slices.ContainsFunc(words, licensedRole) {
		return fail(http.StatusBadRequest, "api.user.update_user_roles.license.app_error")
	}
	u := s.row(q, q.params["id"])
	if u == nil {
		return fail(http.StatusBadRequest, errMissingUser)
	}
	for _, role := range words {
		if !knownRole(role, s.profile) {
			return fail(http.StatusBadRequest, "app.role.check_roles_exist.role_not_found")
		}
	}
	if s.profile != Profile538 && u.IsAdmin() && !hasRole(roles, roleAdmin) && s.lastAdmin(u.ID) {
		return fail(http.StatusBadRequest, "app.user.update.lastAdmin.app_error")
	}
	row := copyUser(u)
	row.Roles = roles
	s.rewrite(q, &row)
	return statusOK()
}

// validRoles: the admin role alone is refused, everything and nothing else in
// the right letters is fine.
func validRoles(words []string) bool {
	for _, role := range words {
		for i := range len(role) {
			if c := role[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
				return false
			}
		}
	}
	return len(words) != 1 || words[0] != roleAdmin
}

// lastAdmin counts active people only: an admin bot does not keep a server.
func (s *Server) lastAdmin(id string) bool {
	for _, u := range s.db.users {
		if u.ID != id && u.Active() && !u.IsBot && u.IsAdmin() {
			return false
		}
	}
	return true
}

// demote is refused without a licence before anything else is looked at.
func (s *Server) demote(*request) reply {
	return fail(http.StatusNotImplemented, "api.team.demote_user_to_guest.license.error")
}

// promote makes a guest a user, whether or not the guest feature is on.
func (s *Server) promote(q *request) reply {
	if !q.admin() {
		return forbidden()
	}
	u := s.db.users[q.params["id"]]
	if u == nil {
		return missingUser()
	}
	if !u.IsGuest() {
		return fail(http.StatusNotImplemented, "api.user.promote_guest_to_user.no_guest.app_error")
	}
	row := copyUser(u)
	row.Roles = roleUser
	s.rewrite(q, &row)
	return statusOK()
}

// dropGuests deactivates all guests, as switching the feature off does.
func (s *Server) dropGuests(q *request) {
	for _, u := range s.db.users {
		if u.IsGuest() && u.Active() {
			s.activate(q, u, false)
		}
	}
}
