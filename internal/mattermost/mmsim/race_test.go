package mmsim_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

// write is one of two requests for the same account, and whether its change is
// there afterwards.
type write struct {
	action, body string
	kept         func(mmsim.User) bool
}

func raced() map[string]write {
	return map[string]write{
		"active":   {"/active", `{"active":false}`, func(u mmsim.User) bool { return !u.Active() }},
		"roles":    {"/roles", `{"roles":"system_user system_admin"}`, mmsim.User.IsAdmin},
		"auth":     {"/auth", `{"auth_service":"saml","auth_data":"a"}`, func(u mmsim.User) bool { return u.AuthService == "saml" }},
		"nickname": {"/patch", `{"nickname":"n"}`, func(u mmsim.User) bool { return u.Nickname == "n" }},
		"position": {"/patch", `{"position":"p"}`, func(u mmsim.User) bool { return u.Position == "p" }},
	}
}

// race sends both at once, a hundred times to a fresh account, and counts which
// was lost. Every answer is 200.
func race(t *testing.T, opts mmsim.Options, a, b write) (lostA, lostB, both int) {
	t.Helper()
	s := mmsim.New(opts)
	for round := range 100 {
		u := person(s, fmt.Sprintf("u%d", round))
		var wg sync.WaitGroup
		statuses := [2]int{}
		for i, w := range []write{a, b} {
			wg.Go(func() {
				body := strings.ReplaceAll(w.body, `"auth_data":"a"`, fmt.Sprintf(`"auth_data":"a%d"`, round))
				statuses[i], _ = admin(t, s).do(http.MethodPut, "/users/"+u.ID+w.action, body)
			})
		}
		wg.Wait()
		require.Equal(t, [2]int{200, 200}, statuses)
		now, _ := s.User(u.ID)
		switch keptA, keptB := a.kept(now), b.kept(now); {
		case keptA && keptB:
			both++
		case keptA:
			lostB++
		case keptB:
			lostA++
		default:
			t.Errorf("round %d lost both", round)
		}
	}
	return lostA, lostB, both
}

func TestLostConcurrentWrites(t *testing.T) {
	t.Parallel()
	w := raced()
	for _, tc := range []struct {
		a, b    string
		profile mmsim.Profile
		// out of 100 on the real servers
		lostA, lostB int
	}{
		{"active", "nickname", mmsim.Profile116, 56, 30},
		{"active", "nickname", mmsim.Profile538, 39, 30},
		{"roles", "nickname", mmsim.Profile116, 32, 33},
		{"auth", "nickname", mmsim.Profile116, 28, 0},
	} {
		t.Run(fmt.Sprintf("%s beside %s, profile %d", tc.a, tc.b, tc.profile), func(t *testing.T) {
			t.Parallel()
			// The window is only waited for by a request that stays alone.
			opts := mmsim.Options{LostConcurrentWrites: true, WriteWindow: time.Minute, Seed: 11, Profile: tc.profile}
			lostA, lostB, both := race(t, opts, w[tc.a], w[tc.b])
			t.Logf("lost: %s %d, %s %d; both kept: %d", tc.a, lostA, tc.b, lostB, both)
			require.InDelta(t, tc.lostA, lostA, 10)
			require.InDelta(t, tc.lostB, lostB, 10)
			require.Equal(t, 100, lostA+lostB+both)
			if tc.lostB == 0 {
				require.Zero(t, lostB, "PUT auth writes its own columns and undoes nothing")
			}
		})
	}
	t.Run("two patches", func(t *testing.T) {
		t.Parallel()
		opts := mmsim.Options{LostConcurrentWrites: true, WriteWindow: time.Minute, Seed: 11}
		lostA, lostB, both := race(t, opts, w["nickname"], w["position"])
		require.InDelta(t, 97, lostA+lostB, 3)
		require.InDelta(t, 3, both, 3)
	})
	t.Run("off, nothing is lost", func(t *testing.T) {
		t.Parallel()
		_, _, both := race(t, mmsim.Options{}, w["active"], w["nickname"])
		require.Equal(t, 100, both)
	})
	t.Run("one after the other nothing is lost, nor between two accounts", func(t *testing.T) {
		t.Parallel()
		s := mmsim.New(mmsim.Options{LostConcurrentWrites: true, WriteWindow: time.Millisecond})
		ann, bea := person(s, "ann"), person(s, "bea")
		var wg sync.WaitGroup
		for _, u := range []mmsim.User{ann, bea} {
			wg.Go(func() {
				c := admin(t, s)
				c.want(200, "PUT", "/users/"+u.ID+"/patch", map[string]any{"nickname": "n"})
				c.want(200, "PUT", "/users/"+u.ID+"/active", map[string]any{"active": false})
			})
		}
		wg.Wait()
		for _, u := range s.Users() {
			if u.ID != s.AdminID() {
				require.False(t, u.Active())
				require.Equal(t, "n", u.Nickname)
			}
		}
	})
}

func TestKeepPatching(t *testing.T) {
	t.Parallel()
	rounds := func(t *testing.T, opts mmsim.Options) (undone int) {
		t.Helper()
		s := mmsim.New(opts)
		u := person(s, "ann")
		stop := s.KeepPatching(u.ID, time.Millisecond)
		defer stop()
		seen := 0
		for range 40 {
			s.SetUser(u.ID, func(u *mmsim.User) { u.DeleteAt = 0 })
			require.Eventually(t, func() bool { // he is back at it
				for _, c := range s.Calls()[seen:] {
					if c.As == u.ID && c.Status == 200 {
						return true
					}
				}
				return false
			}, time.Minute, time.Millisecond)
			admin(t, s).want(200, "PUT", "/users/"+u.ID+"/active", map[string]any{"active": false})
			seen = len(s.Calls())
			time.Sleep(2 * opts.WriteWindow) // his request of that moment has ended
			if now, _ := s.User(u.ID); now.Active() {
				undone++
			}
		}
		return undone
	}
	t.Run("his own saving undoes a deactivation in about half of the rounds", func(t *testing.T) {
		t.Parallel()
		undone := rounds(t, mmsim.Options{LostConcurrentWrites: true, WriteWindow: 50 * time.Millisecond, Seed: 5})
		t.Logf("undone in %d of 40 rounds", undone)
		require.InDelta(t, 20, undone, 13)
	})
	t.Run("with writes done one after the other he is refused instead", func(t *testing.T) {
		t.Parallel()
		require.Zero(t, rounds(t, mmsim.Options{WriteWindow: time.Millisecond}))
	})
	t.Run("he ends when he is told to", func(t *testing.T) {
		t.Parallel()
		s := mmsim.New(mmsim.Options{})
		u := person(s, "ann")
		stop := s.KeepPatching(u.ID, time.Millisecond)
		require.Eventually(t, func() bool { return len(s.Calls()) > 1 }, time.Minute, time.Millisecond)
		stop()
		n := len(s.Calls())
		stop()
		require.Len(t, s.Calls(), n)
		require.Equal(t, u.ID, s.Calls()[0].As)
	})
}
