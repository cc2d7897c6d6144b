package reconcile_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
)

// desk is where notices arrive.
type desk struct {
	mu   sync.Mutex
	list []reconcile.Notice
	err  error
}

func (d *desk) Notify(_ context.Context, n reconcile.Notice) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, n)
	return d.err
}

// kinds empties the desk and says what was on it.
func (d *desk) kinds() []reconcile.NoticeKind {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []reconcile.NoticeKind
	for _, n := range d.list {
		out = append(out, n.Kind)
	}
	d.list = nil
	return out
}

func (d *desk) wiring(more ...func(*reconcile.Options)) wiring {
	return wiring{change: func(o *reconcile.Options) {
		o.Notices = d
		for _, f := range more {
			f(o)
		}
	}}
}

func TestEngine_Notices(t *testing.T) {
	t.Parallel()
	t.Run("a run in which all is well tells nobody", func(t *testing.T) {
		t.Parallel()
		w, d := newWorld(t), &desk{}
		_, err := w.sync(two(), d.wiring())
		require.NoError(t, err)
		require.Empty(t, d.kinds())
	})
	t.Run("a guard that trips", func(t *testing.T) {
		t.Parallel()
		w, d := newWorld(t), &desk{}
		people := two()
		_, err := w.sync(people, d.wiring())
		require.NoError(t, err)
		people[0].Left = "yes"
		tight := d.wiring(func(o *reconcile.Options) { o.Limits.Deactivations = guard.Limit{} })
		_, err = w.sync(people, tight)
		require.NoError(t, err)
		require.Len(t, d.list, 1)
		require.Equal(t, reconcile.Alarm, d.list[0].Severity)
		require.Equal(t, identity.Key{Source: "corp"}, d.list[0].Subject)
		require.Equal(t, "too many deactivations from corp: 1 of 2 linked active accounts (50.00 %), limit 0. None of them was written.", d.list[0].Text)
		require.Regexp(t, `^Read it with: mmsync history \S+\. If this is right, .*: mmsync approve \S+ --reason "…"$`, d.list[0].Next)
		require.Equal(t, []reconcile.NoticeKind{reconcile.NoticeGuard}, d.kinds())
		w.plan(people, tight)
		require.Empty(t, d.kinds(), "whoever asks for a plan is looking")
		_, err = w.sync(people, tight)
		require.NoError(t, err)
		require.Equal(t, []reconcile.NoticeKind{reconcile.NoticeGuard}, d.kinds(), "the next run says it again")
	})
	t.Run("a run that fails", func(t *testing.T) {
		t.Parallel()
		w, d := newWorld(t), &desk{}
		defer w.sim.Fail(mmsim.Fault{Status: 403, Path: "/users/*", Method: "GET"})()
		_, err := w.sync(two(), d.wiring())
		require.Error(t, err)
		require.Equal(t, []reconcile.NoticeKind{reconcile.NoticeFailed}, d.kinds())
	})
	t.Run("a command that is refused is for whoever gave it to read", func(t *testing.T) {
		t.Parallel()
		w, d := newWorld(t), &desk{}
		_, err := w.sync(two(), d.wiring())
		require.NoError(t, err)
		s := w.store()
		defer s.Close()
		_, err = w.engine(s, two(), d.wiring()).SetLink(t.Context(), reconcile.RunOptions{Reason: "mistaken"}, "corp/1", "nobody", false, false)
		require.ErrorIs(t, err, reconcile.ErrRefused)
		require.Empty(t, d.kinds())
	})
	t.Run("a source that shrinks is told of in entries", func(t *testing.T) {
		t.Parallel()
		w, d := newWorld(t), &desk{}
		people := append(two(), human{ID: "3", UID: "cora"})
		_, err := w.sync(people, d.wiring())
		require.NoError(t, err)
		d.kinds()
		_, err = w.sync(people[:1], d.wiring(func(o *reconcile.Options) { o.Limits.MinEntriesPercent = 80 }))
		require.NoError(t, err)
		i := slices.IndexFunc(d.list, func(n reconcile.Notice) bool { return n.Kind == reconcile.NoticeGuard })
		require.GreaterOrEqual(t, i, 0)
		require.Contains(t, d.list[i].Text, "source corp shrank: 1 entries now, 3 ")
		require.Contains(t, d.list[i].Next, "mmsync doctor")
	})
	t.Run("a source that cannot be read whole", func(t *testing.T) {
		t.Parallel()
		w, d := newWorld(t), &desk{}
		people := append(two(), human{ID: "1", UID: "twice"}, human{ID: "", UID: "nobody"})
		rep, err := w.sync(people, d.wiring())
		require.NoError(t, err)
		require.False(t, rep.Plan.Sources[0].Complete)
		require.Contains(t, d.kinds(), reconcile.NoticeSource)
	})
	t.Run("what a second look finds again is not said again", func(t *testing.T) {
		t.Parallel()
		w, d := newWorld(t), &desk{}
		people := append(two(), human{ID: "2", UID: "twice"})
		_, err := w.sync(people[:2], wiring{})
		require.NoError(t, err)
		people[0].Left = "yes"
		rep, err := w.sync(people, d.wiring(wide, func(o *reconcile.Options) {
			o.Progress = func(p reconcile.Progress) {
				if strings.HasPrefix(p.Stage, "waiting") && !w.active("anna") {
					w.touch("anna", 0, func(u *mmsim.User) { u.DeleteAt = 0 })
				}
			}
		}))
		require.NoError(t, err)
		require.NotNil(t, rep.Again, "or this would be no test")
		sources := slices.DeleteFunc(d.kinds(), func(k reconcile.NoticeKind) bool { return k != reconcile.NoticeSource })
		require.Len(t, sources, 1)
	})
	t.Run("a leaver whom the server does not let be switched off", func(t *testing.T) {
		t.Parallel()
		w, d := newWorld(t), &desk{}
		people := two()
		people[0].Service, people[0].Login = "ldap", "anna"
		_, err := w.sync(people, d.wiring())
		require.NoError(t, err)
		people[0].Left = "yes"
		d.kinds()
		for range 2 {
			_, err = w.sync(people, d.wiring())
			require.NoError(t, err)
			require.Equal(t, []reconcile.NoticeKind{reconcile.NoticeLocked}, d.kinds())
		}
	})
	t.Run("somebody's word that is wanted", func(t *testing.T) {
		t.Parallel()
		w, d := newWorld(t), &desk{}
		people := two()
		people[0].Groups = []string{adminsGroup}
		_, err := w.sync(people, d.wiring(func(o *reconcile.Options) { o.Policy.Roles[0].Granted = nil }))
		require.NoError(t, err)
		require.Equal(t, "1 held for somebody's word (needs_approval)", d.list[0].Text)
		require.Equal(t, []reconcile.NoticeKind{reconcile.NoticeApproval}, d.kinds())
	})
	t.Run("a leaver who comes back each time", func(t *testing.T) {
		t.Parallel()
		w, d := newWorld(t), &desk{}
		people := two()
		w.rest(people, wiring{})
		people[0].Left = "yes"
		for range 3 {
			_, err := w.sync(people, d.wiring())
			require.NoError(t, err)
			w.touch("anna", 0, func(u *mmsim.User) { u.DeleteAt = 0 })
		}
		require.Len(t, d.list, 1, "twice in a row is an alarm, once is none")
		require.Equal(t, w.links()["1"].AccountID, d.list[0].Account)
		require.Equal(t, []reconcile.NoticeKind{reconcile.NoticeUndone}, d.kinds())
	})
	t.Run("a leaver who is held for a quarter of an hour", func(t *testing.T) {
		t.Parallel()
		w, d := newWorldOnFile(t), &desk{}
		people := two()
		people[0].Groups = []string{adminsGroup}
		few := d.wiring(func(o *reconcile.Options) { o.Policy.NeverBelow = 2 })
		_, err := w.sync(people, few)
		require.NoError(t, err)
		people[0].Left, people[0].Groups = "yes", nil
		for range 2 {
			_, err = w.sync(people, few)
			require.NoError(t, err)
			require.Empty(t, d.kinds(), "not for so long yet")
		}
		w.meddle("update runs set planned_at = planned_at - 16 * 60 * 1000000")
		_, err = w.sync(people, few)
		require.NoError(t, err)
		require.Equal(t, identity.Key{Source: "corp", Anchor: "1"}, d.list[0].Subject)
		require.Equal(t, []reconcile.NoticeKind{reconcile.NoticeLeaverHeld}, d.kinds())
	})
	t.Run("a store that was put back", func(t *testing.T) {
		t.Parallel()
		w, d, v := newWorldOnFile(t), &desk{}, vault(t)
		sealed := d.wiring(func(o *reconcile.Options) { o.Vault = v })
		_, err := w.sync(two(), sealed)
		require.NoError(t, err)
		w.meddle("delete from audit_rows", "delete from audit_batches")
		_, err = w.sync(two(), sealed)
		require.ErrorIs(t, err, reconcile.ErrRefused)
		require.Equal(t, []reconcile.NoticeKind{reconcile.NoticeRestored}, d.kinds())
	})
	t.Run("a desk that takes nothing does not end a run", func(t *testing.T) {
		t.Parallel()
		w, d := newWorld(t), &desk{err: errors.New("nobody there")}
		people := two()
		people[0].Groups = []string{adminsGroup}
		rep, err := w.sync(people, d.wiring(func(o *reconcile.Options) { o.Policy.Roles[0].Granted = nil }))
		require.NoError(t, err)
		require.Equal(t, 2, rep.Counts.Done)
		require.NotEmpty(t, d.kinds())
	})
}

