package mattermost_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// capabilityTable reads the table of docs/mattermost.md: what the server does, by
// recorded release.
func capabilityTable(t *testing.T) map[string]map[string]string {
	t.Helper()
	page, err := os.ReadFile(filepath.FromSlash("../../docs/mattermost.md"))
	require.NoError(t, err)
	_, table, found := strings.Cut(string(page), "| The server | 5.26–5.38 | 6–9 | 10 | 11 | What mmsync does |\n|---|---|---|---|---|---|\n")
	require.True(t, found, "the table is there, with these columns")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := map[string]map[string]string{}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		require.Len(t, cells, 6, line)
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
			require.NotEmpty(t, cells[i], line)
		}
		require.NotContains(t, rows, cells[0], "a row twice")
		rows[cells[0]] = map[string]string{"5.38": cells[1], "11.6": cells[4]}
	}
	return rows
}

// bench is a server of one profile to be tried out.
type bench struct {
	*testing.T
	s      *mmsim.Server
	target *mattermost.Target
}

func (b *bench) add(name, service string) mmsim.User {
	u := mmsim.User{Username: name, Email: name + "@example.test", AuthService: service}
	if service != "" {
		u.AuthData = "id-" + name
	} else {
		u.Password = "Passw0rd-of-" + name
	}
	return b.s.AddUser(u)
}

func (b *bench) apply(id string, o plan.Op) error {
	_, err := b.target.Apply(b.Context(), id, o, mattermost.ApplyOptions{})
	return err
}

// patched tells what becomes of a change: "yes", "no" if it is refused, "no,
// silently" if the answer is a success and the value another.
func (b *bench) patched(id string, c plan.Change) string {
	err := b.apply(id, op(plan.PatchProfile, c))
	if err == nil {
		return "yes"
	}
	if m, is := errors.AsType[*mattermost.MismatchError](err); is {
		require.Equal(b, string(c.Field), m.Field)
		return "no, silently"
	}
	require.True(b, mattermost.IsAttributeLocked(err), "%v", err)
	return "no"
}

func (b *bench) raw(method, path, body string) answered { return raw(b.T, b.s, method, path, body) }

// session logs an account in and gives a client of that session.
func (b *bench) session(u mmsim.User) *mattermost.Client {
	body := fmt.Sprintf(`{"login_id":%q,"password":%q}`, u.Username, u.Password)
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, b.s.URL()+"/api/v4/users/login", strings.NewReader(body))
	require.NoError(b, err)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(b, err)
	require.NoError(b, resp.Body.Close())
	require.Equal(b, 200, resp.StatusCode)
	return client(b.T, b.s.URL(), resp.Header.Get("Token"))
}

func yes(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}

