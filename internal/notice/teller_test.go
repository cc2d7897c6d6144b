package notice

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/state/sqlite"
)

// inbox is a receiver that can be away, or hang.
type inbox struct {
	mu   sync.Mutex
	got  []string
	text []string
	away error
	hang bool
	asks int
}

func (i *inbox) Send(ctx context.Context, n Notice) error {
	i.mu.Lock()
	i.asks++
	hang, away := i.hang, i.away
	i.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if away != nil {
		return away
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	word := n.Key
	if n.Over {
		word = "over " + word
	}
	i.got, i.text = append(i.got, word), append(i.text, n.Text)
	return nil
}

func (i *inbox) take() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	out := i.got
	i.got = nil
	return out
}

func (i *inbox) set(f func(*inbox)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f(i)
}

// world is what lasts, as a test says.
type world struct {
	mu sync.Mutex
	s  Snapshot
}

func (w *world) set(f func(*Snapshot)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.s)
}

func (w *world) look(context.Context) (Snapshot, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.s
	s.Leavers = slices.Clone(s.Leavers)
	s.Now = time.Now()
	return s, nil
}

func memory(t *testing.T) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "state.db"), sqlite.Options{})
	require.NoError(t, err)
	_, err = s.Migrate(t.Context())
	require.NoError(t, err)
	return s
}

// tell runs a Teller until the given func is called.
func tell(t *testing.T, l Ledger, w *world, holder string, to ...Receiver) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	teller := NewTeller(Options{Receivers: to, Ledger: l, Look: w.look, Limits: limits(), Holder: holder})
	wg.Go(func() {
		if err := teller.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// bubble runs a test in synthetic time with a store of its own.
func bubble(t *testing.T, f func(t *testing.T, s *sqlite.Store, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := memory(t)
		f(t, s, &world{})
		require.NoError(t, s.Close())
	})
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestTeller_once_again_and_over(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *sqlite.Store, w *world) {
		box := &inbox{}
		stop := tell(t, s, w, "a", Receiver{Name: "ops", Sink: box})
		pass(time.Minute)
		require.Empty(t, box.take())
		w.set(func(s *Snapshot) { s.Leavers = []Leaver{{"corp", "k.lee"}} })
		pass(time.Minute)
		require.Equal(t, []string{"leaver_held/corp"}, box.take())
		pass(23 * time.Hour)
		require.Empty(t, box.take(), "it is the same one")
		pass(2 * time.Hour)
		require.Equal(t, []string{"leaver_held/corp"}, box.take(), "a day later it still lasts")

		stop()
		stop = tell(t, s, w, "b", Receiver{Name: "ops", Sink: box})
		pass(time.Hour)
		require.Empty(t, box.take(), "what was told is known after a restart")
		w.set(func(s *Snapshot) { s.Leavers = nil })
		pass(time.Minute)
		require.Equal(t, []string{"over leaver_held/corp"}, box.take())
		require.Contains(t, box.text[len(box.text)-1], "1 person of source corp who left")
		pass(4 * time.Hour)
		require.Empty(t, box.take())
		w.set(func(s *Snapshot) { s.Leavers = []Leaver{{"corp", "k.lee"}} })
		pass(time.Minute)
		require.Equal(t, []string{"leaver_held/corp"}, box.take(), "it is a new one")
		stop()
	})
}

func TestTeller_an_end_while_nobody_ran_is_told(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *sqlite.Store, w *world) {
		box := &inbox{}
		w.set(func(s *Snapshot) { s.Leavers = []Leaver{{"corp", "k.lee"}} })
		stop := tell(t, s, w, "a", Receiver{Name: "ops", Sink: box})
		pass(time.Minute)
		stop()
		w.set(func(s *Snapshot) { s.Leavers = nil })
		time.Sleep(time.Hour)
		stop = tell(t, s, w, "b", Receiver{Name: "ops", Sink: box})
		pass(time.Minute)
		stop()
		require.Equal(t, []string{"leaver_held/corp", "over leaver_held/corp"}, box.take())
	})
}

