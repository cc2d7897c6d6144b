package mmsim

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

type memberBody struct {
	TeamID        string `json:"team_id"`
	UserID        string `json:"user_id"`
	Roles         string `json:"roles"`
	DeleteAt      int64  `json:"delete_at"`
	SchemeGuest   bool   `json:"scheme_guest"`
	SchemeUser    bool   `json:"scheme_user"`
	SchemeAdmin   bool   `json:"scheme_admin"`
	ExplicitRoles string `json:"explicit_roles"`
}

func (t *team) shownMember(m *member) memberBody {
	return memberBody{
		TeamID: t.id, UserID: m.userID, Roles: m.roles("team"), DeleteAt: m.deleteAt,
		SchemeGuest: m.guest, SchemeUser: m.user, SchemeAdmin: m.admin, ExplicitRoles: m.explicit,
	}
}

// roles is what a membership's flags amount to, of a team or of a channel.
func (m *member) roles(of string) string {
	words := strings.Fields(m.explicit)
	if m.guest {
		words = append(words, of+"_guest")
	}
	if m.user {
		words = append(words, of+"_user")
	}
	if m.admin {
		words = append(words, of+"_admin")
	}
	return strings.Join(words, " ")
}

// setRoles takes the words of a role text apart; false when one is not a role
// of this kind.
func (m *member) setRoles(of, roles string) bool {
	m.admin, m.user, m.guest, m.explicit = false, false, false, ""
	for role := range strings.FieldsSeq(roles) {
		switch role {
		case of + "_admin":
			m.admin = true
		case of + "_user":
			m.user = true
		case of + "_guest":
			m.guest = true
		default:
			return false
		}
	}
	return true
}

// join makes or revives a membership and adds to the default channels.
func (s *Server) join(q *request, t *team, userID string) *member {
	m := t.members[userID]
	if m != nil && m.deleteAt == 0 {
		return m
	}
	u := s.db.users[userID]
	guest := u != nil && u.IsGuest()
	m = &member{userID: userID, user: !guest, guest: guest}
	// Not in the recording: the server's source makes an administrator of whoever joins
	// with the team's own e-mail.
	m.admin = u != nil && t.email != "" && u.Email == t.email
	t.members[userID] = m
	for _, c := range s.db.channels {
		if c.teamID == t.id && c.isDefault() {
			c.join(q, userID, guest)
		}
	}
	if u != nil {
		row := copyUser(u)
		row.UpdateAt = q.now
		s.put(&row)
	}
	return m
}

// leave keeps the row with a time in it, and takes the channels away for good.
func (s *Server) leave(q *request, t *team, m *member) {
	if m.deleteAt == 0 {
		m.deleteAt = q.now
	}
	for _, c := range s.db.channels {
		if c.teamID == t.id {
			delete(c.members, m.userID)
		}
	}
}

type memberInput struct {
	TeamID string `json:"team_id"`
	UserID string `json:"user_id"`
}

// admit says why an account may not join, "" when it may. A deactivated one
// may, and an archived team takes members.
func (s *Server) admit(t *team, userID string) (status int, id string) {
	u := s.db.users[userID]
	switch {
	case u == nil:
		return http.StatusNotFound, errMissingUser
	case s.inTeam(t.id, userID):
		return 0, ""
	case t.constrained != nil && *t.constrained:
		return http.StatusBadRequest, "api.team.add_members.user_denied"
	case !s.teamAllowed(u, t):
		return http.StatusBadRequest, "api.team.join_user_to_team.allowed_domains.app_error"
	case s.activeMembers(t) >= s.conf.number("TeamSettings", "MaxUsersPerTeam"):
		return http.StatusBadRequest, "app.team.join_user_to_team.save_member.max_accounts.app_error"
	}
	return 0, ""
}

// teamAllowed: an e-mail must be in the team's domains and in those of the whole server,
// whatever the login; a guest's only in those of guests. Not in the recording:
// server/channels/app/team.go, isTeamEmailAllowed and getAllowedDomains.
func (s *Server) teamAllowed(u *User, t *team) bool {
	switch {
	case u.IsBot:
		return true
	case u.IsGuest():
		return domainAllowed(u.Email, s.conf.text("GuestAccountsSettings", "RestrictCreationToDomains"))
	}
	return domainAllowed(u.Email, t.allowedDomains) && domainAllowed(u.Email, s.conf.text("TeamSettings", "RestrictCreationToDomains"))
}

func (s *Server) activeMembers(t *team) int {
	n := 0
	for id, m := range t.members {
		if u := s.db.users[id]; m.deleteAt == 0 && u != nil && u.Active() {
			n++
		}
	}
	return n
}

// addMember answers 201 for somebody who is in already; role fields in the
// body are ignored.
func (s *Server) addMember(q *request) reply {
	var in memberInput
	if err := q.decode(&in); err != nil {
		return q.refuse(err, errBody)
	}
	t := s.db.teams[q.params["team"]]
	if in.TeamID != q.params["team"] || !isID(in.UserID) {
		return badBody()
	}
	if t == nil {
		return missingTeam()
	}
	if !q.admin() {
		return forbidden()
	}
	if status, id := s.admit(t, in.UserID); id != "" {
		return fail(status, id)
	}
	return ok(http.StatusCreated, t.shownMember(s.join(q, t, in.UserID)))
}

// graceful is one entry of a graceful batch, which is always 201: each entry
// has to be read.
type graceful struct {
	UserID string          `json:"user_id"`
	Member *memberBody     `json:"member"`
	Error  json.RawMessage `json:"error"`
}

