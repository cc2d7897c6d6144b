package mmsim

import (
	"net/http"
	"strings"
)

func botRoutes() []route {
	return []route{
		get("bots", (*Server).listBots),
		post("bots", (*Server).createBot).writes(),
		get("bots/{bot}", (*Server).getBot),
		post("bots/{bot}/disable", (*Server).disableBot).writes(),
		post("bots/{bot}/enable", (*Server).reenableBot).writes(),
		post("users/{id}/convert_to_bot", (*Server).convertToBot).writes(),
	}
}

type botBody struct {
	UserID      string `json:"user_id"`
	Username    string `json:"username"`
	DisplayName string `json:"display_name,omitempty"`
	Description string `json:"description,omitempty"`
	OwnerID     string `json:"owner_id"`
	CreateAt    int64  `json:"create_at"`
	UpdateAt    int64  `json:"update_at"`
	DeleteAt    int64  `json:"delete_at"`
}

func shownBot(u *User) botBody {
	return botBody{
		UserID: u.ID, Username: u.Username, DisplayName: u.FirstName, Description: u.BotDescription,
		OwnerID: u.OwnerID, CreateAt: u.BotCreateAt, UpdateAt: u.BotUpdateAt, DeleteAt: u.BotDeleteAt,
	}
}

func (s *Server) listBots(q *request) reply {
	deleted := q.flag("include_deleted")
	offset, limit := q.paging()
	out := []botBody{}
	for _, u := range s.page(offset, limit, false, func(u *User) bool {
		return u.IsBot && (deleted || u.BotDeleteAt == 0) && (q.admin() || q.self(u.OwnerID))
	}) {
		out = append(out, shownBot(u))
	}
	return ok(http.StatusOK, out)
}

// createBot is off by default, for admins too. A bot takes up a username like
// anybody, but no seat.
func (s *Server) createBot(q *request) reply {
	var in struct {
		Username    string `json:"username"`
		DisplayName string `json:"display_name"`
		Description string `json:"description"`
	}
	if err := q.decode(&in); err != nil {
		return q.refuse(err, errBody)
	}
	if !q.admin() {
		return forbidden()
	}
	if !s.conf.flag("ServiceSettings", "EnableBotAccountCreation") {
		return fail(http.StatusForbidden, "api.bot.create_disabled")
	}
	name := strings.ToLower(in.Username)
	u := &User{
		ID: s.ids.id(), Username: name, Email: name + "@localhost", FirstName: in.DisplayName, Roles: roleUser,
		Locale: "en", CreateAt: q.now, UpdateAt: q.now, LastPasswordUpdate: q.now, IsBot: true, remoteNull: true,
		OwnerID: q.asker.ID, BotDescription: in.Description, BotCreateAt: q.now, BotUpdateAt: q.now,
	}
	if id := s.refusal(u); id != "" {
		return refused(id)
	}
	s.put(u)
	return ok(http.StatusCreated, shownBot(u))
}

func (s *Server) bot(q *request) *User {
	if u := s.db.users[q.params["bot"]]; u != nil && u.IsBot {
		return u
	}
	return nil
}

func missingBot() reply { return fail(http.StatusNotFound, "store.sql_bot.get.missing.app_error") }

func (s *Server) getBot(q *request) reply {
	u := s.bot(q)
	if u == nil || u.BotDeleteAt != 0 && !q.flag("include_deleted") || !q.admin() && !q.self(u.OwnerID) {
		return missingBot()
	}
	return ok(http.StatusOK, shownBot(u))
}

func (s *Server) disableBot(q *request) reply { return s.switchBot(q, false) }

func (s *Server) reenableBot(q *request) reply { return s.switchBot(q, true) }

func (s *Server) switchBot(q *request, on bool) reply {
	u := s.bot(q)
	if u == nil {
		return missingBot()
	}
	if !q.admin() && !q.self(u.OwnerID) {
		return forbidden()
	}
	return ok(http.StatusOK, shownBot(s.enableBot(q, u, on)))
}

// enableBot keeps the account and the bot record in step, which PUT active on
// the account does not.
func (s *Server) enableBot(q *request, u *User, on bool) *User {
	row := copyUser(u)
	row.DeleteAt, row.BotDeleteAt = 0, 0
	if !on {
		row.DeleteAt, row.BotDeleteAt = q.now, q.now
		s.dropSessions(u.ID)
	}
	row.UpdateAt, row.BotUpdateAt = q.now, q.now
	s.put(&row)
	return &row
}

// convertToBot keeps the e-mail address; the account owns itself. It cannot be
// done twice.
func (s *Server) convertToBot(q *request) reply {
	if !q.admin() {
		return forbidden()
	}
	u := s.db.users[q.params["id"]]
	switch {
	case u == nil:
		return missingUser()
	case u.IsBot:
		return fail(http.StatusInternalServerError, "app.bot.createbot.internal_error")
	}
	row := copyUser(u)
	row.IsBot, row.OwnerID, row.Password = true, u.ID, ""
	row.UpdateAt, row.BotCreateAt, row.BotUpdateAt = q.now, q.now, q.now
	s.put(&row)
	if s.profile == Profile538 {
		s.memory[u.ID] = u // reads by id did not know yet
	}
	out := shownBot(&row)
	out.DisplayName = strings.TrimSpace(u.FirstName + " " + u.LastName)
	if out.DisplayName == "" {
		out.DisplayName = u.Username
	}
	return ok(http.StatusOK, out)
}
