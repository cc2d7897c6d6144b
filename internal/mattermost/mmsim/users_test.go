package mmsim_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

func many(n int) []mmsim.User {
	out := make([]mmsim.User, n)
	for i := range out {
		name := fmt.Sprintf("u%06d", i)
		out[i] = mmsim.User{
			Username: name, Email: name + "@example.test", AuthService: "saml", AuthData: "id-" + name,
			FirstName: "First", LastName: "Last",
		}
	}
	return out
}

func TestList_paging(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	s.AddUsers(many(450))
	c := admin(t, s)
	for query, want := range map[string]int{
		"": 60, "?per_page=200": 200, "?per_page=201": 200, "?per_page=1000": 200, "?per_page=0": 0, "?per_page=-1": 60,
		"?per_page=abc": 60, "?page=-1&per_page=10": 10, "?page=2&per_page=200": 51, "?page=2&per_page=1000": 51,
		"?page=9999": 0,
	} {
		require.Len(t, c.list("/users"+query), want, "per_page clamps, pages count in what it was clamped to: %s", query)
	}
}

func TestList_isUnstable(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	s.AddUsers(many(40))
	c := admin(t, s)
	first := names(c.list("/users?per_page=10&page=0"))
	person(s, "aaa")
	second := names(c.list("/users?per_page=10&page=1"))
	require.Equal(t, first[9], second[0], "an insert before the cursor repeats the last row")

	first = names(c.list("/users?active=true&per_page=10&page=0"))
	u, _ := s.UserByName(first[3])
	c.want(200, "PUT", "/users/"+u.ID+"/active", map[string]any{"active": false})
	second = names(c.list("/users?active=true&per_page=10&page=1"))
	require.NotContains(t, second, "u000008", "a row that leaves the filter lets the next page skip one")
	require.NotContains(t, first, "u000008")
}

// walk reads all pages and calls between before each but the first.
func walk(c client, query string, between func(page int)) (rows []string) {
	for page := 0; ; page++ {
		if page > 0 {
			between(page)
		}
		got := names(c.list(fmt.Sprintf("/users?per_page=200&page=%d%s", page, query)))
		if len(got) == 0 {
			return rows
		}
		rows = append(rows, got...)
	}
}

// The numbers are those of a walk over 31 pages of a real server.
func TestList_driftsAsObserved(t *testing.T) {
	t.Parallel()
	const people = 6002
	t.Run("accounts made during a walk come as doubles, and nobody is missed", func(t *testing.T) {
		t.Parallel()
		s := mmsim.New(mmsim.Options{})
		before := s.AddUsers(many(people))
		made := 0
		rows := walk(admin(t, s), "", func(int) {
			for range min(6, 180-made) {
				person(s, fmt.Sprintf("a%03d", made))
				made++
			}
		})
		require.Equal(t, 180, made)
		seen := map[string]int{}
		for _, name := range rows {
			seen[name]++
		}
		require.InDelta(t, 178, len(rows)-len(seen), 5)
		for _, u := range before {
			if seen[u.Username] == 0 {
				t.Errorf("%s was missed", u.Username)
			}
		}
	})
	for query, want := range map[string]int{"&active=true": 50, "": 0} {
		t.Run(fmt.Sprintf("deactivations during a walk with %q", query), func(t *testing.T) {
			t.Parallel()
			s := mmsim.New(mmsim.Options{})
			s.AddUsers(many(people))
			c, off := admin(t, s), 0
			seen := map[string]bool{}
			for _, name := range walk(c, query, func(int) {
				for range min(2, 55-off) {
					u, _ := s.UserByName(fmt.Sprintf("u%06d", off))
					c.want(200, "PUT", "/users/"+u.ID+"/active", map[string]any{"active": false})
					off++
				}
			}) {
				seen[name] = true
			}
			missed := 0
			for _, u := range s.Users() {
				if u.Active() && !seen[u.Username] {
					missed++
				}
			}
			require.Equal(t, 55, off)
			require.InDelta(t, want, missed, float64(want)/10)
		})
	}
}

func TestList_activeAndInactiveIsNoJSON(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	status, raw := admin(t, s).do("GET", "/users?active=true&inactive=true", nil)
	require.Equal(t, 200, status)
	require.Contains(t, string(raw), `[]{"id":"api.context.invalid_url_param.app_error"`)
}

func TestIDs_sinceIsStrictlyGreater(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	u := s.AddUser(mmsim.User{Username: "ann", Email: "ann@example.test", CreateAt: 1000, UpdateAt: 5000})
	c := admin(t, s)
	ids := []string{u.ID, u.ID, "zzzzzzzzzzzzzzzzzzzzzzzzzz", "short"}
	require.Len(t, c.listOf("POST", "/users/ids", ids), 1, "unknown and malformed ids are left out, doubles collapse")
	require.Len(t, c.listOf("POST", "/users/ids?since=4999", ids), 1)
	require.Empty(t, c.listOf("POST", "/users/ids?since=5000", ids))
	c.want(400, "POST", "/users/ids?since=x", ids)
}

