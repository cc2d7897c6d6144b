package reconcile_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Teams and channels in storms: rules about them, people who join and leave by
// themselves, places that are archived, and teams that are full.

// places are the teams and channels of a world that rules name. book.mu guards the maps
// that change.
type places struct {
	ids    map[string]string // by name; nil: no rule names any
	strict map[string]bool
	admins map[string]bool
	readd  bool
	// gave is who is where by mmsync's doing, left who went since by himself, astray
	// whose place may be another than mmsync knows.
	gave, left, astray map[string]bool
	moved              map[string]bool // accounts whose people came and went by themselves
}

var placeNames = []string{"t", "t/c", "t/d", "u"}

func at(account, space string) string { return account + " " + space }

// found makes teams and channels, and wishes about them.
func (s *storm) found() {
	p := &s.places
	p.gave, p.left, p.astray, p.moved = map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	if s.more.IntN(100) >= 45 {
		return
	}
	p.ids, p.strict, p.admins = map[string]string{}, map[string]bool{}, map[string]bool{}
	p.readd = s.more.IntN(5) == 0
	for _, name := range placeNames {
		path, body := "/teams", fmt.Sprintf(`{"name":"team-%s","display_name":"T","type":"O"}`, name)
		if team, channel := identity.TeamOf(name); channel {
			path, body = "/channels", fmt.Sprintf(`{"team_id":%q,"name":"channel-%s","display_name":"C","type":"P"}`, p.ids[team], name[2:])
		}
		var made struct{ ID string }
		if status, data := s.ask(http.MethodPost, path, body); status != http.StatusCreated || json.Unmarshal(data, &made) != nil {
			s.t.Fatalf("make %s: %d %s", name, status, data)
		}
		p.ids[name], p.strict[name], p.admins[name] = made.ID, s.more.IntN(2) == 0, s.more.IntN(2) == 0
	}
	for _, k := range s.keys() {
		s.wish(s.people[k])
	}
	s.tell("places: ids %v strict %v admins %v readd %v", p.ids, p.strict, p.admins, p.readd)
}

// slug is a place as rules call it.
func slug(name string) string {
	team, channel := identity.TeamOf(name)
	if channel {
		return "team-" + team + "/channel-" + name[2:]
	}
	return "team-" + name
}

// wish says where somebody is wanted from now on: in a channel never without its team.
func (s *storm) wish(e *entry) {
	if e.places = nil; s.places.ids == nil || e.adds {
		return
	}
	e.places = map[string]bool{}
	for _, name := range placeNames {
		if s.more.IntN(2) == 0 {
			continue
		}
		if team, channel := identity.TeamOf(name); channel {
			if _, there := e.places[team]; !there {
				e.places[team] = false
			}
		}
		e.places[name] = s.more.IntN(5) == 0
	}
}

func (e *entry) memberships() identity.Memberships {
	var list []identity.Membership
	for _, name := range slices.Sorted(maps.Keys(e.places)) {
		list = append(list, identity.Membership{Space: slug(name), Admin: e.places[name]})
	}
	return identity.NewMemberships(list...)
}

func (s *storm) placeRules(source string) plan.MembershipAuthority {
	a := plan.MembershipAuthority{Source: source}
	for _, name := range placeNames {
		a.Spaces = append(a.Spaces, plan.SpaceRule{Name: slug(name), Strict: s.places.strict[name], Admins: s.places.admins[name]})
	}
	return a
}

// ask makes one request as the server's administrator.
func (s *storm) ask(method, path, body string) (status int, data []byte) {
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // net/http compares it so too
			panic(p)
		}
	}()
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://127.0.0.1:8065/api/v4"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	w := &answerBuffer{header: http.Header{}}
	s.sim.ServeHTTP(w, r)
	return w.status, w.body.Bytes()
}

// wander lets people join and leave by themselves, and archives places.
func (s *storm) wander() {
	p := &s.places
	if p.ids == nil {
		return
	}
	users := s.sim.Users()
	for range s.more.IntN(4) {
		u, name := users[s.more.IntN(len(users))], placeNames[s.more.IntN(len(placeNames))]
		if u.IsBot || u.IsGuest() || !u.Active() {
			continue
		}
		path := "/teams/" + p.ids[name] + "/members"
		body := fmt.Sprintf(`{"team_id":%q,"user_id":%q}`, p.ids[name], u.ID)
		if strings.Contains(name, "/") {
			path = "/channels/" + p.ids[name] + "/members"
		}
		in, _, _ := s.sim.Place(p.ids[name], u.ID)
		was := map[string]bool{}
		for _, n := range placeNames {
			was[n], _, _ = s.sim.Place(p.ids[n], u.ID)
		}
		if in {
			s.ask(http.MethodDelete, path+"/"+u.ID, "")
		} else {
			s.ask(http.MethodPost, path, body)
		}
		s.book.mu.Lock()
		p.moved[u.ID] = true
		for _, n := range placeNames {
			switch now, _, _ := s.sim.Place(p.ids[n], u.ID); {
			case now && !was[n]:
				p.astray[at(u.ID, n)] = false
				delete(p.left, at(u.ID, n))
			case !now && was[n]:
				p.astray[at(u.ID, n)] = true
				p.left[at(u.ID, n)] = p.gave[at(u.ID, n)]
				if p.left[at(u.ID, n)] {
					s.seen.add("left by himself")
				}
			}
		}
		if now, ok := s.sim.User(u.ID); ok {
			if _, mine := s.mine[u.ID]; mine { // it is dated anew
				s.mine[u.ID] = now
			}
		}
		s.book.tell("server: %s %s goes in or out of %s; he was in: %v", u.ID, u.Username, name, in)
		s.book.mu.Unlock()
	}
	if s.more.IntN(100) < 6 {
		name := pick(s.more, "t/d", "u")
		path := "/teams/" + p.ids[name]
		if strings.Contains(name, "/") {
			path = "/channels/" + p.ids[name]
		}
		s.ask(http.MethodDelete, path, "")
		s.seen.add("a place is archived")
		s.tell("server: %s is archived", name)
	}
}

