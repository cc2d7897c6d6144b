package mmsim

import (
	"net/http"
	"slices"
	"strings"
)

func channelRoutes(p Profile) []route {
	routes := []route{
		post("channels", (*Server).createChannel).writes(),
		post("channels/direct", (*Server).createDirect).writes(),
		get("channels/{channel}", (*Server).getChannel),
		put("channels/{channel}/patch", (*Server).patchChannel).writes(),
		del("channels/{channel}", (*Server).archiveChannel).writes(),
		get("teams/{team}/channels/name/{name}", (*Server).channelByName),
		get("teams/name/{teamname}/channels/name/{name}", (*Server).channelByName),
		get("channels/{channel}/members", (*Server).listChannelMembers),
		post("channels/{channel}/members", (*Server).addChannelMember).writes(),
		get("channels/{channel}/members/{user}", (*Server).getChannelMember),
		del("channels/{channel}/members/{user}", (*Server).removeChannelMember).writes(),
		put("channels/{channel}/members/{user}/roles", (*Server).setChannelRoles).writes(),
		put("channels/{channel}/members/{user}/schemeRoles", (*Server).setChannelScheme).writes(),
		post("posts", (*Server).createPost).writes(),
	}
	if p == Profile538 { // of 11.6 there is no recording of this one, and of 5.38 none of the other
		return append(routes, get("users/{id}/teams/{team}/channels/members", (*Server).userTeamChannels))
	}
	return append(routes, get("users/{id}/channel_members", (*Server).userChannels))
}

type channel struct {
	id, teamID, kind, name, displayName, creatorID string
	createAt, updateAt, deleteAt, lastPostAt       int64
	constrained                                    *bool
	members                                        map[string]*member
}

func (c *channel) clone() *channel {
	d := *c
	d.members = cloneMembers(c.members)
	return &d
}

// isDefault: everybody in the team is in these.
func (c *channel) isDefault() bool { return c.name == "town-square" || c.name == "off-topic" }

func (s *Server) shownChannel(c *channel) map[string]any {
	body := map[string]any{
		"id": c.id, "create_at": c.createAt, "update_at": c.updateAt, "delete_at": c.deleteAt, "team_id": c.teamID,
		"type": c.kind, "display_name": c.displayName, "name": c.name, "header": "", "purpose": "",
		"last_post_at": c.lastPostAt, "total_msg_count": 0, "extra_update_at": 0, "creator_id": c.creatorID,
		"scheme_id": nil, "props": nil, "group_constrained": c.constrained, "autotranslation": false, "shared": nil,
		"total_msg_count_root": 0, "policy_id": nil, "last_root_post_at": c.lastPostAt, "banner_info": nil,
		"policy_enforced": false, "policy_is_active": false, "default_category_name": "",
	}
	if s.profile == Profile538 {
		for _, later := range []string{
			"autotranslation", "last_root_post_at", "banner_info", "policy_enforced", "policy_is_active",
			"default_category_name",
		} {
			delete(body, later)
		}
	}
	return body
}

func (s *Server) shownChannelMember(c *channel, m *member) map[string]any {
	body := map[string]any{
		"channel_id": c.id, "user_id": m.userID, "roles": m.roles("channel"), "last_viewed_at": m.viewedAt,
		"msg_count": 0, "mention_count": m.mentions, "mention_count_root": m.mentions, "urgent_mention_count": 0,
		"msg_count_root": 0, "notify_props": map[string]string{
			"channel_auto_follow_threads": "off", "desktop": "default", "email": "default",
			"ignore_channel_mentions": "default", "mark_unread": "all", "push": "default",
		},
		"last_update_at": m.updated, "scheme_guest": m.guest, "scheme_user": m.user, "scheme_admin": m.admin,
		"explicit_roles": m.explicit, "autotranslation_disabled": false,
	}
	if s.profile == Profile538 {
		delete(body, "urgent_mention_count")
		delete(body, "autotranslation_disabled")
		body["last_viewed_at"], body["last_update_at"] = 0, m.joined
		body["notify_props"] = map[string]string{
			"desktop": "default", "email": "default", "ignore_channel_mentions": "default", "mark_unread": "all",
			"push": "default",
		}
	}
	return body
}

func (s *Server) addChannel(q *request, teamID, name, display, kind, creator string) *channel {
	c := &channel{
		id: s.ids.id(), teamID: teamID, name: name, displayName: display, kind: kind, creatorID: creator,
		createAt: q.now, updateAt: q.now, members: map[string]*member{},
	}
	s.db.channels[c.id] = c
	return c
}

// join adds an account; the message that says so is the channel's last post.
func (c *channel) join(q *request, userID string, guest bool) *member {
	m := c.members[userID]
	if m == nil {
		m = &member{userID: userID, user: !guest, guest: guest, viewedAt: -1, updated: -1, joined: q.now}
		c.members[userID] = m
		c.lastPostAt = q.now
	}
	return m
}

