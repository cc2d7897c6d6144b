package mmsim

import (
	"net/http"
	"slices"
	"strings"
)

// createDirect is held to the server's source (server/channels/api4/channel.go,
// createDirectChannel, and app.createDirectChannel) and to no recording: the body lists two
// ids, once each; 201 gives the channel between the two, whether it is new or not; somebody
// who is not there is a 400. Everybody may make one that he is in himself.
func (s *Server) createDirect(q *request) reply {
	var ids []string
	if err := q.decode(&ids); err != nil && s.profile != Profile538 {
		return q.refuse(err, errParse)
	}
	slices.Sort(ids)
	if s.profile != Profile538 { // which counts what comes twice
		ids = slices.Compact(ids)
	}
	if len(ids) != 2 || !isID(ids[0]) || !isID(ids[1]) {
		return badBody()
	}
	if !slices.Contains(ids, q.asker.ID) && !q.admin() {
		return forbidden()
	}
	if s.db.users[ids[0]] == nil || s.db.users[ids[1]] == nil {
		return fail(http.StatusBadRequest, "api.channel.create_direct_channel.invalid_user.app_error")
	}
	name := strings.Join(ids, "__")
	for _, c := range s.db.channels {
		if c.kind == "D" && c.name == name {
			return ok(http.StatusCreated, s.shownChannel(c))
		}
	}
	c := s.addChannel(q, "", name, "", "D", "")
	for _, id := range ids {
		c.members[id] = &member{userID: id, user: !s.db.users[id].IsGuest(), guest: s.db.users[id].IsGuest(), joined: q.now}
	}
	return ok(http.StatusCreated, s.shownChannel(c))
}
