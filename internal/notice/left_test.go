package notice

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
	"github.com/mmsync/mmsync/internal/state/sqlite"
)

// departed keeps somebody whose account mmsync switched off so long ago.
func (s kept) departed(t *testing.T, k identity.Key, ago time.Duration, change func(*identity.Link)) {
	t.Helper()
	now, err := s.Now(t.Context())
	require.NoError(t, err)
	at := now.Add(-ago).UnixMilli()
	a := identity.Account{ID: "account-" + k.Source + k.Anchor, Profile: identity.Profile{Username: "user-" + k.Anchor, FirstName: "Ada"}, DeleteAt: at}
	l := identity.Link{
		Key: k, AccountID: a.ID, Part: identity.Owner, Origin: identity.OriginCreated, Observed: &a, DeactivatedAt: at,
		Applied: identity.Applied{Manager: "boss"},
	}
	if change != nil {
		change(&l)
	}
	s.off(t, &l, a, plan.SourceMissing)
}

// off keeps the run that switched somebody off.
func (s kept) off(t *testing.T, l *identity.Link, after identity.Account, why plan.Reason) {
	t.Helper()
	at := time.UnixMilli(l.DeactivatedAt)
	run := state.Run{ID: "off-" + l.AccountID + strconv.FormatInt(l.DeactivatedAt, 10), Kind: "sync", Options: `{"part":true}`, Trigger: "cli", Status: state.RunApplying, Token: s.l.Token, RequestedAt: at, StartedAt: at, PlannedAt: at}
	d := plan.Decision{
		Key: l.Key, AccountID: l.AccountID, Action: plan.Deactivate, Reason: why,
		Ops: []plan.Op{{Kind: plan.SetActive, Changes: []plan.Change{{Field: plan.FieldActive, From: "true", To: "false"}}}},
	}
	require.NoError(t, s.PutLinks(t.Context(), s.l, []identity.Link{*l}))
	require.NoError(t, s.BeginRun(t.Context(), s.l, run, plan.Plan{Decisions: []plan.Decision{d}}, state.SightingChanges{}))
	ref := state.OpRef{Run: run.ID, Decision: 0, Op: 0}
	require.NoError(t, s.MarkSent(t.Context(), s.l, ref, at))
	require.NoError(t, s.RecordOp(t.Context(), s.l, state.Outcome{Ref: ref, Status: state.OpDone, AccountID: l.AccountID, At: at, After: &after}))
	run.Status, run.FinishedAt = state.RunDone, at
	require.NoError(t, s.SaveRun(t.Context(), run))
}

func TestWatcher_who_has_left(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s kept) {
		o := WatchOptions{Store: s.Store, Limits: limits(), Sources: []WatchedSource{{Name: "corp", Managers: true}, {Name: "okta", Pushed: true}}}
		w := NewWatcher(o)
		look := func() (out []string) {
			got, err := w.Look(t.Context())
			require.NoError(t, err)
			for _, x := range got.Departed {
				out = append(out, x.Source+" "+x.Username+" "+x.Manager)
			}
			return out
		}
		require.Empty(t, look())
		s.departed(t, of("corp", 1), time.Hour, nil)
		require.Empty(t, look(), "links are not looked through each time")
		s.ran(t, "run1", 0, state.RunDone)
		require.Equal(t, []string{"corp user-anchor-1 boss"}, look(), "but after a run")
		s.departed(t, of("okta", 1), 71*time.Hour, nil)
		s.departed(t, of("corp", 2), 73*time.Hour, nil)
		s.departed(t, of("corp", 3), time.Hour, func(l *identity.Link) { l.Observed.DeleteAt++ })
		s.departed(t, of("corp", 4), time.Hour, func(l *identity.Link) { l.Observed.DeleteAt = 0 })
		s.departed(t, of("corp", 5), time.Hour, func(l *identity.Link) { l.DeactivatedAt = 0 })
		s.departed(t, of("corp", 6), time.Hour, func(l *identity.Link) { l.Observed = nil })
		s.departed(t, of("corp", 7), time.Hour, func(l *identity.Link) { l.Part, l.AccountID = identity.Contributor, "account-corpanchor-1" })
		for i, why := range []plan.Reason{plan.OperatorOff, plan.Reverted} {
			k := of("corp", 8+i)
			at := time.Now().Add(-time.Hour).UnixMilli()
			a := identity.Account{ID: "account-" + k.Anchor, Profile: identity.Profile{Username: "user-" + k.Anchor}, DeleteAt: at}
			s.off(t, &identity.Link{Key: k, AccountID: a.ID, Part: identity.Owner, Origin: identity.OriginCreated, Observed: &a, DeactivatedAt: at}, a, why)
		}
		// What a deletion for good that was not finished has switched off anew.
		s.departed(t, of("corp", 10), 71*time.Hour, nil)
		list, err := s.Links(t.Context(), state.LinkFilter{Keys: []identity.Key{of("corp", 10)}})
		require.NoError(t, err)
		list[0].DeactivatedAt, list[0].Observed.DeleteAt = list[0].DeactivatedAt+1000, list[0].DeactivatedAt+1000
		require.NoError(t, s.PutLinks(t.Context(), s.l, list))
		w.goneAt = time.Now().Add(-departedEvery)
		require.Equal(t, []string{"corp user-anchor-1 boss", "okta user-anchor-1 "}, look(),
			"neither who left long ago, nor whom somebody else, an operator or a deletion switched off, nor who is on again; and a manager only where the source is to say who")

		w.o.Limits.Leavers = false
		require.Empty(t, look(), "nobody wants to know")
	})
}