func (s *Server) createChannel(q *request) reply {
	var in struct {
		TeamID      string `json:"team_id"`
		Name        string `json:"name"`
		DisplayName string `json:"display_name"`
		Type        string `json:"type"`
	}
	if err := q.decode(&in); err != nil {
		return q.refuse(err, errBody)
	}
	if !s.inTeam(in.TeamID, q.asker.ID) && !q.admin() {
		return forbidden()
	}
	for _, c := range s.db.channels {
		if c.teamID == in.TeamID && c.name == in.Name {
			return fail(http.StatusBadRequest, "store.sql_channel.save_channel.exists.app_error")
		}
	}
	c := s.addChannel(q, in.TeamID, in.Name, in.DisplayName, in.Type, q.asker.ID)
	rep := ok(http.StatusCreated, s.shownChannel(c))
	m := c.join(q, q.asker.ID, false)
	m.admin, m.viewedAt, m.updated = true, 0, q.now
	return rep
}

func missingChannel() reply {
	return fail(http.StatusNotFound, "app.channel.get.existing.app_error")
}

func (s *Server) getChannel(q *request) reply {
	if c := s.db.channels[q.params["channel"]]; c != nil {
		return ok(http.StatusOK, s.shownChannel(c))
	}
	return missingChannel()
}

// channelByName takes any case. Archived ones are shown to whoever asks for them
// (server/channels/api4/channel.go, getChannelByNameForTeamName).
func (s *Server) channelByName(q *request) reply {
	teamID := q.params["team"]
	if teamID == "" {
		t := s.teamByLowerName(q.params["teamname"])
		if t == nil {
			return fail(http.StatusNotFound, "app.team.get_by_name.missing.app_error")
		}
		teamID = t.id
	}
	for _, c := range s.db.channels {
		if c.teamID == teamID && c.name == strings.ToLower(q.params["name"]) && (c.deleteAt == 0 || q.flag("include_deleted")) {
			return ok(http.StatusOK, s.shownChannel(c))
		}
	}
	return fail(http.StatusNotFound, "app.channel.get_by_name.missing.app_error")
}

func (s *Server) patchChannel(q *request) reply {
	var in struct {
		DisplayName *string `json:"display_name"`
		Constrained *bool   `json:"group_constrained"`
	}
	if err := q.decode(&in); err != nil {
		return q.refuse(err, errBody)
	}
	c := s.db.channels[q.params["channel"]]
	if c == nil {
		return missingChannel()
	}
	if !q.admin() {
		return forbidden()
	}
	if in.DisplayName != nil {
		c.displayName = *in.DisplayName
	}
	if in.Constrained != nil {
		c.constrained = in.Constrained
	}
	c.updateAt = q.now
	return ok(http.StatusOK, s.shownChannel(c))
}

func (s *Server) archiveChannel(q *request) reply {
	c := s.db.channels[q.params["channel"]]
	if c == nil {
		return missingChannel()
	}
	if !q.admin() {
		return forbidden()
	}
	c.deleteAt, c.updateAt = q.now, q.now
	return statusOK()
}

func missingChannelMember() reply {
	return fail(http.StatusNotFound, "app.channel.get_member.missing.app_error")
}

// admitToChannel says why an account may not be added. A channel is stricter
// than its team: a deactivated account is refused.
func (s *Server) admitToChannel(q *request, c *channel, userID string) (status int, id string) {
	u := s.db.users[userID]
	if u == nil {
		return http.StatusNotFound, errMissingUser
	}
	if c.constrained != nil && *c.constrained {
		return http.StatusBadRequest, "api.channel.add_members.user_denied"
	}
	m := s.seenTeamMember(q, c.teamID, userID)
	switch {
	case c.members[userID] != nil:
		return 0, ""
	case m == nil:
		return http.StatusNotFound, "app.team.get_member.missing.app_error"
	case !u.Active() && s.profile != Profile538:
		return http.StatusForbidden, "app.channel.add_member.deleted_user.app_error"
	case m.deleteAt != 0:
		return http.StatusBadRequest, "api.channel.add_user.to.channel.failed.deleted.app_error"
	}
	return 0, ""
}

