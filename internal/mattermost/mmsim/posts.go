package mmsim

import (
	"net/http"
	"unicode/utf8"
)

// maxPost is what a message may have in runes; server documentation, "Message length".
const maxPost = 16383

// createPost is held to the API reference (POST /api/v4/posts) and to no recording:
// channel_id and message are required, 201 gives the post, and whoever may not post in
// the channel, whether it exists or not, gets 403.
func (s *Server) createPost(q *request) reply {
	var in struct {
		ChannelID string `json:"channel_id"`
		Message   string `json:"message"`
	}
	if err := q.decode(&in); err != nil {
		return q.refuse(err, errBody)
	}
	if !isID(in.ChannelID) || in.Message == "" || utf8.RuneCountInString(in.Message) > maxPost {
		return badBody()
	}
	c := s.db.channels[in.ChannelID]
	if c == nil || c.deleteAt != 0 || !q.admin() && c.members[q.asker.ID] == nil {
		return forbidden()
	}
	c.lastPostAt = q.now
	return ok(http.StatusCreated, map[string]any{
		"id": s.ids.id(), "create_at": q.now, "update_at": q.now, "edit_at": 0, "delete_at": 0, "is_pinned": false,
		"user_id": q.asker.ID, "channel_id": c.id, "root_id": "", "original_id": "", "message": in.Message, "type": "",
		"props": map[string]any{}, "hashtags": "", "pending_post_id": "",
	})
}