// By default the log is told, one line for each, without a name of anybody.
func TestLogNotices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := append(many(15), human{ID: "l", UID: "lisa", Service: "ldap", Login: "lisa"})
	var log strings.Builder
	var mu sync.Mutex
	with := wiring{change: func(o *reconcile.Options) {
		o.Logger = slog.New(slog.NewJSONHandler(lockedWriter{&mu, &log}, &slog.HandlerOptions{Level: slog.LevelInfo}))
		o.Limits.Deactivations = guard.Limit{Count: 3}
	}}
	_, err := w.sync(people, with)
	require.NoError(t, err)
	for i := range people {
		people[i].Left = "yes"
	}
	_, err = w.sync(people, with)
	require.NoError(t, err)
	var got []string
	for line := range strings.Lines(log.String()) {
		var entry map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &entry))
		if entry["msg"] == "notice" {
			require.Equal(t, "WARN", entry["level"])
			require.NotEmpty(t, entry["text"])
			require.NotEmpty(t, entry["next"])
			kind, ok := entry["notice"].(string)
			require.True(t, ok)
			got = append(got, kind)
		}
		for _, p := range people {
			require.NotContains(t, line, p.UID)
			require.NotContains(t, line, "example.test")
		}
	}
	require.Contains(t, got, string(reconcile.NoticeGuard))
}

type lockedWriter struct {
	mu *sync.Mutex
	b  *strings.Builder
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
