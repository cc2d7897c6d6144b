package mmsim

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	defaultPage = 60
	maxPage     = 200
)

// paging reads page and per_page as the server does: more than 200 silently
// becomes 200, a negative or unreadable value the default.
func (q *request) paging() (offset, limit int) {
	page, err := strconv.Atoi(q.query.Get("page"))
	if err != nil || page < 0 {
		page = 0
	}
	limit, err = strconv.Atoi(q.query.Get("per_page"))
	if err != nil || limit < 0 {
		limit = defaultPage
	}
	limit = min(limit, maxPage)
	return page * limit, limit
}

func cutPage[T any](all []T, offset, limit int) []T {
	if offset >= len(all) {
		return nil
	}
	return all[offset:min(offset+limit, len(all))]
}

// listUsers pages by offset over the order of usernames, so what is inserted
// or taken away before the cursor shifts the pages behind it.
func (s *Server) listUsers(q *request) reply {
	inTeam, notInTeam := q.query.Get("in_team"), q.query.Get("not_in_team")
	if sort := q.query.Get("sort"); sort != "" && inTeam == "" && q.query.Get("in_channel") == "" {
		return badURL()
	}
	role := q.query.Get("role")
	var roles []string
	for _, one := range strings.FieldsFunc(q.query.Get("roles")+","+role, func(r rune) bool { return r == ',' }) {
		switch {
		case knownRole(one, s.profile), one == role:
			roles = append(roles, one)
		case s.profile != Profile538: // which ignored it in a list
			return badBody()
		}
	}
	if role != "" && s.profile != Profile538 && !knownRole(role, s.profile) {
		return badBody()
	}
	active, inactive := q.flag("active"), q.flag("inactive")
	noTeam := q.flag("without_team")
	keep := func(u *User) bool {
		switch {
		case inactive && u.Active(), active && !inactive && !u.Active():
			return false
		case len(roles) > 0 && !anyRole(u, roles), role == roleUser && u.IsAdmin() && s.profile != Profile538:
			return false // asked for users by "role", 11.6 leaves the admins out
		case inTeam != "" && !s.inTeam(inTeam, u.ID), notInTeam != "" && s.inTeam(notInTeam, u.ID):
			return false
		case noTeam && s.hasTeam(u.ID):
			return false
		}
		return true
	}
	plain := !active && !inactive && len(roles) == 0 && inTeam == "" && notInTeam == "" && !noTeam
	offset, limit := q.paging()
	rep := reply{status: http.StatusOK, body: s.appendUsers(q, s.page(offset, limit, plain, keep))}
	if active && inactive {
		// The real handler goes on after the error: the array and the error
		// object follow each other with status 200.
		rep.body = append(rep.body, errorBody(http.StatusBadRequest, errURL, s.ids.id())...)
	}
	switch {
	case inTeam != "":
		rep.etag = s.listETag(s.teamNewest(inTeam))
	case notInTeam != "":
		rep.etag = s.listETag(s.newest())
	}
	return rep
}

func (s *Server) page(offset, limit int, plain bool, keep func(*User) bool) []*User {
	all := s.db.byUsername()
	if plain {
		return cutPage(all, offset, limit)
	}
	var page []*User
	for _, u := range all {
		if len(page) == limit {
			break
		}
		if !keep(u) {
			continue
		}
		if offset > 0 {
			offset--
			continue
		}
		page = append(page, u)
	}
	return page
}

func (s *Server) appendUsers(q *request, page []*User) []byte {
	b := make([]byte, 0, 16+720*len(page))
	b = append(b, '[')
	for i, u := range page {
		if i > 0 {
			b = append(b, ',')
		}
		v := s.viewFor(q.asker, u)
		if !q.admin() {
			v.hideAuth, v.hideNotify, v.failed = true, true, false // not even for oneself in a list
		}
		b = appendUser(b, u, v)
	}
	return append(b, ']')
}

func anyRole(u *User, roles []string) bool {
	return slices.ContainsFunc(roles, u.HasRole)
}

func (s *Server) listETag(of string) string {
	return fmt.Sprintf("%s.%s.0x%x.0x%x.", s.version(), of, s.installed, s.installed-1)
}

