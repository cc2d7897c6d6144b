package mmsim

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
)

func teamRoutes() []route {
	return []route{
		get("teams", (*Server).listTeams),
		post("teams", (*Server).createTeam).writes(),
		get("teams/{team}", (*Server).getTeam),
		del("teams/{team}", (*Server).archiveTeam).writes(),
		put("teams/{team}/patch", (*Server).patchTeam).writes(),
		get("teams/{team}/stats", (*Server).teamStats),
		get("teams/name/{name}", (*Server).teamByName),
		get("teams/name/{name}/exists", (*Server).teamExists),
		get("teams/{team}/members", (*Server).listMembers),
		post("teams/{team}/members", (*Server).addMember).writes(),
		post("teams/{team}/members/batch", (*Server).addMembers).writes(),
		post("teams/{team}/members/ids", (*Server).membersByIDs),
		get("teams/{team}/members/{user}", (*Server).getMember),
		del("teams/{team}/members/{user}", (*Server).removeMember).writes(),
		put("teams/{team}/members/{user}/roles", (*Server).setMemberRoles).writes(),
		put("teams/{team}/members/{user}/schemeRoles", (*Server).setMemberScheme).writes(),
		get("users/{id}/teams", (*Server).userTeams),
		get("users/{id}/teams/members", (*Server).userMemberships),
	}
}

type team struct {
	id, name, displayName, description, email, kind, allowedDomains, inviteID string
	createAt, updateAt, deleteAt                                              int64
	constrained                                                               *bool
	members                                                                   map[string]*member
}

// member rows stay when somebody leaves, with deleteAt set.
type member struct {
	userID, explicit   string
	admin, guest, user bool
	deleteAt           int64
	mentions           int   // channels: the message "was added" mentions one
	viewedAt, updated  int64 // channels
	joined             int64
}

func (t *team) clone() *team {
	c := *t
	c.members = cloneMembers(t.members)
	return &c
}

func cloneMembers(in map[string]*member) map[string]*member {
	out := make(map[string]*member, len(in))
	for id, m := range in {
		row := *m
		out[id] = &row
	}
	return out
}

type teamBody struct {
	ID             string  `json:"id"`
	CreateAt       int64   `json:"create_at"`
	UpdateAt       int64   `json:"update_at"`
	DeleteAt       int64   `json:"delete_at"`
	DisplayName    string  `json:"display_name"`
	Name           string  `json:"name"`
	Description    string  `json:"description"`
	Email          string  `json:"email"`
	Type           string  `json:"type"`
	CompanyName    string  `json:"company_name"`
	AllowedDomains string  `json:"allowed_domains"`
	InviteID       string  `json:"invite_id"`
	AllowOpen      bool    `json:"allow_open_invite"`
	SchemeID       *string `json:"scheme_id"`
	Constrained    *bool   `json:"group_constrained"`
	PolicyID       *string `json:"policy_id"`
	CloudArchived  *bool   `json:"cloud_limits_archived,omitempty"` // not in 5.38
}

func (s *Server) shownTeam(t *team) teamBody {
	body := teamBody{
		ID: t.id, CreateAt: t.createAt, UpdateAt: t.updateAt, DeleteAt: t.deleteAt, DisplayName: t.displayName,
		Name: t.name, Description: t.description, Email: t.email, Type: t.kind,
		AllowedDomains: t.allowedDomains, InviteID: t.inviteID, Constrained: t.constrained,
	}
	if s.profile != Profile538 {
		body.CloudArchived = new(bool)
	}
	return body
}

func missingTeam() reply { return fail(http.StatusNotFound, "app.team.get.find.app_error") }

func (s *Server) teamByLowerName(name string) *team {
	for _, t := range s.db.teams {
		if t.name == strings.ToLower(name) {
			return t
		}
	}
	return nil
}

// createTeam takes no capital letter. A name stays taken when its team is
// archived. Whoever makes a team is in it and leads it.
func (s *Server) createTeam(q *request) reply {
	var in struct {
		Name           string `json:"name"`
		DisplayName    string `json:"display_name"`
		Description    string `json:"description"`
		Type           string `json:"type"`
		AllowedDomains string `json:"allowed_domains"`
	}
	if err := q.decode(&in); err != nil {
		return q.refuse(err, errBody)
	}
	if id := invalidTeam(in.Name, in.DisplayName, in.Type); id != "" {
		return fail(http.StatusBadRequest, "model.team.is_valid."+id+".app_error")
	}
	if s.teamByLowerName(in.Name) != nil {
		if s.profile == Profile538 {
			return fail(http.StatusBadRequest, "app.team.save.existing.app_error")
		}
		return fail(http.StatusBadRequest, "store.sql_team.save_team.existing.app_error")
	}
	t := &team{
		id: s.ids.id(), name: in.Name, displayName: in.DisplayName, description: in.Description, kind: in.Type,
		email: q.asker.Email, allowedDomains: in.AllowedDomains, inviteID: s.ids.id(),
		createAt: q.now, updateAt: q.now, members: map[string]*member{},
	}
	s.db.teams[t.id] = t
	s.addChannel(q, t.id, "town-square", "Town Square", "O", "")
	s.addChannel(q, t.id, "off-topic", "Off-Topic", "O", "")
	s.join(q, t, q.asker.ID).admin = true
	return ok(http.StatusCreated, s.shownTeam(t))
}

func invalidTeam(name, display, kind string) string {
	switch {
	case len(name) > 64:
		return "url"
	case display == "" || len(display) > 64:
		return "name"
	case len(name) < 2 || !teamName(name):
		return "characters"
	case strings.Contains(reservedTeams, " "+name+" "):
		return "reserved"
	case kind != "O" && kind != "I":
		return "type"
	}
	return ""
}