// probes try out what each row of the table says.
func probes() map[string]func(*bench) string {
	oauth := []string{"gitlab", "google", "office365", "openid"}
	off, on := op(plan.SetActive, change("active", "true", "false")), op(plan.SetActive, change("active", "false", "true"))
	all := func(b *bench, services []string, try func(mmsim.User) string) string {
		got := map[string]bool{}
		last := ""
		for _, service := range services {
			last = try(b.add("of-"+service, service))
			got[last] = true
		}
		require.Len(b, got, 1, "they differ: %v", got)
		return last
	}
	email := func(b *bench, u mmsim.User) string { return b.patched(u.ID, change("email", u.Email, "new-"+u.Email)) }
	name := func(b *bench, u mmsim.User) string {
		return b.patched(u.ID, change("username", u.Username, "new-"+u.Username))
	}
	login := func(service string) plan.Op {
		return op(plan.SetAuth, change("auth_service", "", service), change("auth_data", "", "x"))
	}
	return map[string]func(*bench) string{
		"shows an administrator the login service": func(b *bench) string {
			a, err := b.target.Account(b.Context(), b.add("ada", "saml").ID)
			require.NoError(b, err)
			return yes(a.Auth.Service == "saml")
		},
		"shows an administrator the login data": func(b *bench) string {
			a, err := b.target.Account(b.Context(), b.add("ada", "saml").ID)
			require.NoError(b, err)
			f, err := b.target.Facts(b.Context())
			require.NoError(b, err)
			require.Equal(b, a.Auth.Data == "id-ada", f.AuthDataVisible, "Facts say the same")
			return yes(f.AuthDataVisible)
		},
		"switches accounts with login service `ldap` off and on": func(b *bench) string {
			u := b.add("ada", "ldap")
			err := b.apply(u.ID, off)
			require.True(b, err == nil || mattermost.IsLDAPManaged(err), "%v", err)
			f, ferr := b.target.Facts(b.Context())
			require.NoError(b, ferr)
			require.Equal(b, err != nil, f.LDAPLocked, "Facts say the same")
			if err == nil {
				require.NoError(b, b.apply(u.ID, on))
			}
			return yes(err == nil)
		},
		"switches them off by `DELETE` all the same": func(b *bench) string {
			return yes(b.apply(b.add("ada", "ldap").ID, byDelete()) == nil)
		},
		"deletes accounts for good as it is installed, with `ServiceSettings.EnableAPIUserDeletion` off": func(b *bench) string {
			return yes(b.raw(http.MethodDelete, "/users/"+b.add("ada", "").ID+"?permanent=true", "").status == 200)
		},
		"switches them on by any call": func(b *bench) string {
			u := b.add("ada", "ldap")
			require.NoError(b, b.apply(u.ID, byDelete()))
			return yes(b.apply(u.ID, on) == nil)
		},
		"keeps the last administrator's role": func(b *bench) string {
			err := b.apply(b.s.AdminID(), op(plan.SetRoles, change("roles", "system_admin system_user", "system_user")))
			return yes(mattermost.IsLastAdmin(err))
		},
		"keeps the last administrator from switching itself off by `DELETE`": func(b *bench) string {
			require.True(b, mattermost.IsRefused(b.apply(b.s.AdminID(), byDelete())), "mmsync does")
			return yes(b.raw(http.MethodDelete, "/users/"+b.s.AdminID(), "").status != 200)
		},
		"tells how many seats are left": func(b *bench) string {
			f, err := b.target.Facts(b.Context())
			require.NoError(b, err)
			return yes(f.SeatsLeft >= 0)
		},
		"refuses accounts beyond its seats": func(b *bench) string {
			for i := range seats - 1 {
				b.add("u"+strconv.Itoa(i), "")
			}
			err := b.apply("", create("one-more"))
			require.True(b, err == nil || mattermost.IsSeatLimit(err), "%v", err)
			return yes(err != nil)
		},
		"gives many accounts by id, only those changed since a time": func(b *bench) string {
			u := b.add("ada", "")
			got := 0
			_, err := b.target.Observe(b.Context(), []string{u.ID, b.s.AdminID()}, u.UpdateAt-1, func(a identity.Account) error {
				require.Equal(b, u.ID, a.ID)
				got++
				return nil
			})
			require.NoError(b, err)
			return yes(got == 1)
		},
		"lists all accounts in an order that renames do not disturb": func(b *bench) string {
			return yes(b.raw(http.MethodGet, "/reports/users?page_size=1&sort_column=Username", "").status == 200)
		},
		"raises the time of change when a person logs in": func(b *bench) string {
			u := b.add("ada", "")
			b.session(u)
			a, err := b.target.Client().UserByEmail(b.Context(), u.Email)
			require.NoError(b, err)
			return yes(a.UpdateAt > u.UpdateAt)
		},
		"reads by id fresh after a change of the login service": func(b *bench) string {
			u := b.add("ada", "saml")
			_, err := b.target.Client().UserByID(b.Context(), u.ID)
			require.NoError(b, err)
			require.NoError(b, b.target.Client().SetAuth(b.Context(), u.ID, identity.Auth{Service: "ldap", Data: "x"}))
			a, err := b.target.Client().UserByID(b.Context(), u.ID)
			require.NoError(b, err)
			return yes(a.Auth.Service == "ldap")
		},
		"changes the e-mail: password and `saml` accounts": func(b *bench) string {
			return all(b, []string{"", "saml"}, func(u mmsim.User) string { return email(b, u) })
		},
		"changes the e-mail: `ldap` accounts": func(b *bench) string { return email(b, b.add("ada", "ldap")) },
		"changes the e-mail: `gitlab`, `google`, `office365`, `openid` accounts": func(b *bench) string {
			return all(b, oauth, func(u mmsim.User) string { return email(b, u) })
		},
		"changes the first and last name: `gitlab`, `google`, `office365`, `openid` accounts": func(b *bench) string {
			return all(b, oauth, func(u mmsim.User) string {
				first := b.patched(u.ID, change("first_name", "", "x"))
				require.Equal(b, first, b.patched(u.ID, change("last_name", "", "x")))
				return first
			})
		},
		"changes the username: accounts with a login service": func(b *bench) string {
			return all(b, append([]string{"saml", "ldap"}, oauth...), func(u mmsim.User) string { return name(b, u) })
		},
		"changes the e-mail at once with `RequireEmailVerification` on": func(b *bench) string {
			b.s.Restart(verification())
			if email(b, b.add("ada", "")) == "yes" {
				return "yes"
			}
			return yes(email(b, b.add("bob", "saml")) == "yes")
		},
		"goes back from a login service to a password by the same call": func(b *bench) string {
			return yes(b.raw(http.MethodPut, "/users/"+b.add("ada", "saml").ID+"/auth", `{"auth_service":"","auth_data":""}`).status == 200)
		},
		"ends sessions when an account is switched off": func(b *bench) string {
			u := b.add("ada", "")
			c := b.session(u)
			require.NoError(b, b.apply(u.ID, off))
			_, err := c.Me(b.Context())
			return yes(mattermost.IsUnauthorized(err))
		},
		"ends sessions when the login service is changed": func(b *bench) string {
			u := b.add("ada", "")
			c := b.session(u)
			require.NoError(b, b.apply(u.ID, login("saml")))
			_, err := c.Me(b.Context())
			return yes(mattermost.IsUnauthorized(err))
		},
		"ends personal access tokens with the sessions": func(b *bench) string {
			u := b.add("ada", "")
			c := client(b.T, b.s.URL(), b.s.AddToken(u.ID))
			_, err := c.Me(b.Context())
			require.NoError(b, err)
			require.NoError(b, b.apply(u.ID, op(plan.RevokeSessions)))
			_, err = c.Me(b.Context())
			return yes(err != nil)
		},
		"takes a bot for all this": func(b *bench) string {
			owner := b.add("owner", "")
			bot := b.s.AddUser(mmsim.User{Username: "mmsync", IsBot: true, OwnerID: owner.ID, Roles: "system_user system_admin"})
			target := mattermost.NewTarget(client(b.T, b.s.URL(), b.s.AddToken(bot.ID)), mattermost.TargetOptions{})
			_, err := target.Facts(b.Context())
			require.NoError(b, err)
			everyOp(b.T, target)
			return yes(!b.Failed())
		},
		"has administrators with fewer rights": func(b *bench) string {
			err := b.target.Client().SetRoles(b.Context(), b.add("ada", "").ID, identity.Roles{"system_user", "system_user_manager"})
			require.True(b, mattermost.IsRefused(err), "%v", err)
			require.ErrorContains(b, err, "license")
			return "with a licence"
		},
		"makes a guest of an account by its role alone": func(b *bench) string {
			return yes(b.apply(b.add("ada", "").ID, op(plan.SetRoles, change("roles", "system_user", "system_guest"))) == nil)
		},
		"makes a guest of an account by `demote`": func(b *bench) string {
			err := b.apply(b.add("ada", "").ID, demote)
			require.True(b, mattermost.IsGuestsUnlicensed(err), "%v", err)
			return "with a licence"
		},
		"makes a full member of a guest": func(b *bench) string {
			u := b.s.AddUser(mmsim.User{Username: "guest", Email: "guest@example.test", Roles: "system_guest"})
			return yes(b.apply(u.ID, promote) == nil)
		},
		"switches guests on while guest accounts are off": func(b *bench) string {
			u := b.s.AddUser(mmsim.User{Username: "guest", Email: "guest@example.test", Roles: "system_guest", DeleteAt: 5})
			err := b.apply(u.ID, on)
			require.True(b, err == nil || mattermost.IsRefused(err) && !mattermost.IsUnauthorized(err), "%v", err)
			return yes(err == nil)
		},
		"runs an LDAP sync of its own": func(b *bench) string {
			s, err := b.target.Client().Settings(b.Context())
			require.NoError(b, err)
			require.False(b, s.LDAPSync)
			require.Equal(b, 501, b.raw(http.MethodPost, "/ldap/sync", "").status, "not licensed")
			return "with a licence"
		},
		"refuses a login service nobody has heard of": func(b *bench) string {
			u := b.add("ada", "")
			require.True(b, mattermost.IsRefused(b.apply(u.ID, login("bogus"))), "mmsync does")
			return yes(b.raw(http.MethodPut, "/users/"+u.ID+"/auth", `{"auth_service":"bogus","auth_data":"x"}`).status != 200)
		},
		"refuses to change the login of an account that is not there": func(b *bench) string {
			require.True(b, mattermost.IsNotFound(b.apply(someID, login("saml"))), "mmsync sees it")
			return yes(b.target.Client().SetAuth(b.Context(), someID, identity.Auth{Service: "saml", Data: "x"}) != nil)
		},
		"loses one of two writes to the same account at the same time": func(b *bench) string {
			u := b.add("ada", "")
			for i := range 100 {
				v := strconv.Itoa(i)
				var wg sync.WaitGroup
				for _, field := range []string{"nickname", "position"} {
					wg.Go(func() {
						body, _ := json.Marshal(map[string]string{field: v})
						if got := b.raw(http.MethodPut, "/users/"+u.ID+"/patch", string(body)); got.status != 200 {
							b.Errorf("%d", got.status)
						}
					})
				}
				wg.Wait()
				if now, _ := b.s.User(u.ID); now.Nickname != v || now.Position != v {
					return "yes"
				}
			}
			return "no"
		},
	}
}

