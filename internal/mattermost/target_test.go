package mattermost_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

func TestTarget_Observe(t *testing.T) {
	t.Parallel()
	t.Run("it asks 3,000 at a time and passes on what exists", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{
			MaxCallBody: 1 << 20, Settings: map[string]string{"MM_SERVICESETTINGS_MAXIMUMPAYLOADSIZEBYTES": "100000"},
		})
		ids := manyIDs(6_001)
		ids[6_000] = s.AdminID()
		var got []string
		date, err := target.Observe(t.Context(), ids, 0, func(a identity.Account) error { got = append(got, a.ID); return nil })
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), date, 5*time.Second)
		require.Equal(t, []string{s.AdminID()}, got)
		require.Len(t, s.Calls(), 3)
		require.Less(t, len(s.Calls()[0].Body), 100_000, "the limit of servers that have been there for long")
	})
	t.Run("a server that takes less is asked for less, and not for more again", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{Settings: map[string]string{"MM_SERVICESETTINGS_MAXIMUMPAYLOADSIZEBYTES": "30000"}})
		ids := manyIDs(4_000)
		ids[0], ids[3_999] = s.AdminID(), s.AddUser(mmsim.User{Username: "last", Email: "last@example.test"}).ID
		for range 2 {
			var got []string
			_, err := target.Observe(t.Context(), ids, 0, func(a identity.Account) error { got = append(got, a.ID); return nil })
			require.NoError(t, err)
			require.Equal(t, []string{ids[0], ids[3_999]}, got, "each once")
		}
		refused := 0
		for _, c := range s.Calls() {
			if c.Status == http.StatusRequestEntityTooLarge {
				refused++
			}
		}
		require.Equal(t, 2, refused, "87 kB and 43 kB, once")
	})
	t.Run("what refuses any list has another fault, and is not remembered", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		well := s.Fail(mmsim.Fault{Path: "/users/ids", Status: http.StatusRequestEntityTooLarge})
		ids := append(manyIDs(2_999), s.AdminID())
		take := func(identity.Account) error { return nil }
		_, err := target.Observe(t.Context(), ids, 0, take)
		require.Error(t, err)
		require.Less(t, len(s.Calls()), 8)
		well()
		_, err = target.Facts(t.Context())
		require.NoError(t, err)
		s.ResetCalls()
		_, err = target.Observe(t.Context(), ids, 0, take)
		require.NoError(t, err)
		require.Len(t, s.Calls(), 1, "as many as ever, once the server was looked at again")
	})
	t.Run("of a list that an older server cut off it says that it cannot be read", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		s.Fail(mmsim.Fault{Path: "/users/ids", Status: 400, ErrorID: "api.context.invalid_body_param.app_error", Count: 1})
		n := 0
		_, err := target.Observe(t.Context(), append(manyIDs(2_000), s.AdminID()), 0, func(identity.Account) error { n++; return nil })
		require.NoError(t, err)
		require.Equal(t, 1, n)
		s.Fail(mmsim.Fault{Path: "/users/ids", Status: 400, ErrorID: "api.context.invalid_body_param.app_error", Count: 1})
		_, err = target.Observe(t.Context(), []string{s.AdminID()}, 0, nil)
		require.True(t, mattermost.IsRefused(err), "a short list is not too large")
	})
	t.Run("since passes on only what is newer", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		old := s.AddUser(mmsim.User{Username: "old", Email: "old@example.test", CreateAt: 1000, UpdateAt: 1000})
		fresh := s.AddUser(mmsim.User{Username: "new", Email: "new@example.test", CreateAt: 1000, UpdateAt: 1001})
		var got []string
		_, err := target.Observe(t.Context(), []string{old.ID, fresh.ID}, 1000, func(a identity.Account) error { got = append(got, a.ID); return nil })
		require.NoError(t, err)
		require.Equal(t, []string{fresh.ID}, got)
	})
	t.Run("nothing asked, nothing sent", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		date, err := target.Observe(t.Context(), nil, 0, nil)
		require.NoError(t, err)
		require.True(t, date.IsZero())
		require.Empty(t, s.Calls())
	})
	t.Run("a chunk that was cut is asked again and passed on once", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		s.Fail(mmsim.Fault{Path: "/users/ids", CutAfter: true, Count: 2})
		n := 0
		_, err := target.Observe(t.Context(), []string{s.AdminID()}, 0, func(identity.Account) error { n++; return nil })
		require.NoError(t, err)
		require.Equal(t, 1, n)
	})
	t.Run("the caller's error ends it", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		stop := errors.New("stop")
		_, err := target.Observe(t.Context(), []string{s.AdminID()}, 0, func(identity.Account) error { return stop })
		require.ErrorIs(t, err, stop)
	})
}

