package e2e_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/slapdtest"
)

// migrants is how many people a migration is about: a thousand if MMSYNC_TEST_EVERY is
// set, for that takes minutes, and how many of them cannot be moved.
func migrants() (people, stay int) {
	if os.Getenv("MMSYNC_TEST_EVERY") != "" {
		return 1042, 30 // a thousand who have not left
	}
	return 104, 9
}

// migrating is a world whose people log in by a password, by ldap or by gitlab, and are
// all to log in by saml. A third of those who stay has login data that a deactivated
// account holds, a third is protected, and a third are administrators.
type migrating struct {
	*world
	before map[string]mmsim.User // by username
	stay   []string              // sorted
}

func newMigration(t *testing.T, st store) *migrating {
	t.Helper()
	n, stay := migrants()
	w := newWorld(t, st, settings{file: true, server: mmsim.Options{Logins: []string{"EnableSaml", "EnableLdap"}}})
	roster := slapdtest.Roster(n)
	for i := range roster {
		roster[i].Groups = nil // administrators are among those who stay, and no others
	}
	w.feed(roster)
	w.mmsync("sync", "-q").exits(0)
	m := &migrating{world: w}
	active := slices.DeleteFunc(roster, func(p slapdtest.Person) bool { return p.Disabled })
	now := time.Now().UnixMilli()
	var protected []string
	for i, p := range active {
		w.sim.SetUser(w.user(p.UID).ID, func(u *mmsim.User) {
			switch i % 5 {
			case 0:
				u.AuthService, u.AuthData, u.Password = "ldap", p.EntryUUID, ""
			case 1:
				u.AuthService, u.AuthData, u.Password = "gitlab", strconv.Itoa(1000+i), ""
			}
			u.UpdateAt = now
		})
		if k := i - 10; k >= 0 && k < stay {
			m.stay = append(m.stay, p.UID)
			switch k % 3 {
			case 0:
				w.addStranger(mmsim.User{Username: "gone." + p.UID, Email: "gone." + p.Mail, AuthService: "saml", AuthData: strings.ToLower(p.Mail), DeleteAt: now, CreateAt: now, UpdateAt: now})
			case 1:
				protected = append(protected, p.UID)
			case 2:
				w.sim.SetUser(w.user(p.UID).ID, func(u *mmsim.User) { u.Roles = "system_user system_admin" })
			}
		}
	}
	slices.Sort(m.stay)
	s := w.settings
	s.sections = "auth:\n  policy:\n    - {source: corp, service: saml, data: lower(attr.mail)}\n"
	s.limits = "  protect: {usernames: [" + strings.Join(protected, ", ") + "]}\n"
	w.configure(s)
	m.before = w.managed()
	return m
}

// preview makes the plan and gives who is moved and who has to stay, by username.
func (m *migrating) preview() (run string, moves map[string]string, stays []string) {
	m.t.Helper()
	r := m.mmsync("migrate-auth", "plan", "--json").exits(2)
	var doc struct {
		Run  string
		Plan struct{ Decisions []plan.Decision }
	}
	require.NoError(m.t, json.Unmarshal([]byte(r.stdout), &doc))
	moves = map[string]string{}
	for _, d := range doc.Plan.Decisions {
		if d.Action == plan.Hold {
			require.NotEmpty(m.t, d.Detail, "%s is told why", d.Username)
			stays = append(stays, d.Username)
			continue
		}
		moves[d.Username], _ = d.Ops[0].To(plan.FieldAuthData)
	}
	slices.Sort(stays)
	return doc.Run, moves, stays
}

// requireLogins fails unless everybody logs in as said, and as before who is not named.
func (m *migrating) requireLogins(saml map[string]string) {
	m.t.Helper()
	now := m.managed()
	require.Len(m.t, now, len(m.before))
	for name, was := range m.before {
		want := was.AuthService + ":" + was.AuthData
		if data, moved := saml[name]; moved {
			want = "saml:" + data
		}
		require.Equal(m.t, want, now[name].AuthService+":"+now[name].AuthData, name)
	}
}

