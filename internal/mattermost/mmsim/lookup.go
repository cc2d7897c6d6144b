package mmsim

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

func userRoutes(p Profile) []route {
	routes := []route{
		get("users", (*Server).listUsers),
		post("users", (*Server).createUser).open().hashing(),
		post("users/ids", (*Server).usersByIDs),
		post("users/usernames", (*Server).usersByNames),
		post("users/search", (*Server).searchUsers),
		get("users/stats", (*Server).stats),
		get("users/stats/filtered", (*Server).filteredStats),
		get("users/email/{email}", (*Server).userByEmail),
		get("users/username/{username}", (*Server).userByUsername),
	}
	if p != Profile538 {
		routes = append(routes,
			get("users/invalid_emails", (*Server).invalidEmails),
			get("reports/users", (*Server).reportUsers),
			get("reports/users/count", (*Server).reportCount),
		)
	}
	return append(routes, get("users/{id}", (*Server).getUser))
}

// getUser reads by id, from the server's memory.
func (s *Server) getUser(q *request) reply {
	u := s.byID(q, q.params["id"])
	if u == nil {
		return missingUser()
	}
	if u.nullTimezone != nil && u.nullTimezone.Swap(false) {
		shown := *u
		shown.timezoneNull = true
		u = &shown
	}
	return s.oneUser(q, u, q.self(u.ID))
}

func (s *Server) oneUser(q *request, u *User, own bool) reply {
	v := s.viewFor(q.asker, u)
	v.own = own
	return reply{status: http.StatusOK, body: appendUser(nil, u, v), etag: s.userETag(u)}
}

func (s *Server) userETag(u *User) string {
	return fmt.Sprintf("%s.%s.%d..0.true.true.0", s.version(), u.ID, u.UpdateAt)
}

// userByEmail takes any case and finds deactivated accounts too.
func (s *Server) userByEmail(q *request) reply {
	email := strings.ToLower(q.params["email"])
	if !s.validEmail(email) {
		return badURL()
	}
	u := s.db.users[s.db.byEmail[email]]
	if u == nil {
		return missingUser()
	}
	return s.oneUser(q, u, false)
}

// userByUsername refuses upper case. A user called "me" is that user.
func (s *Server) userByUsername(q *request) reply {
	name := q.params["username"]
	if !validUsername(name) {
		return badBody()
	}
	u := s.db.users[s.db.byName[name]]
	if u == nil {
		return fail(http.StatusNotFound, "app.user.get_by_username.app_error")
	}
	return s.oneUser(q, u, false)
}

// list reads a body that is a list of words. What is not one is refused with
// an id that 5.38 did not know yet.
func (s *Server) list(q *request) ([]string, *reply) {
	var words []string
	if err := q.decode(&words); err != nil {
		id := errParse
		if s.profile == Profile538 {
			id = errBody
		}
		rep := q.refuse(err, id)
		return nil, &rep
	}
	if len(words) == 0 {
		rep := badBody()
		return nil, &rep
	}
	return words, nil
}

// usersByIDs leaves unknown and malformed ids out without an error. With since
// it answers only rows that changed strictly later. It has no count limit.
func (s *Server) usersByIDs(q *request) reply {
	ids, refusal := s.list(q)
	if refusal != nil {
		return *refusal
	}
	since := int64(0)
	if given := q.query.Get("since"); given != "" {
		n, err := strconv.ParseInt(given, 10, 64)
		if err != nil {
			return badBody()
		}
		since = n
	}
	if s.profile != Profile538 { // which answered in the order asked, doubles too
		slices.Sort(ids)
		ids = slices.Compact(ids)
	}
	found := make([]*User, 0, len(ids)/8)
	for _, id := range ids {
		if u := s.byID(q, id); u != nil && u.UpdateAt > since {
			found = append(found, u)
		}
	}
	return reply{status: http.StatusOK, body: s.appendUsers(q, found)}
}

// usersByNames compares exactly: the names are stored in lower case.
func (s *Server) usersByNames(q *request) reply {
	names, refusal := s.list(q)
	if refusal != nil {
		return *refusal
	}
	var found []*User
	for _, name := range names {
		if u := s.db.users[s.db.byName[name]]; u != nil {
			found = append(found, u)
		}
	}
	slices.SortFunc(found, byName)
	found = slices.Compact(found)
	return reply{status: http.StatusOK, body: s.appendUsers(q, found)}
}

// searchUsers finds a term anywhere in the names and the e-mail (5.38: at their
// start), never in the auth data; without allow_inactive only active accounts.
func (s *Server) searchUsers(q *request) reply {
	in := struct {
		Term          string   `json:"term"`
		AllowInactive bool     `json:"allow_inactive"`
		Limit         int      `json:"limit"`
		Role          string   `json:"role"`
		Roles         []string `json:"roles"`
	}{}
	if err := q.decode(&in); err != nil {
		return q.refuse(err, errBody)
	}
	if in.Limit == 0 {
		in.Limit = 100
	}
	if in.Term == "" || in.Limit < 0 || in.Limit > 1000 {
		return badBody()
	}
	term := strings.ToLower(in.Term)
	if in.Role != "" {
		in.Roles = append(in.Roles, in.Role)
	}
	return reply{status: http.StatusOK, body: s.appendUsers(q, s.page(0, in.Limit, false, func(u *User) bool {
		return (in.AllowInactive || u.Active()) && (len(in.Roles) == 0 || anyRole(u, in.Roles)) && s.contains(u, term)
	}))}
}

func (s *Server) contains(u *User, term string) bool {
	for _, text := range []string{u.Username, u.Nickname, u.FirstName, u.LastName, u.Email} {
		text = strings.ToLower(text)
		if s.profile != Profile538 && strings.Contains(text, term) || strings.HasPrefix(text, term) {
			return true
		}
	}
	return false
}