// manyIDs makes up ids that no account has.
func manyIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%026d", i)
	}
	return ids
}

func TestTarget_OwnBotOrToken(t *testing.T) {
	t.Parallel()
	s, target := simulated(t, mmsim.Options{})
	plain := s.AddUser(mmsim.User{Username: "plain", Email: "plain@example.test"})
	tokens := s.AddUser(mmsim.User{Username: "tokens", Email: "tokens@example.test"})
	s.AddToken(tokens.ID)
	keeper := s.AddUser(mmsim.User{Username: "keeper", Email: "keeper@example.test"})
	s.AddUser(mmsim.User{Username: "kept", IsBot: true, OwnerID: keeper.ID, BotDeleteAt: 5})
	got, err := target.OwnBotOrToken(t.Context(), []string{plain.ID, tokens.ID, keeper.ID})
	require.NoError(t, err)
	require.Equal(t, map[string]bool{tokens.ID: true, keeper.ID: true}, got)
	s.ResetCalls()
	_, err = target.OwnBotOrToken(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, s.Calls(), "nobody to ask about, nothing sent")
}

func TestTarget_BotsThatStop(t *testing.T) {
	t.Parallel()
	s, target := simulated(t, mmsim.Options{})
	ada := s.AddUser(mmsim.User{Username: "ada", Email: "ada@example.test"})
	bob := s.AddUser(mmsim.User{Username: "bob", Email: "bob@example.test"})
	s.AddUser(mmsim.User{Username: "deploybot", IsBot: true, OwnerID: ada.ID})
	s.AddUser(mmsim.User{Username: "oldbot", IsBot: true, OwnerID: ada.ID, BotDeleteAt: 5})
	s.AddUser(mmsim.User{Username: "adminbot", IsBot: true, OwnerID: s.AdminID()})
	got, err := target.BotsThatStop(t.Context(), []string{ada.ID, bob.ID})
	require.NoError(t, err)
	require.Equal(t, []string{"deploybot"}, got[ada.ID], "one that is off already does not stop")
	require.Empty(t, got[bob.ID])
	require.Len(t, got, 2)

	s.Fail(mmsim.Fault{Method: "GET", Path: "/config", Status: 403, ErrorID: "api.context.permissions.app_error", Count: 1})
	got, err = target.BotsThatStop(t.Context(), []string{ada.ID})
	require.NoError(t, err)
	require.Equal(t, []string{"deploybot"}, got[ada.ID], "what may not be read is taken to be as it is by default")

	s.ResetCalls()
	_, err = target.BotsThatStop(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, s.Calls(), "nobody to ask about, nothing sent")
	s.Restart(map[string]string{"MM_SERVICESETTINGS_DISABLEBOTSWHENOWNERISDEACTIVATED": "false"})
	got, err = target.BotsThatStop(t.Context(), []string{ada.ID})
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestTarget_LastActive(t *testing.T) {
	t.Parallel()
	s, target := simulated(t, mmsim.Options{})
	never := s.AddUser(mmsim.User{Username: "never", Email: "never@example.test"})
	got, err := target.LastActive(t.Context(), []string{never.ID, s.AdminID()})
	require.NoError(t, err)
	require.Len(t, got, 1, "an account without a session shows nothing")
	require.WithinDuration(t, time.Now(), got[s.AdminID()], time.Minute)
	require.Empty(t, s.Writes())
	_, err = target.LastActive(t.Context(), []string{"../x"})
	require.Error(t, err)
}

func TestTarget_Lookup(t *testing.T) {
	t.Parallel()
	t.Run("holders are found by name and e-mail, each once, by id", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		both := s.AddUser(mmsim.User{Username: "both", Email: "both@example.test", DeleteAt: 5})
		bot := s.AddUser(mmsim.User{Username: "helper", IsBot: true})
		mail := s.AddUser(mmsim.User{Username: "other", Email: "mail+x@example.test"})
		got, err := target.Lookup(t.Context(), mattermost.Wanted{
			Usernames: []string{"Both", "helper", "nobody", "not a name", ""},
			Emails:    []string{"BOTH@example.test", "mail+x@example.test", "nobody@example.test", "no address", " "},
		})
		require.NoError(t, err)
		want := []string{both.ID, bot.ID, mail.ID}
		slices.Sort(want)
		require.Equal(t, want, idsOf(got))
		require.Len(t, s.Calls(), 1+3, "values that nobody can have are not asked about")
		for _, a := range got {
			require.Equal(t, a.Username == "helper", a.Bot)
			require.Equal(t, a.Username != "both", a.Active())
		}
	})
	t.Run("nothing wanted, nothing sent", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		got, err := target.Lookup(t.Context(), mattermost.Wanted{})
		require.NoError(t, err)
		require.Empty(t, got)
		require.Empty(t, s.Calls())
	})
	t.Run("a database that is away is not nobody", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		s.Fail(mmsim.Fault{DatabaseAway: true})
		emails := make([]string, 50)
		for i := range emails {
			emails[i] = fmt.Sprintf("u%d@example.test", i)
		}
		_, err := target.Lookup(t.Context(), mattermost.Wanted{Emails: emails})
		require.True(t, mattermost.IsTransient(err), "%v", err)
		require.NotContains(t, err.Error(), "example.test")
	})
	t.Run("an address that no path can hold is left to the creation", func(t *testing.T) {
		t.Parallel()
		srv := scripted(t, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, 404, `{"id":"api.context.404.app_error"}`) })
		target := mattermost.NewTarget(client(t, srv.URL, secret), mattermost.TargetOptions{})
		got, err := target.Lookup(t.Context(), mattermost.Wanted{Emails: []string{"a/b@example.test"}})
		require.NoError(t, err)
		require.Empty(t, got)
		_, err = target.Lookup(t.Context(), mattermost.Wanted{Emails: []string{"ab@example.test"}})
		require.ErrorContains(t, err, "check mattermost.url", "a wrong URL is not nobody")
	})
	t.Run("long names are cut into requests that fit", func(t *testing.T) {
		t.Parallel()
		var asked atomic.Int64
		srv := scripted(t, func(w http.ResponseWriter, r *http.Request) {
			var names []string
			if r.ContentLength > 100_000 || json.NewDecoder(r.Body).Decode(&names) != nil {
				answerJSON(w, 413, `{"id":"api.context.request_body_too_large.app_error"}`)
				return
			}
			asked.Add(int64(len(names)))
			answerJSON(w, 200, "[]")
		})
		target := mattermost.NewTarget(client(t, srv.URL, secret), mattermost.TargetOptions{})
		names := make([]string, 12_000)
		for i := range names {
			names[i] = fmt.Sprintf("%064d", i)
		}
		_, err := target.Lookup(t.Context(), mattermost.Wanted{Usernames: names})
		require.NoError(t, err)
		require.EqualValues(t, 12_000, asked.Load())
	})
}