// teamNewest changes when the team or one of its members does.
func (s *Server) teamNewest(teamID string) string {
	newest := int64(0)
	if t := s.db.teams[teamID]; t != nil {
		newest = t.updateAt
		for id, m := range t.members {
			newest = max(newest, m.deleteAt)
			if u := s.db.users[id]; u != nil {
				newest = max(newest, u.UpdateAt)
			}
		}
	}
	return strconv.FormatInt(newest, 10)
}

func (s *Server) newest() string {
	newest := int64(0)
	for _, u := range s.db.users {
		newest = max(newest, u.UpdateAt)
	}
	return fmt.Sprintf("%d.%d", newest, len(s.db.users))
}

// reportUsers pages by key instead of offset and is stable. It has no bots.
func (s *Server) reportUsers(q *request) reply {
	if !q.admin() {
		return forbidden()
	}
	size := 50
	if given := q.query.Get("page_size"); given != "" {
		n, err := strconv.Atoi(given)
		if err != nil || n < 1 || n > 100 {
			return fail(http.StatusBadRequest, "api.getUsersForReporting.invalid_page_size")
		}
		size = n
	}
	afterName, afterID := q.query.Get("from_column_value"), q.query.Get("from_id")
	b := []byte{'['}
	n := 0
	for _, u := range s.db.byUsername() {
		if n == size {
			break
		}
		if !s.reported(q, u) || afterID != "" && byName(u, &User{Username: afterName, ID: afterID}) <= 0 {
			continue
		}
		if n++; n > 1 {
			b = append(b, ',')
		}
		b = appendUser(b, u, view{failed: true})
		b = append(b[:len(b)-1], `,"days_active":0,"channel_count":0}`...)
	}
	return reply{status: http.StatusOK, body: append(b, ']')}
}

func (s *Server) reportCount(q *request) reply {
	if !q.admin() {
		return forbidden()
	}
	n := 0
	for _, u := range s.db.users {
		if s.reported(q, u) {
			n++
		}
	}
	return ok(http.StatusOK, n)
}

func (s *Server) reported(q *request, u *User) bool {
	role, term := q.query.Get("role_filter"), strings.ToLower(q.query.Get("search_term"))
	switch {
	case u.IsBot, q.flag("hide_active") && u.Active(), q.flag("hide_inactive") && !u.Active():
		return false
	case role != "" && !u.HasRole(role):
		return false
	}
	return term == "" || s.contains(u, term)
}

// stats counts active accounts, bots included.
func (s *Server) stats(*request) reply {
	return ok(http.StatusOK, map[string]int{"total_users_count": s.db.activeHumans + s.db.activeBots})
}

// filteredStats leaves bots out unless asked; an unknown role is no filter.
func (s *Server) filteredStats(q *request) reply {
	if !q.admin() {
		return forbidden()
	}
	deleted, bots := q.flag("include_deleted"), q.flag("include_bots")
	var roles []string
	for role := range strings.SplitSeq(q.query.Get("roles"), ",") {
		if knownRole(role, s.profile) {
			roles = append(roles, role)
		}
	}
	n := 0
	for _, u := range s.db.users {
		if (s.db.countRemote || !u.IsRemote()) && (deleted || u.Active()) && (bots || !u.IsBot) && (len(roles) == 0 || anyRole(u, roles)) {
			n++
		}
	}
	return ok(http.StatusOK, map[string]int{"total_users_count": n})
}

// invalidEmails is refused with an untranslated error while anybody may sign
// up. Closed, it lists the accounts that signed up with an e-mail.
func (s *Server) invalidEmails(q *request) reply {
	if s.conf.flag("TeamSettings", "EnableOpenServer") {
		return fail(http.StatusBadRequest, "<untranslated>")
	}
	if !q.admin() {
		return forbidden()
	}
	offset, limit := q.paging()
	return reply{status: http.StatusOK, body: s.appendUsers(q, s.page(offset, limit, false, func(u *User) bool {
		return u.Active() && !u.sso() && !u.IsBot
	}))}
}
