package mattermost_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

// keyring is a file that holds a token, and what was told of it.
type keyring struct {
	t    *testing.T
	path string

	mu   sync.Mutex
	told []mattermost.TokenState
}

func (k *keyring) put(token string) {
	k.t.Helper()
	require.NoError(k.t, os.WriteFile(k.path, []byte(token+"\n"), 0o600))
}

func (k *keyring) states() []mattermost.TokenState {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]mattermost.TokenState(nil), k.told...)
}

func (k *keyring) options(o *mattermost.Options) {
	o.Token = func() (string, error) {
		b, err := os.ReadFile(k.path)
		return string(b), err
	}
	o.TokenChanged = func(s mattermost.TokenState) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.told = append(k.told, s)
	}
}

// tokened starts a server and a client that has its token from a file.
func tokened(t *testing.T) (*mmsim.Server, *keyring, *mattermost.Client) {
	t.Helper()
	s := mmsim.New(mmsim.Options{})
	k := &keyring{t: t, path: filepath.Join(t.TempDir(), "token")}
	k.put(s.AdminToken())
	c := client(t, s.Start(t), "", k.options)
	_, err := c.Me(t.Context())
	require.NoError(t, err)
	return s, k, c
}

// refuse has the server accept a token no more.
func refuse(s *mmsim.Server, token string) { s.EnableToken(token, false) }

func TestClient_Token(t *testing.T) {
	t.Parallel()
	t.Run("one that is not accepted holds all calls back, is told once, and asked with again in 30 s", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			l, _ := overLine(t, 0)
			k := &keyring{t: t}
			c := client(t, "http://127.0.0.1:1", "", k.options, func(o *mattermost.Options) {
				o.Token, o.HTTPTransport = token(l.sim.AdminToken()), l
			})
			_, err := c.Me(t.Context())
			require.NoError(t, err)
			refuse(l.sim, l.sim.AdminToken())
			l.set("dead", func() {})
			began := time.Now()
			for range 100 {
				_, err := c.Me(t.Context())
				require.True(t, mattermost.IsUnauthorized(err))
				require.True(t, mattermost.IsUnauthorized(c.SetActive(t.Context(), someID, false)))
				time.Sleep(time.Second)
			}
			calls, _ := l.count("dead")
			require.LessOrEqual(t, calls, 2*4, "two for each proof: at once and each 30 s")
			require.GreaterOrEqual(t, calls, 2*3)
			require.Len(t, k.states(), 1)
			state := c.Token()
			require.True(t, state.Dead)
			require.WithinDuration(t, began, state.Since, time.Second)
			require.Contains(t, state.Why, "mattermost.token_file")

			l.sim.EnableToken(l.sim.AdminToken(), true)
			time.Sleep(31 * time.Second)
			_, err = c.Me(t.Context())
			require.NoError(t, err)
			require.Equal(t, mattermost.TokenState{}, c.Token())
			require.Len(t, k.states(), 2)
		})
	})
	t.Run("a new one in the file is used at once, whether the one before works or not", func(t *testing.T) {
		t.Parallel()
		for _, works := range []bool{true, false} {
			s, k, c := tokened(t)
			if !works {
				refuse(s, s.AdminToken())
				_, err := c.Me(t.Context())
				require.True(t, mattermost.IsUnauthorized(err))
				require.True(t, c.Token().Dead)
			}
			fresh := s.AddToken(s.AdminID())
			k.put(fresh)
			_, err := c.Me(t.Context())
			require.NoError(t, err)
			refuse(s, s.AdminToken())
			_, err = c.Me(t.Context())
			require.NoError(t, err)
			require.Equal(t, mattermost.TokenState{}, c.Token())
		}
	})
	t.Run("one that does not work does not take the place of one that does", func(t *testing.T) {
		t.Parallel()
		s, k, c := tokened(t)
		k.put("nonsense")
		s.ResetCalls()
		for range 10 {
			_, err := c.Me(t.Context())
			require.NoError(t, err)
		}
		require.Contains(t, c.Token().Why, "the new token in mattermost.token_file is not taken: Mattermost does not accept it")
		require.False(t, c.Token().Dead)
		require.Len(t, k.states(), 1)
		require.Len(t, s.Calls(), 10+3, "it is tried once: two denials and a ping")
		k.put(s.AdminToken())
		_, err := c.Me(t.Context())
		require.NoError(t, err)
		require.Empty(t, c.Token().Why)
	})
	t.Run("an empty or missing file, as in the middle of a change, takes nothing away", func(t *testing.T) {
		t.Parallel()
		s, k, c := tokened(t)
		k.put("")
		_, err := c.Me(t.Context())
		require.NoError(t, err)
		require.NoError(t, os.Remove(k.path))
		_, err = c.Me(t.Context())
		require.NoError(t, err)
		k.put(s.AddToken(s.AdminID()))
		_, err = c.Me(t.Context())
		require.NoError(t, err)
		require.Equal(t, mattermost.TokenState{}, c.Token())
	})
	t.Run("one of another account is refused, with the one before or without", func(t *testing.T) {
		t.Parallel()
		s, k, c := tokened(t)
		other := s.AddUser(mmsim.User{Username: "second", Email: "second@example.test", Roles: "system_admin system_user"})
		k.put(s.AddToken(other.ID))
		me, err := c.Me(t.Context())
		require.NoError(t, err)
		require.Equal(t, s.AdminID(), me.ID)
		require.Contains(t, c.Token().Why, `it is "second"'s, and mmsync works as "admin"`)
		refuse(s, s.AdminToken())
		_, err = c.Me(t.Context())
		require.True(t, mattermost.IsUnauthorized(err))
		k.put(s.AddToken(other.ID))
		_, err = c.Me(t.Context())
		require.True(t, mattermost.IsUnauthorized(err))
		require.ErrorContains(t, err, `"second"`)
		require.True(t, strings.HasPrefix(c.Token().Why, "Mattermost does not accept mmsync's token any more"))
	})
	t.Run("a secret mounted as Kubernetes does is read through its links when they are swapped", func(t *testing.T) {
		t.Parallel()
		s, k, _ := tokened(t)
		dir := t.TempDir()
		mount := func(version, token string) {
			require.NoError(t, os.Mkdir(filepath.Join(dir, version), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(dir, version, "token"), []byte(token), 0o600))
			require.NoError(t, os.Symlink(version, filepath.Join(dir, "..data_tmp")))
			require.NoError(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
		}
		mount("..1", s.AdminToken())
		k.path = filepath.Join(dir, "token")
		require.NoError(t, os.Symlink(filepath.Join("..data", "token"), k.path))
		c := client(t, s.URL(), "", k.options)
		_, err := c.Me(t.Context())
		require.NoError(t, err)
		mount("..2", s.AddToken(s.AdminID()))
		_, err = c.Me(t.Context())
		require.NoError(t, err)
		refuse(s, s.AdminToken())
		_, err = c.Me(t.Context())
		require.NoError(t, err)
	})
	t.Run("while the database is away a denial is none", func(t *testing.T) {
		t.Parallel()
		s, _, c := tokened(t)
		s.Fail(mmsim.Fault{Path: "/users/me", Status: 401, ErrorID: "api.context.session_expired.app_error"})
		s.Fail(mmsim.Fault{DatabaseAway: true})
		_, err := c.Me(t.Context())
		require.True(t, mattermost.IsTransient(err))
		require.False(t, c.Token().Dead)
	})
}