// addChannelMember takes one user_id or many user_ids; for many it answers with
// the successes only and fails as a whole only when there is none.
func (s *Server) addChannelMember(q *request) reply {
	var in struct {
		UserID  string   `json:"user_id"`
		UserIDs []string `json:"user_ids"`
	}
	if err := q.decode(&in); err != nil {
		return q.refuse(err, errBody)
	}
	if s.profile == Profile538 {
		in.UserIDs = nil
	}
	many := len(in.UserIDs) > 0
	ids := in.UserIDs
	if !many {
		ids = []string{in.UserID}
	}
	if len(ids) > 1000 || !isID(ids[0]) {
		return badBody()
	}
	c := s.db.channels[q.params["channel"]]
	if c == nil {
		return missingChannel()
	}
	if !q.admin() && c.members[q.asker.ID] == nil {
		return forbidden()
	}
	out := []map[string]any{}
	refusal := reply{}
	for _, id := range ids {
		if status, why := s.admitToChannel(q, c, id); why != "" {
			refusal = fail(status, why)
			continue
		}
		fresh := c.members[id] == nil
		m := c.join(q, id, s.db.users[id].IsGuest())
		out = append(out, s.shownChannelMember(c, m))
		if fresh && !q.self(id) && !c.isDefault() {
			m.mentions = 1 // the message that says who added whom
		}
	}
	switch {
	case len(out) == 0:
		return refusal
	case many:
		return ok(http.StatusCreated, out)
	}
	return ok(http.StatusCreated, out[0])
}

func (s *Server) listChannelMembers(q *request) reply {
	out := []map[string]any{}
	c := s.db.channels[q.params["channel"]]
	if c == nil {
		return missingChannel()
	}
	offset, limit := q.paging()
	rows := s.moved.order(c.id, sortedMembers(c.members))
	for _, m := range cutPage(rows, offset, limit) {
		out = append(out, s.shownChannelMember(c, m))
	}
	if q.rowsMove && len(rows) > 0 {
		s.moved.toEnd(c.id, rows[0])
	}
	return ok(http.StatusOK, out)
}

func (s *Server) channelMembership(q *request) (*channel, *member) {
	c := s.db.channels[q.params["channel"]]
	if c == nil {
		return nil, nil
	}
	return c, c.members[q.params["user"]]
}

func (s *Server) getChannelMember(q *request) reply {
	c, _ := s.channelMembership(q)
	m := s.seenMember(q, q.params["channel"], q.params["user"])
	if m == nil || c == nil {
		return missingChannelMember()
	}
	return ok(http.StatusOK, s.shownChannelMember(c, m))
}

// removeChannelMember cannot be repeated, unlike leaving a team.
func (s *Server) removeChannelMember(q *request) reply {
	c, m := s.channelMembership(q)
	switch {
	case !q.admin() && !q.self(q.params["user"]):
		return forbidden()
	case s.db.users[q.params["user"]] == nil:
		return missingUser()
	case c == nil:
		return missingChannel()
	case m == nil:
		return missingChannelMember()
	case c.constrained != nil && *c.constrained: // not in the recording: api4/channel.go, removeChannelMember
		return fail(http.StatusBadRequest, "api.channel.remove_member.group_constrained.app_error")
	case c.name == "town-square":
		return fail(http.StatusBadRequest, "api.channel.remove.default.app_error")
	}
	delete(c.members, m.userID)
	c.lastPostAt = q.now
	return statusOK()
}

func (s *Server) setChannelRoles(q *request) reply {
	_, m := s.channelMembership(q)
	return s.changeMember(q, m, "channel", missingChannelMember)
}

func (s *Server) setChannelScheme(q *request) reply {
	_, m := s.channelMembership(q)
	if s.seenMember(q, q.params["channel"], q.params["user"]) == nil {
		m = nil
	}
	return s.changeScheme(q, m, "api.channel.update_channel_member_roles.user_and_guest.app_error", missingChannelMember)
}

// userTeamChannels lists an account's memberships in one team.
func (s *Server) userTeamChannels(q *request) reply {
	id := q.params["id"]
	if !q.admin() && !q.self(id) {
		return forbidden()
	}
	out := []map[string]any{}
	for _, c := range s.channelsOf(id) {
		if c.teamID == q.params["team"] {
			out = append(out, s.shownChannelMember(c, c.members[id]))
		}
	}
	return ok(http.StatusOK, out)
}

// channelsOf lists the channels an account is in, by their ids.
func (s *Server) channelsOf(id string) []*channel {
	var in []*channel
	for _, c := range s.db.channels {
		if c.members[id] != nil {
			in = append(in, c)
		}
	}
	slices.SortFunc(in, func(a, b *channel) int { return strings.Compare(a.id, b.id) })
	return in
}

func (s *Server) userChannels(q *request) reply {
	id := q.params["id"]
	if !q.admin() && !q.self(id) {
		return forbidden()
	}
	offset, limit := q.paging()
	out := []map[string]any{}
	for _, c := range cutPage(s.channelsOf(id), offset, limit) {
		row := s.shownChannelMember(c, c.members[id])
		if t := s.db.teams[c.teamID]; t != nil {
			row["team_display_name"], row["team_name"], row["team_update_at"] = t.displayName, t.name, t.updateAt
		}
		out = append(out, row)
	}
	return ok(http.StatusOK, out)
}