func TestTeller_worse_is_told_at_once_and_more_after_a_while(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *sqlite.Store, w *world) {
		box := &inbox{}
		w.set(func(s *Snapshot) { s.Leavers, s.Server = []Leaver{{"corp", "k.lee"}}, &Server{SeatsLeft: 3} })
		stop := tell(t, s, w, "a", Receiver{Name: "ops", Sink: box})
		pass(time.Minute)
		require.Equal(t, []string{"leaver_held/corp", "seats_nearly_gone"}, box.take(), "alarms come first")
		w.set(func(s *Snapshot) {
			s.Leavers, s.Server = []Leaver{{"corp", "k.lee"}, {"corp", "a.kahn"}}, &Server{SeatsLeft: 0}
		})
		pass(time.Minute)
		require.Equal(t, []string{"seats_nearly_gone"}, box.take())
		pass(15 * time.Minute)
		require.Equal(t, []string{"leaver_held/corp"}, box.take())
		w.set(func(s *Snapshot) { s.Leavers = s.Leavers[:1] })
		pass(time.Hour)
		require.Empty(t, box.take(), "fewer is no news")
		stop()
	})
}

func TestTeller_one_that_is_away_keeps_nobody_waiting(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *sqlite.Store, w *world) {
		fine, away, hangs := &inbox{}, &inbox{away: errors.New("away")}, &inbox{hang: true}
		w.set(func(s *Snapshot) { s.Leavers = []Leaver{{"corp", "k.lee"}} })
		stop := tell(t, s, w, "a", Receiver{Name: "away", Sink: away}, Receiver{Name: "hangs", Sink: hangs}, Receiver{Name: "fine", Sink: fine})
		pass(10 * time.Second)
		require.Equal(t, []string{"leaver_held/corp"}, fine.take())
		pass(6 * time.Hour)
		away.mu.Lock()
		require.Greater(t, away.asks, 10)
		require.Less(t, away.asks, 25, "it is asked less and less often")
		away.mu.Unlock()
		require.Empty(t, fine.take())
		w.set(func(s *Snapshot) { s.Server = &Server{SeatsLeft: 3} })
		away.set(func(i *inbox) { i.away = nil })
		hangs.set(func(i *inbox) { i.hang = false })
		pass(time.Hour)
		require.Equal(t, []string{"seats_nearly_gone"}, fine.take())
		require.Equal(t, []string{"leaver_held/corp", "seats_nearly_gone"}, away.take(), "what still lasts is told when it is back, once")
		require.Equal(t, []string{"leaver_held/corp", "seats_nearly_gone"}, hangs.take())
		stop()
	})
}

func TestTeller_receivers_hear_what_is_for_them(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *sqlite.Store, w *world) {
		all, alarms, chat := &inbox{}, &inbox{}, &inbox{}
		w.set(func(s *Snapshot) {
			s.Sources = []Source{{Name: "corp", Read: time.Now().Add(-time.Hour)}}
			s.Server = &Server{TokenDead: true}
		})
		stop := tell(t, s, w, "a", Receiver{Name: "all", Sink: all}, Receiver{Name: "alarms", Sink: alarms, Least: Alarm}, Receiver{Name: "chat", Sink: chat, Takes: (*Channel)(nil).Takes})
		pass(time.Minute)
		require.Equal(t, []string{"mattermost_token_dead", "source_degraded/corp"}, all.take())
		require.Equal(t, []string{"mattermost_token_dead"}, alarms.take())
		require.Equal(t, []string{"source_degraded/corp"}, chat.take())
		w.set(func(s *Snapshot) { s.Sources, s.Server = nil, &Server{SeatsLeft: -1} })
		pass(time.Minute)
		require.ElementsMatch(t, []string{"over mattermost_token_dead", "over source_degraded/corp"}, all.take())
		require.Equal(t, []string{"over mattermost_token_dead"}, alarms.take())
		require.Equal(t, []string{"over source_degraded/corp"}, chat.take(), "whoever was not told is not told of the end")
		stop()
	})
}