func TestIDs_loginRaisesUpdateAtBehindTheCache(t *testing.T) {
	t.Parallel()
	clock := time.UnixMilli(1_790_000_000_000)
	s := mmsim.New(mmsim.Options{Now: func() time.Time { return clock }})
	u := person(s, "ann")
	clock = clock.Add(time.Second)
	client{t: t, srv: s}.want(200, "POST", "/users/login", map[string]any{"login_id": "ann", "password": "Passw0rd-ok-1!"})
	c := admin(t, s)
	require.InDelta(t, u.UpdateAt, c.want(200, "GET", "/users/"+u.ID, nil)["update_at"], 0)
	require.InDelta(t, clock.UnixMilli(), c.want(200, "GET", "/users/username/ann", nil)["update_at"], 0)
}

func TestBody_limit(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	ids := make([]string, 9000)
	for i := range ids {
		ids[i] = strings.Repeat("z", 26)
	}
	c := admin(t, s)
	require.Empty(t, c.listOf("POST", "/users/ids", ids))
	c.want(413, "POST", "/users/ids", slices.Concat(ids, ids))
}

func TestCreate_uniqueUnderConcurrency(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	for round, body := range []string{
		`{"username":"one","email":"e%d@example.test","auth_service":"saml","auth_data":"d%d"}`,
		`{"username":"n%d","email":"two@example.test","auth_service":"saml","auth_data":"f%d"}`,
		`{"username":"m%d","email":"g%d@example.test","auth_service":"saml","auth_data":"three"}`,
	} {
		var wg sync.WaitGroup
		statuses := make([]int, 8)
		for i := range statuses {
			wg.Go(func() {
				text := strings.ReplaceAll(body, "%d", fmt.Sprint(i))
				statuses[i], _ = admin(t, s).do("POST", "/users", text)
			})
		}
		wg.Wait()
		made := 0
		for _, status := range statuses {
			switch status {
			case 201:
				made++
			case 400, 500:
				require.Equal(t, round == 2, status == 500, "taken auth data is the one answered with 500")
			default:
				t.Errorf("status %d", status)
			}
		}
		require.Equal(t, 1, made)
	}
}

func TestRoles_lastAdmin(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	s.AddUser(mmsim.User{Username: "bot", IsBot: true, OwnerID: s.AdminID(), Roles: "system_user system_admin"})
	gone := s.AddUser(mmsim.User{Username: "gone", Email: "gone@example.test", Roles: "system_user system_admin", DeleteAt: 5})
	c := admin(t, s)
	path := "/users/" + s.AdminID() + "/roles"
	body := c.want(400, "PUT", path, map[string]any{"roles": "system_user"})
	require.Equal(t, "app.user.update.lastAdmin.app_error", body["id"], "neither a bot nor a deactivated admin counts")
	c.want(400, "PUT", path, "{bad")
	c.want(200, "PUT", "/users/"+gone.ID+"/active", map[string]any{"active": true})
	c.want(200, "PUT", path, map[string]any{"roles": "system_user"})

	old := mmsim.New(mmsim.Options{Profile: mmsim.Profile538})
	admin(t, old).want(200, "PUT", "/users/"+old.AdminID()+"/roles", map[string]any{"roles": "system_user"})
}

func TestRoles_badBodyWipes(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	u := person(s, "ann")
	admin(t, s).want(200, "PUT", "/users/"+u.ID+"/roles", "{bad")
	now, _ := s.User(u.ID)
	require.Empty(t, now.Roles)
}

func TestLogin_locksAfterTenWrongPasswords(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	person(s, "ann")
	c := client{t: t, srv: s}
	wrong := map[string]any{"login_id": "ann", "password": "wrong"}
	for range 10 {
		require.Equal(t, "api.user.login.invalid_credentials_email_username", c.want(401, "POST", "/users/login", wrong)["id"])
	}
	right := map[string]any{"login_id": "ann", "password": "Passw0rd-ok-1!"}
	require.Equal(t, "api.user.check_user_login_attempts.too_many.app_error", c.want(401, "POST", "/users/login", right)["id"])
}

func TestAuth_oldServerReadsStaleRowsByID(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		profile mmsim.Profile
		byID    string
		rename  int
	}{{mmsim.Profile538, "", 200}, {mmsim.Profile116, "saml", 409}} {
		s := mmsim.New(mmsim.Options{Profile: tc.profile})
		u := person(s, "ann")
		c := admin(t, s)
		c.want(200, "PUT", "/users/"+u.ID+"/auth", map[string]any{"auth_service": "saml", "auth_data": "a"})
		require.Equal(t, tc.byID, c.want(200, "GET", "/users/"+u.ID, nil)["auth_service"])
		require.Equal(t, tc.byID, c.listOf("POST", "/users/ids", []string{u.ID})[0]["auth_service"])
		require.Equal(t, "saml", c.want(200, "GET", "/users/username/ann", nil)["auth_service"])
		require.Equal(t, "saml", c.listOf("POST", "/users/usernames", []string{"ann"})[0]["auth_service"])
		c.want(tc.rename, "PUT", "/users/"+u.ID+"/patch", map[string]any{"username": "bea"}) // its checks go by the memory too
	}
}