func TestDepartures_name_nobody(t *testing.T) {
	t.Parallel()
	s := Snapshot{Now: now, Departed: []Departed{{Leaver: Leaver{"corp", "k.lee"}, Account: "a1", Name: "Kim Lee", At: ago(time.Hour), Manager: "boss"}}}
	list := Conditions(s, limits())
	require.Len(t, list, 1)
	require.Equal(t, fmt.Sprintf("left/corp/a1/%d", ago(time.Hour).UnixMilli()), list[0].Key)
	plain := (&Receiver{}).fitted(list[0])
	require.Nil(t, plain.Departed)
	for _, name := range []string{"k.lee", "Kim", "boss"} {
		require.NotContains(t, plain.Chat()+plain.Body()+plain.Key, name, "only whoever may know is told a name")
	}
	require.Contains(t, (&Receiver{People: true}).fitted(list[0]).Chat(), "`k.lee`")
	require.Empty(t, Conditions(s, Limits{LeftBehind: true}))
}

// letters is what managers were written.
type letters struct {
	mu       sync.Mutex
	to, text []string
	away     error
}

func (l *letters) Message(_ context.Context, account, text string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away != nil {
		return l.away
	}
	l.to, l.text = append(l.to, account), append(l.text, text)
	return nil
}

// sent gives whom was written to.
func (l *letters) sent() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.to)
}

func (l *letters) back() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = nil
}

func TestManagers_Send(t *testing.T) {
	t.Parallel()
	box := &letters{}
	m := &Managers{Messenger: box}
	n := Notice{Kind: Left, Severity: Warn, Text: "text", Next: "next", Command: "mmsync leftovers", Link: "https://sync.example.com", Departed: &Departed{
		Leaver: Leaver{"corp", "ada"}, Account: "a1", Name: "Ada Lovelace", At: now, Manager: "boss",
	}}
	things := n
	things.Things = "1 bot, 2 incoming webhooks"
	hostile := n
	hostile.Departed = &Departed{Leaver: Leaver{"corp", "a`b"}, Account: "a2", Name: "@all\n[x](https://evil.test)", At: now, Manager: "boss"}
	nameless := n
	nameless.Departed = &Departed{Leaver: Leaver{"corp", "ada"}, Account: "a3", At: now, Manager: "boss"}
	for _, x := range []Notice{n, things, hostile, nameless} {
		require.True(t, m.Takes(x))
		require.NoError(t, m.Send(t.Context(), x))
	}
	require.Equal(t, []string{"boss", "boss", "boss", "boss"}, box.to)
	golden(t, "manager", strings.Join(box.text, "\n\n")+"\n")

	for name, change := range map[string]func(*Notice){
		"another kind":            func(n *Notice) { n.Kind = LeaverHeld },
		"a manager nobody knows":  func(n *Notice) { n.Departed = &Departed{Account: "a1"} },
		"somebody who is his own": func(n *Notice) { n.Departed = &Departed{Account: "a1", Manager: "a1"} },
		"several":                 func(n *Notice) { n.Departed = nil },
		"a test":                  func(n *Notice) { *n = Notice{Kind: Test} },
	} {
		other := n
		change(&other)
		require.False(t, m.Takes(other), name)
		require.NoError(t, m.Send(t.Context(), other), name)
	}
	require.Len(t, box.to, 4)
	box.away = errors.New("away")
	require.ErrorContains(t, m.Send(t.Context(), n), "away")
}

func gone(n int, source string, at time.Time) Departed {
	id := fmt.Sprintf("%s-%03d", source, n)
	return Departed{Leaver: Leaver{source, "user-" + id}, Account: id, At: at, Manager: "boss-" + id}
}