func idsOf(list []identity.Account) []string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.ID
	}
	return out
}

func TestTarget_List(t *testing.T) {
	t.Parallel()
	t.Run("everybody comes once, however many are created meanwhile", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		before := map[string]bool{s.AdminID(): true}
		for i := range 900 {
			name := fmt.Sprintf("u%04d", i)
			before[s.AddUser(mmsim.User{Username: name, Email: name + "@example.test"}).ID] = true
		}
		var page atomic.Int32
		s.OnCall(func(mmsim.Call) { // newcomers sort before the cursor: rows come again
			name := fmt.Sprintf("a%04d", page.Add(1))
			for i := range 40 {
				n := fmt.Sprintf("%s-%d", name, i)
				s.AddUser(mmsim.User{Username: n, Email: n + "@example.test"})
			}
		})
		seen := map[string]int{}
		date, err := target.List(t.Context(), func(a identity.Account) error { seen[a.ID]++; return nil })
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), date, 5*time.Second)
		for id := range before {
			require.Equal(t, 1, seen[id])
		}
		for _, n := range seen {
			require.Equal(t, 1, n)
		}
	})
	t.Run("kinds of accounts are told apart", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		s.AddUser(mmsim.User{Username: "bot", IsBot: true})
		s.AddUser(mmsim.User{Username: "far", Email: "far@example.test", RemoteID: "r1"})
		s.AddUser(mmsim.User{Username: "guest", Email: "guest@example.test", AuthService: "magic_link", AuthData: "x", Roles: "system_guest"})
		s.AddUser(mmsim.User{Username: "off", Email: "off@example.test", DeleteAt: 7})
		s.AddUser(mmsim.User{Username: "odd", Email: "odd@example.test", Roles: " system_user  system_admin system_user"})
		got := map[string]identity.Account{}
		_, err := target.List(t.Context(), func(a identity.Account) error { got[a.Username] = a; return nil })
		require.NoError(t, err)
		require.True(t, got["bot"].Bot)
		require.True(t, got["far"].Remote)
		require.True(t, got["guest"].MagicLink)
		require.EqualValues(t, 7, got["off"].DeleteAt)
		require.Equal(t, identity.Roles{"system_admin", "system_user"}, got["odd"].Roles)
		require.Equal(t, identity.Account{
			ID: s.AdminID(), Profile: identity.Profile{Username: "admin", Email: "admin@example.test", Locale: "en"},
			Roles: identity.Roles{"system_admin", "system_user"}, CreateAt: got["admin"].CreateAt, UpdateAt: got["admin"].UpdateAt,
		}, got["admin"])
	})
	t.Run("a listing that repeats itself ends", func(t *testing.T) {
		t.Parallel()
		srv := scripted(t, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, 200, "["+user(someID, "ada")+"]") })
		target := mattermost.NewTarget(client(t, srv.URL, secret), mattermost.TargetOptions{})
		_, err := target.List(t.Context(), func(identity.Account) error { return nil })
		require.ErrorContains(t, err, "repeat themselves")
	})
}