func TestSeats(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{SeatLimit: 3})
	ann, bea := person(s, "ann"), person(s, "bea")
	c := admin(t, s)
	create := map[string]any{"username": "cleo", "email": "cleo@example.test", "auth_service": "saml", "auth_data": "c"}
	require.Equal(t, "api.user.create_user.user_limits.exceeded", c.want(400, "POST", "/users", create)["id"])
	c.want(200, "PUT", "/users/"+ann.ID+"/active", map[string]any{"active": false})
	c.want(201, "POST", "/users", create)
	body := c.want(400, "PUT", "/users/"+ann.ID+"/active", map[string]any{"active": true})
	require.Equal(t, "app.user.update_active.user_limit.exceeded", body["id"])
	c.want(200, "PUT", "/users/"+bea.ID+"/patch", map[string]any{"nickname": "b"})
	require.InDelta(t, 3, c.want(200, "GET", "/limits/server", nil)["activeUserCount"], 0)
}

func TestUsers_areCopies(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	props := map[string]string{"a": "1"}
	u := s.AddUser(mmsim.User{Username: "ann", Email: "ann@example.test", Props: props})
	props["a"], u.Props["a"] = "2", "3"
	now, _ := s.User(u.ID)
	require.Equal(t, "1", now.Props["a"])
	now.Props["a"] = "4"
	now, _ = s.User(u.ID)
	require.Equal(t, "1", now.Props["a"])
	require.Panics(t, func() { s.AddUser(mmsim.User{Username: "ann"}) })
}

func TestSeed_repeatsIDs(t *testing.T) {
	t.Parallel()
	a, b := mmsim.New(mmsim.Options{Seed: 3}), mmsim.New(mmsim.Options{Seed: 3})
	require.Equal(t, a.AdminID(), b.AdminID())
	require.Equal(t, a.AdminToken(), b.AdminToken())
	require.NotEqual(t, a.AdminID(), mmsim.New(mmsim.Options{}).AdminID())
}

func TestReports_keysetPagesAreStable(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	s.AddUsers(many(30))
	c := admin(t, s)
	seen := map[string]bool{}
	path := "/reports/users?page_size=10&sort_column=Username"
	for page := c.list(path); len(page) > 0; {
		for _, u := range page {
			id, _ := u["id"].(string)
			require.False(t, seen[id])
			seen[id] = true
		}
		person(s, fmt.Sprintf("aaa%d", len(seen)))
		last := page[len(page)-1]
		page = c.list(fmt.Sprintf("%s&from_column_value=%s&from_id=%s", path, last["username"], last["id"]))
	}
	require.Len(t, seen, 31)
	c.want(400, "GET", "/reports/users?page_size=101", nil)
}

func BenchmarkIDs_since100k(b *testing.B) {
	s := mmsim.New(mmsim.Options{MaxCalls: -1})
	users := s.AddUsers(many(100_000))
	bodies := idBodies(users)
	path := fmt.Sprintf("/users/ids?since=%d", users[len(users)-1].UpdateAt)
	b.Run("nothing changed", func(b *testing.B) { askAll(b, path, s, bodies) })
	b.Run("everything", func(b *testing.B) { askAll(b, "/users/ids", s, bodies) })
}

func idBodies(users []mmsim.User) []string {
	var bodies []string
	for start := 0; start < len(users); start += 3000 {
		ids := make([]string, 0, 3000)
		for _, u := range users[start:min(start+3000, len(users))] {
			ids = append(ids, `"`+u.ID+`"`)
		}
		bodies = append(bodies, "["+strings.Join(ids, ",")+"]")
	}
	return bodies
}

func askAll(b *testing.B, path string, s *mmsim.Server, bodies []string) {
	b.Helper()
	c := admin(b, s)
	for b.Loop() {
		for _, body := range bodies {
			if status, _ := c.do(http.MethodPost, path, body); status != 200 {
				b.Fatal(status)
			}
		}
	}
}

func BenchmarkList_walk100k(b *testing.B) {
	s := mmsim.New(mmsim.Options{MaxCalls: -1})
	s.AddUsers(many(100_000))
	c := admin(b, s)
	for b.Loop() {
		for page := range 502 {
			if status, _ := c.do(http.MethodGet, fmt.Sprintf("/users?per_page=200&page=%d", page), nil); status != 200 {
				b.Fatal(status)
			}
		}
	}
}