func TestTeller_what_is_not_known_is_not_over(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *sqlite.Store, w *world) {
		box := &inbox{}
		w.set(func(s *Snapshot) { s.Server = &Server{SeatsLeft: 3} })
		stop := tell(t, s, w, "a", Receiver{Name: "ops", Sink: box})
		pass(time.Minute)
		require.Equal(t, []string{"seats_nearly_gone"}, box.take())
		w.set(func(s *Snapshot) { s.Server = nil })
		pass(time.Hour)
		require.Empty(t, box.take())
		w.set(func(s *Snapshot) { s.Server = &Server{TokenDead: true} })
		pass(time.Minute)
		require.Equal(t, []string{"mattermost_token_dead"}, box.take())
		w.set(func(s *Snapshot) { s.Server = &Server{SeatsLeft: 100} })
		pass(time.Minute)
		require.Equal(t, []string{"over mattermost_token_dead", "over seats_nearly_gone"}, box.take())
		stop()
	})
}

func TestTeller_of_two_processes_one_tells(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *sqlite.Store, w *world) {
		a, b := &inbox{}, &inbox{}
		first := tell(t, s, w, "a", Receiver{Name: "ops", Sink: a})
		pass(time.Second)
		second := tell(t, s, w, "b", Receiver{Name: "ops", Sink: b})
		w.set(func(s *Snapshot) { s.Leavers = []Leaver{{"corp", "k.lee"}} })
		pass(10 * time.Minute)
		require.Equal(t, []string{"leaver_held/corp"}, a.take())
		require.Empty(t, b.take())
		first()
		w.set(func(s *Snapshot) { s.Server = &Server{SeatsLeft: 3} })
		pass(3 * time.Minute)
		require.Equal(t, []string{"seats_nearly_gone"}, b.take(), "the other goes on where the first stopped")
		second()
	})
}

func TestTeller_many_come_in_parts(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *sqlite.Store, w *world) {
		box := &inbox{}
		w.set(func(s *Snapshot) {
			for i := range 50 {
				s.Sources = append(s.Sources, Source{Name: strings.Repeat("s", i+1), Read: time.Now()})
			}
		})
		stop := tell(t, s, w, "a", Receiver{Name: "ops", Sink: box})
		pass(time.Second)
		require.Len(t, box.take(), perPass)
		pass(2 * time.Minute)
		require.Len(t, box.take(), 50-perPass)
		stop()
	})
}

func TestTeller_what_is_under_way_at_the_end_is_noted(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *sqlite.Store, w *world) {
		slow := slowly{box: &inbox{}, takes: 3 * time.Second}
		w.set(func(s *Snapshot) { s.Leavers = []Leaver{{"corp", "k.lee"}} })
		stop := tell(t, s, w, "a", Receiver{Name: "ops", Sink: slow})
		pass(time.Second)
		stop()
		require.Equal(t, []string{"leaver_held/corp"}, slow.box.take())
		stop = tell(t, s, w, "b", Receiver{Name: "ops", Sink: slow})
		pass(time.Minute)
		require.Empty(t, slow.box.take(), "it was noted, and the lease given back after that")
		w.set(func(s *Snapshot) { s.Server = &Server{SeatsLeft: 3} })
		pass(time.Minute)
		slow.box.take()
		hung := slowly{box: &inbox{}, takes: time.Hour}
		stop()
		stop = tell(t, s, w, "c", Receiver{Name: "other", Sink: hung})
		pass(time.Second)
		start := time.Now()
		stop()
		require.Equal(t, endWithin, time.Since(start), "what hangs keeps nobody from ending")
	})
}

// slowly is a receiver that takes its time.
type slowly struct {
	box   *inbox
	takes time.Duration
}

func (s slowly) Send(ctx context.Context, n Notice) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(s.takes):
		return s.box.Send(ctx, n)
	}
}

func TestTry(t *testing.T) {
	t.Parallel()
	fine, away := &inbox{}, &inbox{away: errors.New("away")}
	list := []Receiver{{Name: "fine", Sink: fine, Least: Alarm}, {Name: "away", Sink: away}}
	out := Try(t.Context(), list, "")
	require.Equal(t, []string{"fine", "away"}, []string{out[0].Name, out[1].Name})
	require.NoError(t, out[0].Err)
	require.ErrorContains(t, out[1].Err, "away")
	require.Equal(t, []string{"test"}, fine.take())
	require.Len(t, Try(t.Context(), list, "", "away"), 1)
}
