package mmsim

import (
	"net/http"
)

// setAuth binds an account to a service. It writes only its own columns, so it
// undoes nothing, but the whole-row writes may undo it. Any service word is
// taken, sessions and access tokens stay alive.
func (s *Server) setAuth(q *request) reply {
	if !q.admin() {
		return forbidden()
	}
	var in struct {
		AuthService string  `json:"auth_service"`
		AuthData    *string `json:"auth_data"`
	}
	if err := q.decode(&in); err != nil {
		return q.refuse(err, errBody)
	}
	if in.AuthService == "" || in.AuthData == nil || *in.AuthData == "" {
		return fail(http.StatusBadRequest, "api.user.update_user_auth.invalid_request")
	}
	data := *in.AuthData
	answer := ok(http.StatusOK, map[string]string{"auth_data": data, "auth_service": in.AuthService})
	u := s.db.users[q.params["id"]]
	if u == nil {
		return answer // an UPDATE that found no row is a success
	}
	if len(data) > 128 || len(in.AuthService) > 32 {
		return fail(http.StatusInternalServerError, "app.user.update_auth_data.app_error")
	}
	if holder := s.db.byAuth[data]; holder != "" && holder != u.ID {
		return fail(http.StatusBadRequest, "app.user.update_auth_data.email_exists.app_error")
	}
	row := copyUser(u)
	row.AuthService, row.AuthData, row.Password = in.AuthService, data, ""
	row.UpdateAt, row.LastPasswordUpdate = q.now, q.now
	cached := s.memory[u.ID]
	s.put(&row)
	if s.profile == Profile538 {
		if cached == nil {
			cached = u
		}
		s.memory[u.ID] = cached // by-id reads go on with the old service
	}
	return answer
}

// setPassword by an admin is the only way back from another service: it erases
// the binding without a word. Other people's sessions survive it.
func (s *Server) setPassword(q *request) reply {
	var in struct {
		Current string `json:"current_password"`
		New     string `json:"new_password"`
	}
	if err := q.decode(&in); err != nil {
		return q.refuse(err, errBody)
	}
	id := q.params["id"]
	u := s.db.users[id]
	if u == nil || !q.self(id) && !q.admin() {
		return fail(http.StatusForbidden, "api.user.update_password.context.app_error")
	}
	if q.self(id) && (u.Password == "" || in.Current != u.Password) {
		return fail(http.StatusBadRequest, "api.user.update_password.incorrect.app_error")
	}
	if weak := s.weak(in.New); weak != "" {
		return fail(http.StatusBadRequest, weak)
	}
	row := copyUser(u)
	row.Password, row.AuthService, row.AuthData, row.FailedAttempts = in.New, "", "", 0
	row.UpdateAt, row.LastPasswordUpdate = q.now, q.now
	s.put(&row)
	return statusOK()
}

// verifyMember sets the verified flag; the answer does not show it, and in 5.38
// it is the row as it was stored before.
func (s *Server) verifyMember(q *request) reply {
	if !q.admin() {
		return forbidden()
	}
	u := s.db.users[q.params["id"]]
	if u == nil {
		return missingUser()
	}
	row := copyUser(u)
	row.EmailVerified, row.UpdateAt = true, q.now
	s.put(&row)
	shown, v := &row, s.viewFor(q.asker, &row)
	if v.old {
		shown, v.own, v.stored = u, true, true
	}
	return reply{status: http.StatusOK, body: appendUser(nil, shown, v)}
}

func (s *Server) resetAttempts(q *request) reply {
	if !q.admin() {
		return forbidden()
	}
	u := s.db.users[q.params["id"]]
	if u == nil {
		return missingUser()
	}
	row := copyUser(u)
	row.FailedAttempts = 0
	s.put(&row)
	return statusOK()
}

func (s *Server) migrateLDAP(q *request) reply {
	return s.migrate(q, "match_field", "api.admin.ldap.not_available.app_error")
}

func (s *Server) migrateSAML(q *request) reply {
	return s.migrate(q, "matches", "api.admin.saml.not_available.app_error")
}

// migrate checks its parameters and then says that it is not built in.
func (s *Server) migrate(q *request, needs, refusal string) reply {
	if !q.admin() {
		return forbidden()
	}
	in := map[string]any{}
	if err := q.decode(&in); err != nil {
		return q.refuse(err, errBody)
	}
	from, _ := in["from"].(string) // another type is not a service either
	switch from {
	case "email", "gitlab", "google", "office365", "ldap", "saml":
	default:
		return badBody()
	}
	if in[needs] == nil {
		return badBody()
	}
	return fail(http.StatusNotImplemented, refusal)
}
