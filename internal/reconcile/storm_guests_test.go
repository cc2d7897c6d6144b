package reconcile_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Guests in storms: rules that make some, and a server whose guest feature goes off and
// on, in the middle of a run as well.

// host decides whether the server has guests.
func (s *storm) host() {
	if s.rules.profile != mmsim.Profile116 || s.more.IntN(100) >= 45 {
		return
	}
	s.rules.guests, s.rules.guestLost = true, pick(s.more, plan.LostTake, plan.LostTake, plan.LostAsk, plan.LostKeep)
	s.guestFeature(true)
	for _, k := range s.keys() {
		s.people[k].guest = s.more.IntN(5) == 0
	}
	s.tell("guests: %s", s.rules.guestLost)
}

// guestFeature switches the server's guest feature; off, it takes all guests with it. It
// gives whom it switched off.
func (s *storm) guestFeature(on bool) (ids []string) {
	body := `{"GuestAccountsSettings":{"Enable":false}}`
	if on {
		body = `{"GuestAccountsSettings":{"Enable":true}}`
	}
	before := s.sim.Users()
	status, _ := s.ask(http.MethodPut, "/config/patch", body)
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	for _, was := range before {
		if u, ok := s.sim.User(was.ID); ok && was.Active() && !u.Active() {
			ids = append(ids, u.ID)
			s.book.touched[u.ID] = time.Now()
			if _, mine := s.mine[u.ID]; mine {
				s.mine[u.ID] = u
			}
		}
	}
	if status == http.StatusOK || len(ids) > 0 {
		s.guestsOn = on
		if !on {
			s.seen.add("guest feature switched off")
		}
	}
	s.book.tell("server: guest feature on %v, answer %d; switched off: %v", on, status, ids)
	return ids
}

// licensed answers what a licence for guests changes, as package licencetest does, and
// tells whether that was all.
func (s *storm) licensed(w http.ResponseWriter, r *http.Request) bool {
	if !s.rules.guests {
		return false
	}
	answer := func(status int, body string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
	id, demotes := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/api/v4/users/"), "/demote")
	s.book.mu.Lock()
	on := s.guestsOn
	s.book.mu.Unlock()
	switch {
	case strings.HasSuffix(r.URL.Path, "/license/client"):
		answer(http.StatusOK, `{"IsLicensed":"true","GuestAccounts":"true","CustomPermissionsSchemes":"true"}`)
		return true
	case demotes && !on:
		answer(http.StatusNotImplemented, `{"id":"api.team.demote_user_to_guest.disabled.error","status_code":501}`)
		return true
	case demotes:
		body := []byte(`{"roles":"system_guest"}`)
		r.Method, r.URL.Path, r.ContentLength = http.MethodPut, "/api/v4/users/"+id+"/roles", int64(len(body))
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
	}
	return false
}

// guested judges a write that makes a guest, or a full member of one. b.mu is held.
func (w wire) guested(a *attempt, key identity.Key, u mmsim.User) {
	b, e := &w.s.book, w.s.people[key]
	read := w.run.reads[key.Source]
	if read == nil || e == nil {
		b.wrong("run %s: %s of %s, whose source was not read", w.run.name, a.kind, key)
		return
	}
	active, listed := read.listed[key]
	switch {
	case !listed || !active:
		b.wrong("run %s: %s of %s, whom his source does not list as active", w.run.name, a.kind, key)
	case !w.s.rules.guests || e.adds || e.guest != (a.kind == plan.Demote):
		b.wrong("run %s: %s of %s, and no rule says so", w.run.name, a.kind, key)
	case w.run.edited[a.account]:
	case a.kind == plan.Promote && (w.s.rules.guestLost != plan.LostTake || !b.demoted[a.account]):
		b.wrong("run %s: %s of %s %s gets more rights, and nobody was asked", w.run.name, a.kind, key, u.Username)
	case a.kind == plan.Demote && !identity.ParseRoles(u.Roles).Equal(identity.NewRoles(identity.RoleUser)):
		b.wrong("run %s: a guest is made of %s %s, who holds %s", w.run.name, key, u.Username, u.Roles)
	}
}

// guest compares whether somebody is a guest with what is wanted.
func (j judge) guest(e *entry, u *mmsim.User) string {
	if !j.rules.guests || e.adds || e.guest == u.IsGuest() {
		return ""
	}
	others := identity.ParseRoles(u.Roles).Minus(identity.NewRoles(identity.RoleUser, identity.RoleGuest, identity.RoleAdmin))
	switch {
	case e.guest && (!j.guestsOn || len(others) > 0):
	case e.guest:
		return "he is no guest"
	case j.rules.guestLost != plan.LostTake || !j.book.demoted[u.ID] || len(identity.ParseRoles(u.Roles)) > 1 || !j.book.restored.IsZero():
	default:
		return "he is still a guest"
	}
	return ""
}