func TestTeller_who_has_left_is_told_once(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *sqlite.Store, w *world) {
		box, dms := &inbox{}, &letters{}
		m := &Managers{Messenger: dms}
		to := []Receiver{{Name: "ops", Sink: box}, {Name: "managers", Sink: m, Takes: m.Takes, People: true, Each: true}}
		stop := tell(t, s, w, "a", to...)
		ada := gone(1, "corp", time.Now())
		key := departures(Snapshot{Departed: []Departed{ada}}, limits())[0].Key
		w.set(func(s *Snapshot) { s.Departed = []Departed{ada} })
		pass(time.Minute)
		require.Equal(t, []string{key}, box.take())
		require.Equal(t, []string{"boss-corp-001"}, dms.sent())
		later := func(d time.Duration) { // another process goes on
			stop()
			time.Sleep(d)
			stop = tell(t, s, w, d.String(), to...)
			pass(time.Minute)
		}
		later(25 * time.Hour)
		require.Empty(t, box.take(), "neither a restart nor a day later repeats it")
		w.set(func(s *Snapshot) { s.Departed = nil })
		pass(time.Minute)
		w.set(func(s *Snapshot) { s.Departed = []Departed{ada} })
		pass(time.Minute)
		w.set(func(s *Snapshot) { s.Departed = nil })
		require.Len(t, ledger(t, s), 2, "what is not found for a moment was told all the same")
		later(3 * 24 * time.Hour)
		require.Len(t, ledger(t, s), 2)
		later(2 * 24 * time.Hour)
		require.Empty(t, box.take(), "nobody is told that it is over")
		require.Len(t, dms.sent(), 1)
		require.Empty(t, ledger(t, s), "and nothing of it is kept")

		again := ada
		again.At = time.Now()
		w.set(func(s *Snapshot) { s.Departed = []Departed{again} })
		pass(time.Minute)
		require.Len(t, box.take(), 1, "he came back and has left again")
		require.Len(t, dms.sent(), 2)
		stop()
	})
}

func ledger(t *testing.T, s *sqlite.Store) []state.Told {
	t.Helper()
	out, err := s.Told(t.Context())
	require.NoError(t, err)
	return out
}

func TestTeller_a_manager_who_cannot_be_reached_is_told_later(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *sqlite.Store, w *world) {
		box, dms := &inbox{}, &letters{away: errors.New("away")}
		m := &Managers{Messenger: dms}
		w.set(func(s *Snapshot) { s.Departed = []Departed{gone(1, "corp", time.Now()), gone(2, "corp", time.Now())} })
		w.s.Departed[1].Manager = ""
		stop := tell(t, s, w, "a", Receiver{Name: "managers", Sink: m, Takes: m.Takes, People: true, Each: true}, Receiver{Name: "ops", Sink: box})
		pass(time.Minute)
		require.Len(t, box.take(), 2)
		dms.back()
		pass(time.Hour)
		require.Equal(t, []string{"boss-corp-001"}, dms.sent())
		require.Len(t, ledger(t, s), 3)
		w.set(func(s *Snapshot) { s.Departed[1].Manager = "found" })
		pass(time.Minute)
		require.Equal(t, []string{"boss-corp-001", "found"}, dms.sent(), "who was not known at first is told as well")
		stop()
	})
}

func TestTeller_many_who_leave_flood_no_channel(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *sqlite.Store, w *world) {
		box, dms := &inbox{}, &letters{}
		m := &Managers{Messenger: dms}
		to := []Receiver{{Name: "ops", Sink: box}, {Name: "managers", Sink: m, Takes: m.Takes, People: true, Each: true}}
		leave := func(from, to int) {
			at := time.Now()
			w.set(func(s *Snapshot) {
				for i := from; i <= to; i++ {
					s.Departed = append(s.Departed, gone(i, "corp", at))
				}
			})
		}
		stop := tell(t, s, w, "a", to...)
		leave(1, 8)
		pass(time.Minute)
		require.Len(t, box.take(), 8, "a few are told one by one")
		leave(9, 100)
		pass(time.Minute)
		require.Equal(t, []string{"left/corp"}, box.take())
		require.Contains(t, box.text[len(box.text)-1], "92 people of source corp have left: their accounts were switched off from 20")
		leave(101, 300)
		w.set(func(s *Snapshot) { s.Departed = append(s.Departed, gone(1, "okta", time.Now())) })
		pass(time.Minute)
		require.Len(t, box.take(), 1, "those of another source are no part of it")
		stop()
		stop = tell(t, s, w, "b", to...)
		pass(12 * time.Minute)
		require.Empty(t, box.take(), "those who come after them wait, also over a restart")
		pass(3 * time.Minute)
		require.Equal(t, []string{"left/corp"}, box.take())
		require.Contains(t, box.text[len(box.text)-1], "200 people")
		pass(time.Hour)
		require.Empty(t, box.take())
		require.Len(t, dms.sent(), 301, "each manager is written to about each of his people")
		leave(301, 301)
		pass(time.Minute)
		require.Len(t, box.take(), 1)
		stop()
	})
}

func TestGathered_never_more_than_a_few_in_a_quarter_of_an_hour(t *testing.T) {
	t.Parallel()
	told := []state.Told(nil)
	sent, people, waiting := 0, 0, []Departed(nil)
	for minute := range 60 {
		at := now.Add(time.Duration(minute) * time.Minute)
		for i := range 5 {
			waiting = append(waiting, gone(5*minute+i, "corp", at))
		}
		s := Snapshot{Now: at, Departed: waiting}
		news := Conditions(s, limits())
		if news = gathered(news, told, at); len(news) == 0 {
			continue
		}
		waiting = nil
		for _, n := range news {
			sent++
			people += n.Count
			n.At = at
			told = append(told, n.noted("ops", nil)...)
		}
	}
	require.LessOrEqual(t, sent, 4*(mostSingle+1))
	require.Equal(t, 300, people+len(waiting), "everybody is told of, or waits")
}