func (s *Server) addMembers(q *request) reply {
	var in []memberInput
	if err := q.decode(&in); err != nil {
		return q.refuse(err, errParse)
	}
	if len(in) == 0 || len(in) > 256 {
		return badBody()
	}
	for _, one := range in {
		if one.TeamID != q.params["team"] || !isID(one.UserID) {
			return badBody()
		}
	}
	t := s.db.teams[q.params["team"]]
	if t == nil {
		return missingTeam()
	}
	if !q.admin() {
		return forbidden()
	}
	soft := q.flag("graceful")
	if t.constrained != nil && *t.constrained {
		return fail(http.StatusBadRequest, "api.team.add_members.user_denied")
	}
	var gentle []graceful
	var members []memberBody
	for _, one := range in {
		status, id := s.admit(t, one.UserID)
		if id != "" {
			if !soft {
				return fail(status, id)
			}
			gentle = append(gentle, graceful{UserID: one.UserID, Error: errorBody(status, id, "")})
			continue
		}
		m := t.shownMember(s.join(q, t, one.UserID))
		members = append(members, m)
		gentle = append(gentle, graceful{UserID: one.UserID, Member: &m})
	}
	if soft {
		return ok(http.StatusCreated, gentle)
	}
	return ok(http.StatusCreated, members)
}

func (s *Server) listMembers(q *request) reply {
	t := s.db.teams[q.params["team"]]
	if t == nil {
		return ok(http.StatusOK, []memberBody{})
	}
	var found []*member
	for _, m := range t.sorted() {
		if u := s.db.users[m.userID]; q.flag("exclude_deleted_users") && (u == nil || !u.Active()) {
			continue
		}
		found = append(found, m)
	}
	offset, limit := q.paging()
	out := []memberBody{}
	for _, m := range cutPage(found, offset, limit) {
		out = append(out, t.shownMember(m))
	}
	return ok(http.StatusOK, out)
}

func (s *Server) membersByIDs(q *request) reply {
	ids, refusal := s.list(q)
	if refusal != nil {
		return *refusal
	}
	out := []memberBody{}
	if t := s.db.teams[q.params["team"]]; t != nil {
		slices.Sort(ids)
		for _, id := range slices.Compact(ids) {
			if m := t.members[id]; m != nil && m.deleteAt == 0 {
				out = append(out, t.shownMember(m))
			}
		}
	}
	return ok(http.StatusOK, out)
}

func (s *Server) membership(q *request) (*team, *member) {
	t := s.db.teams[q.params["team"]]
	if t == nil {
		return nil, nil
	}
	return t, t.members[q.params["user"]]
}

func missingMember() reply {
	return fail(http.StatusNotFound, "app.team.get_member.missing.app_error")
}

// getMember returns a membership that has ended too.
func (s *Server) getMember(q *request) reply {
	t, _ := s.membership(q)
	m := s.seenTeamMember(q, q.params["team"], q.params["user"])
	if m == nil || t == nil {
		return missingMember()
	}
	return ok(http.StatusOK, t.shownMember(m))
}

// removeMember can be repeated.
func (s *Server) removeMember(q *request) reply {
	t, m := s.membership(q)
	switch {
	case !q.admin() && !q.self(q.params["user"]):
		return forbidden()
	case t == nil:
		return missingTeam()
	case s.db.users[q.params["user"]] == nil:
		return missingUser()
	case t.constrained != nil && *t.constrained:
		return fail(http.StatusBadRequest, "api.team.remove_member.group_constrained.app_error")
	case m == nil:
		return missingMember()
	}
	s.leave(q, t, m)
	return statusOK()
}

func (s *Server) setMemberRoles(q *request) reply {
	_, m := s.membership(q)
	return s.changeMember(q, m, "team", missingMember)
}

// changeMember replaces the roles of a membership. A word that is no role is
// another error than a role of another kind.
func (s *Server) changeMember(q *request, m *member, of string, missing func() reply) reply {
	if !q.admin() {
		return forbidden()
	}
	if m == nil {
		return missing()
	}
	in := map[string]any{}
	if err := q.decode(&in); err != nil {
		in = nil
	}
	roles, _ := in["roles"].(string) // as for system roles, anything else is empty
	for role := range strings.FieldsSeq(roles) {
		switch {
		case !knownRole(role, s.profile):
			return fail(http.StatusBadRequest, "app.role.get_by_name.app_error")
		case !strings.HasPrefix(role, of+"_"):
			return badBody()
		}
	}
	row := *m
	if !row.setRoles(of, roles) {
		return badBody()
	}
	*m = row
	return statusOK()
}

func (s *Server) setMemberScheme(q *request) reply {
	_, m := s.membership(q)
	if s.seenTeamMember(q, q.params["team"], q.params["user"]) == nil {
		m = nil
	}
	return s.changeScheme(q, m, "api.team.update_team_member_roles.user_and_guest.app_error", missingMember)
}

// changeScheme: without a licence nobody becomes a guest this way (5.38 let it
// happen).
func (s *Server) changeScheme(q *request, m *member, guestRefusal string, missing func() reply) reply {
	if !q.admin() {
		return forbidden()
	}
	var in struct {
		Admin bool `json:"scheme_admin"`
		User  bool `json:"scheme_user"`
		Guest bool `json:"scheme_guest"`
	}
	if err := q.decode(&in); err != nil {
		return q.refuse(err, errBody)
	}
	if m == nil {
		return missing()
	}
	if in.Guest && s.profile != Profile538 {
		return fail(http.StatusBadRequest, guestRefusal)
	}
	m.admin, m.user, m.guest = in.Admin, in.User, in.Guest
	return statusOK()
}