const seats = 3

// A cell of a recorded column that a server of that release does not bear out, a
// row without a probe and a probe without a row are errors.
func TestCapabilities_thePageSaysWhatTheServersDo(t *testing.T) {
	t.Parallel()
	table, tried := capabilityTable(t), probes()
	for row := range table {
		require.Contains(t, tried, row, "nothing tries out what docs/mattermost.md says here")
	}
	for row, probe := range tried {
		require.Contains(t, table, row, "docs/mattermost.md has no such row")
		for release, profile := range profiles() {
			t.Run(release+" "+row, func(t *testing.T) {
				t.Parallel()
				now := time.Now().Add(-time.Hour)
				var mu sync.Mutex
				tick := func() time.Time { // each request at a time of its own
					mu.Lock()
					defer mu.Unlock()
					now = now.Add(time.Millisecond)
					return now
				}
				o := mmsim.Options{Profile: profile, Now: tick, LostConcurrentWrites: true}
				if strings.Contains(row, "seats") {
					o.SeatLimit = seats
				}
				s := mmsim.New(o)
				c := client(t, s.Start(t), s.AdminToken())
				_, err := c.Me(t.Context()) // the version is known from here on
				require.NoError(t, err)
				got := probe(&bench{T: t, s: s, target: mattermost.NewTarget(c, mattermost.TargetOptions{})})
				require.Equal(t, table[row][release], got, "docs/mattermost.md, column of %s", release)
			})
		}
	}
}

// The page stands for itself: it names settings that exist and no path of ours.
func TestCapabilities_thePageNamesNothingElse(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.FromSlash("../../docs/mattermost.md"))
	require.NoError(t, err)
	require.NotRegexp(t, `(?i)internal/|mmsim|\.go\b|observed|/work`, string(page))
	example, err := os.ReadFile(filepath.FromSlash("../../config.example.yaml"))
	require.NoError(t, err)
	for _, m := range regexp.MustCompile("`((?:mattermost|lifecycle)\\.[a-z_.]+)").FindAllStringSubmatch(string(page), -1) {
		parts := strings.Split(m[1], ".")
		require.Contains(t, string(example), parts[len(parts)-1]+":", m[1])
	}
	for _, section := range strings.Split(string(page), "\n## ")[1:] {
		require.Contains(t, section, "Check: `mmsync doctor -c config.yaml`", "each section ends with a check that can be run")
	}
}