// reservedTeams would be taken for pages of the web app.
const reservedTeams = " admin api channel claim error files help landing login mfa oauth plug plugins post signup "

func teamName(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// listTeams is ordered by display name and has a count on request.
func (s *Server) listTeams(q *request) reply {
	var all []*team
	for _, t := range s.db.teams {
		if q.admin() || s.inTeam(t.id, q.asker.ID) {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b *team) int {
		return cmp.Or(strings.Compare(a.displayName, b.displayName), cmp.Compare(a.createAt, b.createAt),
			strings.Compare(a.name, b.name))
	})
	offset, limit := q.paging()
	out := []teamBody{}
	for _, t := range cutPage(all, offset, limit) {
		out = append(out, s.shownTeam(t))
	}
	if q.flag("include_total_count") {
		return ok(http.StatusOK, map[string]any{"teams": out, "total_count": len(all)})
	}
	return ok(http.StatusOK, out)
}

func (s *Server) getTeam(q *request) reply {
	if t := s.db.teams[q.params["team"]]; t != nil {
		return ok(http.StatusOK, s.shownTeam(t))
	}
	return missingTeam()
}

// teamByName takes any case and finds archived teams too.
func (s *Server) teamByName(q *request) reply {
	if t := s.teamByLowerName(q.params["name"]); t != nil {
		return ok(http.StatusOK, s.shownTeam(t))
	}
	return fail(http.StatusNotFound, "app.team.get_by_name.missing.app_error")
}

func (s *Server) teamExists(q *request) reply {
	return ok(http.StatusOK, map[string]bool{"exists": s.teamByLowerName(q.params["name"]) != nil})
}

// patchTeam: tied to groups without a licence, a team loses everybody, whoever
// tied it included. The real server takes up to two seconds over it.
func (s *Server) patchTeam(q *request) reply {
	var in struct {
		DisplayName    *string `json:"display_name"`
		Description    *string `json:"description"`
		AllowedDomains *string `json:"allowed_domains"`
		Constrained    *bool   `json:"group_constrained"`
	}
	if err := q.decode(&in); err != nil {
		return q.refuse(err, errBody)
	}
	t := s.db.teams[q.params["team"]]
	if t == nil {
		return missingTeam()
	}
	if !q.admin() {
		return forbidden()
	}
	for to, from := range map[*string]*string{
		&t.displayName: in.DisplayName, &t.description: in.Description, &t.allowedDomains: in.AllowedDomains,
	} {
		if from != nil {
			*to = *from
		}
	}
	if in.Constrained != nil {
		t.constrained = in.Constrained
		if *in.Constrained && s.profile != Profile538 { // which removed nobody
			for _, m := range t.members {
				s.leave(q, t, m)
			}
		}
	}
	t.updateAt = q.now
	return ok(http.StatusOK, s.shownTeam(t))
}

func (s *Server) archiveTeam(q *request) reply {
	t := s.db.teams[q.params["team"]]
	if t == nil {
		return missingTeam()
	}
	if !q.admin() {
		return forbidden()
	}
	t.deleteAt, t.updateAt = q.now, q.now
	return statusOK()
}

func (s *Server) teamStats(q *request) reply {
	t := s.db.teams[q.params["team"]]
	if t == nil {
		return missingTeam()
	}
	total, active := 0, 0
	for _, m := range t.sorted() {
		total++
		if u := s.db.users[m.userID]; u != nil && u.Active() {
			active++
		}
	}
	return ok(http.StatusOK, map[string]any{
		"team_id": t.id, "total_member_count": total, "active_member_count": active,
	})
}

// sorted returns who is in the team, by user id as the server lists them.
func (t *team) sorted() []*member { return sortedMembers(t.members) }

func sortedMembers(members map[string]*member) []*member {
	out := make([]*member, 0, len(members))
	for _, id := range slices.Sorted(maps.Keys(members)) {
		if m := members[id]; m.deleteAt == 0 {
			out = append(out, m)
		}
	}
	return out
}

func (s *Server) inTeam(teamID, userID string) bool {
	t := s.db.teams[teamID]
	if t == nil {
		return false
	}
	m := t.members[userID]
	return m != nil && m.deleteAt == 0
}

func (s *Server) hasTeam(userID string) bool {
	for id, t := range s.db.teams {
		if t.deleteAt == 0 && s.inTeam(id, userID) {
			return true
		}
	}
	return false
}

func (s *Server) userTeams(q *request) reply {
	id := q.params["id"]
	if !q.admin() && !q.self(id) {
		return forbidden()
	}
	out := []teamBody{}
	for _, t := range s.teamsOf(id) {
		if m := t.members[id]; m.deleteAt == 0 && t.deleteAt == 0 {
			out = append(out, s.shownTeam(t))
		}
	}
	return ok(http.StatusOK, out)
}

// userMemberships holds those that ended too: look at delete_at.
func (s *Server) userMemberships(q *request) reply {
	id := q.params["id"]
	if !q.admin() && !q.self(id) {
		return forbidden()
	}
	out := []memberBody{}
	for _, t := range s.teamsOf(id) {
		out = append(out, t.shownMember(t.members[id]))
	}
	return ok(http.StatusOK, out)
}

func (s *Server) teamsOf(userID string) []*team {
	var out []*team
	for _, t := range s.db.teams {
		if t.members[userID] != nil {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b *team) int { return strings.Compare(a.id, b.id) })
	return out
}