func TestTarget_Account(t *testing.T) {
	t.Parallel()
	s, target := simulated(t, mmsim.Options{})
	a, err := target.Account(t.Context(), s.AdminID())
	require.NoError(t, err)
	b, err := target.Client().UserByEmail(t.Context(), "Admin@Example.test")
	require.NoError(t, err)
	require.Equal(t, a, b)

	_, err = target.Account(t.Context(), someID)
	require.True(t, mattermost.IsNotFound(err))
	_, err = target.Client().UserByEmail(t.Context(), "nobody@example.test")
	require.True(t, mattermost.IsNotFound(err))

	s.Fail(mmsim.Fault{DatabaseAway: true})
	_, err = target.Client().UserByEmail(t.Context(), "admin@example.test")
	require.False(t, mattermost.IsNotFound(err), "500 with the not-found id")
	require.True(t, mattermost.IsTransient(err))
}

func TestTarget_Healthy(t *testing.T) {
	t.Parallel()
	s, target := simulated(t, mmsim.Options{})
	require.NoError(t, target.Healthy(t.Context()))
	cancel := s.Fail(mmsim.Fault{DatabaseAway: true})
	require.ErrorContains(t, target.Healthy(t.Context()), "does not reach its database")
	cancel()
	require.NoError(t, s.Close())
	require.True(t, mattermost.IsTransient(target.Healthy(t.Context())))
}

func TestTarget_TookOver(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	target := mattermost.NewTarget(client(t, s.Start(t), s.AdminToken(), func(o *mattermost.Options) { o.RatePerSecond = 20 }), mattermost.TargetOptions{})
	require.NoError(t, target.Healthy(t.Context()))
	target.TookOver(0)
	start := time.Now()
	require.NoError(t, target.Healthy(t.Context()))
	require.GreaterOrEqual(t, time.Since(start), 45*time.Millisecond)
}

func TestTarget_keepsToTheServersRate(t *testing.T) {
	t.Parallel()
	s, target := simulated(t, mmsim.Options{RateLimit: &mmsim.RateLimit{PerSec: 40, MaxBurst: 10}})
	for range 40 {
		_, err := target.Account(t.Context(), s.AdminID())
		require.NoError(t, err)
	}
	refused := 0
	for _, c := range s.Calls() {
		if c.Status == http.StatusTooManyRequests {
			refused++
		}
	}
	require.LessOrEqual(t, refused, 2, "it slows down after the first refusal: %s", strings.Repeat("x", refused))
}