var placePath = regexp.MustCompile(`^/api/v4/(teams|channels)/([a-z0-9]{26})/members(?:/([a-z0-9]{26})(/schemeRoles)?)?$`)

// placeOf tells which write a request about a place is, whose, and where. Who joins
// stands in the body.
func placeOf(r *http.Request) (kind plan.OpKind, account, space string) {
	m := placePath.FindStringSubmatch(r.URL.Path)
	if m == nil || r.Method == http.MethodGet {
		return "", "", ""
	}
	kinds := map[string][]plan.OpKind{
		"teams":    {plan.JoinTeam, plan.LeaveTeam, plan.SetTeamRoles},
		"channels": {plan.JoinChannel, plan.LeaveChannel, plan.SetChannelRoles},
	}[m[1]]
	switch {
	case m[3] == "":
		return kinds[0], "", m[2]
	case m[4] == "":
		return kinds[1], m[3], m[2]
	}
	return kinds[2], m[3], m[2]
}

func isPlace(k plan.OpKind) bool {
	return slices.Contains([]plan.OpKind{plan.JoinTeam, plan.LeaveTeam, plan.SetTeamRoles, plan.JoinChannel, plan.LeaveChannel, plan.SetChannelRoles}, k)
}

func (s *storm) placeName(id string) string {
	for _, name := range placeNames {
		if s.places.ids[name] == id {
			return name
		}
	}
	return "nowhere"
}

// placed judges a write about a team or channel. b.mu is held.
func (w wire) placed(a *attempt, key identity.Key, u mmsim.User, body []byte) (takes bool) {
	b, s, p := &w.s.book, w.s, &w.s.places
	e, name := s.people[key], s.placeName(a.space)
	bad := func(format string, args ...any) {
		b.wrong("run %s: %s of %s %s in %s: %s", w.run.name, a.kind, key, u.Username, name, fmt.Sprintf(format, args...))
	}
	if read := w.run.reads[key.Source]; read == nil {
		bad("his source was not read")
	} else if active, listed := read.listed[key]; !listed || !active {
		bad("his source does not list him as active")
	}
	if e == nil || p.ids == nil || name == "nowhere" || e.adds {
		bad("no rule of his source names it")
		return false
	}
	if (u.IsGuest() || e.guest && s.rules.guests) && !w.run.edited[a.account] {
		bad("a guest is moved")
	}
	admin, wanted := e.places[name]
	switch a.kind {
	case plan.JoinTeam, plan.JoinChannel:
		if !wanted {
			bad("nobody wants him there")
		}
		if p.left[at(a.account, name)] && !p.readd {
			bad("he left by himself")
		}
	case plan.LeaveTeam, plan.LeaveChannel:
		if takes = true; wanted || !p.strict[name] {
			bad("he is taken out")
		}
	default:
		to := bytes.Contains(body, []byte(`"scheme_admin":true`))
		if takes = !to; to && !admin || !to && (admin || !p.strict[name] || !p.admins[name]) {
			bad("administrator %v", to)
		}
	}
	return takes
}

// settles keeps what came of a call about a place that is recorded.
func (s *storm) settles(account string, op plan.Op) {
	p := &s.places
	name := s.placeName(op.SpaceID)
	switch op.Kind {
	case plan.JoinTeam, plan.JoinChannel:
		s.seen.add("joined")
		p.gave[at(account, name)] = true
	case plan.LeaveTeam, plan.LeaveChannel:
		s.seen.add("taken out")
		for _, n := range placeNames {
			if team, _ := identity.TeamOf(n); n == name || team == name {
				delete(p.gave, at(account, n))
			}
		}
	default:
		s.seen.add("administrator of a place")
	}
}

// unwish forgets who left by himself where he is not wanted any more: a new wish counts
// anew. book.mu is held.
func (s *storm) unwish(k identity.Key, e *entry) {
	for account, owner := range s.book.owner {
		if owner != k {
			continue
		}
		for _, n := range placeNames {
			if _, wanted := e.places[n]; !wanted || !e.active {
				delete(s.places.left, at(account, n))
				delete(s.places.gave, at(account, n))
			}
		}
	}
}

// inPlaces compares where somebody is with where he is wanted.
func (j judge) inPlaces(e *entry, u *mmsim.User) (out []string) {
	p := &j.storm.places
	if p.ids == nil || e.adds || u.IsGuest() || e.guest {
		return nil
	}
	for _, n := range placeNames {
		admin, wanted := e.places[n]
		in, is, open := j.sim.Place(p.ids[n], u.ID)
		team, _ := identity.TeamOf(n)
		inTeam, _, teamOpen := j.sim.Place(p.ids[team], u.ID)
		if team == "" {
			inTeam, teamOpen = true, true
		}
		excused := !p.readd && (p.astray[at(u.ID, n)] || p.astray[at(u.ID, team)] || !j.book.restored.IsZero())
		switch {
		case !open || !teamOpen:
		case wanted && !in && !excused && (inTeam || !p.astray[at(u.ID, team)]):
			out = append(out, "he is not in "+n)
		case !wanted && in && p.strict[n]:
			out = append(out, "he is in "+n)
		case wanted && in && admin && !is:
			out = append(out, "he is not administrator of "+n)
		case wanted && in && !admin && is && p.strict[n] && p.admins[n]:
			out = append(out, "he is administrator of "+n)
		}
	}
	return out
}