func TestMigration(t *testing.T) {
	t.Parallel()
	for _, st := range stores() {
		t.Run(st.name+"/killed at three points it ends as the preview said, and a batch goes back", func(t *testing.T) {
			t.Parallel()
			m := newMigration(t, st)
			run, moves, stays := m.preview()
			require.Equal(t, m.stay, stays, "the preview names who cannot be moved")
			require.Len(t, moves, len(m.before)-len(stays))
			m.requireLogins(nil)

			began, start := time.Now(), time.Now()
			m.sim.ResetCalls()
			size := strconv.Itoa(len(moves) / 8)
			flags := []string{"--batch-size", size, "--reason", "saml", "--wait-lock", "30s", "-q"}
			at := func() int { return 1 + rand.IntN(len(moves)/2) } //nolint:gosec // where to kill; printed below
			points := []int{at(), at(), at()}
			t.Logf("killed at writes %v of about %d", points, 2*len(moves))
			write := func(c mmsim.Call) bool { return c.IsWrite() }
			m.killAt(points[0], write, append([]string{"migrate-auth", "apply", run}, flags...)...)
			m.killAt(points[1], write, append([]string{"migrate-auth", "resume"}, flags...)...)
			m.killAt(points[2], write, append([]string{"migrate-auth", "resume", run}, flags...)...)
			m.mmsync(append([]string{"migrate-auth", "resume"}, flags...)...).exits(0)
			took := time.Since(start)
			m.requireLogins(moves)
			requireJournal(t, m.world, began)
			ended := map[string]int{}
			for _, c := range m.sim.Writes() {
				if id, ok := strings.CutSuffix(strings.TrimPrefix(c.Path, "/api/v4/users/"), "/sessions/revoke/all"); ok {
					ended[id]++
				}
			}
			for name := range moves {
				require.NotZero(t, ended[m.before[name].ID], "the sessions of %s", name)
			}
			t.Logf("%d moved, %d stay, in %s with three kills", len(moves), len(stays), took.Round(time.Millisecond))
			_, _, after := m.previewOfRest()
			require.Equal(t, m.stay, after)

			m.sendsBack(moves)
		})
	}
}

// previewOfRest is preview when nobody can be moved any more.
func (m *migrating) previewOfRest() (run string, moves map[string]string, stays []string) {
	m.t.Helper()
	r := m.mmsync("migrate-auth", "plan", "--json").exits(0)
	var doc struct {
		Plan struct{ Decisions []plan.Decision }
	}
	require.NoError(m.t, json.Unmarshal([]byte(r.stdout), &doc))
	for _, d := range doc.Plan.Decisions {
		require.Equal(m.t, plan.Hold, d.Action, d.Username)
		stays = append(stays, d.Username)
	}
	slices.Sort(stays)
	return "", nil, stays
}

// sendsBack rolls a batch back: whoever had a service has it again, and whoever had a
// password keeps saml and is named.
func (m *migrating) sendsBack(moves map[string]string) {
	t := m.t
	t.Helper()
	shown := m.mmsync("migrate-auth", "rollback", "--batch", "2").exits(2)
	expect := regexp.MustCompile(`rollback (\S+) --expect (\d+) --reason`).FindStringSubmatch(shown.stdout)
	require.NotNil(t, expect, shown.stdout)
	n, err := strconv.Atoi(expect[2])
	require.NoError(t, err)
	r := m.mmsync("migrate-auth", "rollback", "--batch", "2", "--expect", expect[2], "--reason", "saml is down", "--wait-lock", "30s", "-q").exits(4)
	want, back := map[string]string{}, 0
	now := m.managed()
	for name, data := range moves {
		switch {
		case now[name].AuthService == "saml":
			want[name] = data
		case m.before[name].AuthService != "":
			back++
		}
	}
	require.Equal(t, n, back)
	require.NotZero(t, back)
	m.requireLogins(want)
	require.Contains(t, r.stderr, "the login by password cannot come back")
	m.mmsync("sync", "-q", "--wait-lock", "30s") // administrators whose role no group gives lose it; no login moves
	m.requireLogins(want)
	t.Logf("batch 2: %d back, %s", back, fmt.Sprint(strings.Count(shown.stderr, "cannot come back"))+" keep saml in the first lines")
}
