package notice

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
	"github.com/mmsync/mmsync/internal/state/postgres"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// kept is a store with the lease of runs.
type kept struct {
	state.Store
	l state.Lease
}

// eachStore runs a test on both stores.
func eachStore(t *testing.T, f func(t *testing.T, s kept)) {
	t.Helper()
	for name, open := range map[string]func(t *testing.T) state.Store{
		"sqlite": func(t *testing.T) state.Store { return memory(t) },
		"postgres": func(t *testing.T) state.Store {
			s, err := postgres.Open(t.Context(), pgtest.URL(t), postgres.Options{})
			require.NoError(t, err)
			_, err = s.Migrate(t.Context())
			require.NoError(t, err)
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			l, err := s.AcquireLease(t.Context(), "reconcile", "test", time.Hour)
			require.NoError(t, err)
			f(t, kept{s, l})
		})
	}
}

// ran keeps a sync that ended so long ago.
func (s kept) ran(t *testing.T, id string, ago time.Duration, status state.RunStatus, decisions ...plan.Decision) {
	t.Helper()
	now, err := s.Now(t.Context())
	require.NoError(t, err)
	r := state.Run{ID: id, Kind: "sync", Trigger: "cli", Status: state.RunApplying, Token: s.l.Token, RequestedAt: now.Add(-ago), StartedAt: now.Add(-ago), PlannedAt: now.Add(-ago)}
	require.NoError(t, s.BeginRun(t.Context(), s.l, r, plan.Plan{Decisions: decisions}, state.SightingChanges{}))
	r.Status, r.FinishedAt = status, r.PlannedAt
	require.NoError(t, s.SaveRun(t.Context(), r))
}

// linked gives people accounts.
func (s kept) linked(t *testing.T, active bool, keys ...identity.Key) {
	t.Helper()
	var list []identity.Link
	for _, k := range keys {
		a := identity.Account{ID: "account-" + k.Source + k.Anchor, Profile: identity.Profile{Username: "user-" + k.Anchor}}
		if !active {
			a.DeleteAt = 1700000000000
		}
		list = append(list, identity.Link{Key: k, AccountID: a.ID, Part: identity.Owner, Origin: identity.OriginCreated, Observed: &a})
	}
	require.NoError(t, s.PutLinks(t.Context(), s.l, list))
}

func (s kept) look(t *testing.T, o WatchOptions) Snapshot {
	t.Helper()
	o.Store, o.Limits = s.Store, limits()
	got, err := NewWatcher(o).Look(t.Context())
	require.NoError(t, err)
	return got
}

func held(k identity.Key, r plan.Reason) plan.Decision {
	return plan.Decision{Key: k, Action: plan.Hold, Reason: r, Held: plan.Deactivate, Username: "user-" + k.Anchor, AccountID: "account-" + k.Source + k.Anchor}
}

func TestWatcher_leavers_of_runs(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s kept) {
		long, fresh, gone, graced, off := of("corp", 1), of("corp", 2), of("corp", 3), of("corp", 4), of("corp", 5)
		s.linked(t, true, long, fresh, gone, graced)
		s.linked(t, false, off)
		s.ran(t, "run1", time.Hour, state.RunPartial, held(long, plan.LockedByLDAP), held(gone, plan.LastAdmin), held(graced, plan.InGrace), held(off, plan.LastAdmin))
		require.Equal(t, []Leaver{{"corp", "user-anchor-1"}, {"corp", "user-anchor-3"}}, s.look(t, WatchOptions{}).Leavers, "held as of the last run, which is old enough")
		s.ran(t, "run2", time.Minute, state.RunPartial, held(long, plan.LockedByLDAP), held(fresh, plan.LastAdmin), held(graced, plan.InGrace))
		require.Equal(t, []Leaver{{"corp", "user-anchor-1"}}, s.look(t, WatchOptions{}).Leavers, "the last run says who is held, an older one since when")
		s.ran(t, "run3", time.Second, state.RunFailed)
		require.Equal(t, []Leaver{{"corp", "user-anchor-1"}}, s.look(t, WatchOptions{}).Leavers, "a run that failed decided nothing")
		s.ran(t, "run4", 0, state.RunDone)
		require.Empty(t, s.look(t, WatchOptions{}).Leavers)
	})
}

func TestWatcher_leavers_of_pushes(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s kept) {
		waits, guarded, stays, stranger := of("okta", 1), of("okta", 2), of("okta", 3), of("okta", 4)
		s.linked(t, true, waits, guarded, stays)
		require.NoError(t, s.MarkDue(t.Context(), []state.DueMark{{Key: waits, Leaver: true}, {Key: guarded, Leaver: true}, {Key: stays}, {Key: stranger, Leaver: true}}))
		due, err := s.DueOf(t.Context(), []identity.Key{guarded})
		require.NoError(t, err)
		due[0].Held, due[0].Reason = true, string(plan.GuardTripped)
		require.NoError(t, s.PutOff(t.Context(), s.l, due))
		require.Empty(t, s.look(t, WatchOptions{}).Leavers, "it is not long yet")
		o := WatchOptions{Store: s.Store} // no limit: at once
		got, err := NewWatcher(o).Look(t.Context())
		require.NoError(t, err)
		require.Equal(t, []Leaver{{"okta", "user-anchor-1"}}, got.Leavers)
	})
}

func TestWatcher_what_waits_for_a_word(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s kept) {
		noted := plan.Decision{Key: of("corp", 1), Action: plan.Update, Reason: plan.Differs, Notes: []plan.Note{{Reason: plan.NeedsApproval}}, Username: "a"}
		match := plan.Decision{Key: of("corp", 2), Action: plan.Hold, Reason: plan.MatchNeedsWord, Username: "b"}
		s.ran(t, "run1", time.Minute, state.RunPartial, noted, match)
		require.NoError(t, s.MarkDue(t.Context(), []state.DueMark{{Key: of("okta", 1)}, {Key: of("corp", 2)}}))
		due, err := s.DueOf(t.Context(), []identity.Key{of("okta", 1), of("corp", 2)})
		require.NoError(t, err)
		for i := range due {
			due[i].Held, due[i].Reason = true, string(plan.MatchNeedsWord)
		}
		require.NoError(t, s.PutOff(t.Context(), s.l, due))
		got := s.look(t, WatchOptions{})
		require.Equal(t, map[plan.Reason]int{plan.NeedsApproval: 1, plan.MatchNeedsWord: 2}, got.Asked, "each person once")
		require.Equal(t, "run1", got.Run)
	})
}

func TestWatcher_runs(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s kept) {
		s.ran(t, "run1", time.Hour, state.RunDone)
		s.ran(t, "run2", time.Minute, state.RunFailed)
		now, err := s.Now(t.Context())
		require.NoError(t, err)
		for _, r := range []state.Run{
			{ID: "run3", Kind: "plan", Status: state.RunFailed}, {ID: "run4", Kind: "sync", Status: state.RunFailed, Options: `{"part":true}`}, {ID: "run5", Kind: "sync", Status: state.RunInterrupted},
		} {
			r.RequestedAt = now
			require.NoError(t, s.SaveRun(t.Context(), r))
		}
		got := s.look(t, WatchOptions{})
		require.Len(t, got.Runs, 3)
		require.Equal(t, []string{"run5", "run2", "run1"}, []string{got.Runs[0].ID, got.Runs[1].ID, got.Runs[2].ID}, "plans and parts are left out")
	})
}

func TestWatcher_sources_and_tokens(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s kept) {
		ctx := t.Context()
		now, err := s.Now(ctx)
		require.NoError(t, err)
		before := func(d time.Duration) time.Time { return now.Add(-d).Truncate(time.Millisecond) }
		for _, r := range []state.Read{
			{Source: "corp", At: before(30 * 24 * time.Hour), Complete: true}, {Source: "corp", At: before(time.Hour)}, {Source: "fine", At: before(2 * time.Hour)}, {Source: "fine", At: before(time.Hour), Complete: true},
		} {
			require.NoError(t, s.RecordRead(ctx, r))
		}
		token := func(id, source string, made time.Time, change func(*state.Token)) {
			tok := state.Token{ID: id, Source: source, Name: "n" + id, Hash: [32]byte{byte(len(id)), id[len(id)-1]}, CreatedAt: made, CreatedBy: "test"}
			if change != nil {
				change(&tok)
			}
			require.NoError(t, s.CreateToken(ctx, tok))
		}
		day := 24 * time.Hour
		ends := func(in time.Duration) func(*state.Token) { return func(x *state.Token) { x.ExpiresAt = before(-in) } }
		token("t_a", "okta", before(50*day), ends(day))     // a younger one goes along, but it is still used
		token("t_b", "okta", before(40*day), ends(2*day))   // a younger one goes along
		token("t_c", "okta", before(30*day), ends(100*day)) // the last one
		token("t_d", "entra", before(20*day), nil)          // for ever, never used
		token("t_e", "entra", before(60*day), func(x *state.Token) { x.ExpiresAt, x.RevokedAt = before(day), before(day) })
		require.NoError(t, s.UseToken(ctx, "t_a", "192.0.2.1", before(time.Hour)))
		require.NoError(t, s.UseToken(ctx, "t_c", "192.0.2.1", before(3*time.Hour)))

		got := s.look(t, WatchOptions{Sources: []WatchedSource{{Name: "corp"}, {Name: "fine"}, {Name: "new"}, {Name: "okta", Pushed: true}, {Name: "entra", Pushed: true}, {Name: "jwt", Pushed: true, Signed: true}}})
		began := got.Now.Truncate(time.Millisecond)
		for i := range got.Sources {
			x := &got.Sources[i]
			x.Read, x.Complete, x.Request = x.Read.Truncate(time.Millisecond), x.Complete.Truncate(time.Millisecond), x.Request.Truncate(time.Millisecond)
			x.Since = x.Since.Truncate(time.Millisecond)
		}
		require.Equal(t, []Source{
			{Name: "corp", Read: before(time.Hour), Complete: before(30 * day), Since: before(time.Hour)},
			{Name: "fine", Read: before(time.Hour), Complete: before(time.Hour), Since: began},
			{Name: "new", Since: began},
			{Name: "okta", Pushed: true, Request: before(time.Hour)},
			{Name: "entra", Pushed: true, Request: before(20 * day)},
			{Name: "jwt", Pushed: true},
		}, got.Sources)
		require.Len(t, got.Ends, 2)
		require.Equal(t, "token/t_a", got.Ends[0].Key)
		require.Equal(t, "mmsync token list --source okta", got.Ends[0].Command)
		require.Equal(t, "token/t_c", got.Ends[1].Key)
		require.Equal(t, "mmsync token rotate nt_c --source okta --reason …", got.Ends[1].Command)
	})
}

func TestWatcher_asks_the_server_seldom(t *testing.T) {
	t.Parallel()
	s := memory(t)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	asked, away := 0, error(nil)
	licence := time.Now().Add(time.Hour)
	w := NewWatcher(WatchOptions{Store: s, Limits: limits(), Server: func(context.Context) (Server, time.Time, error) {
		asked++
		return Server{SeatsLeft: 5}, licence, away
	}})
	for range 3 {
		got, err := w.Look(t.Context())
		require.NoError(t, err)
		require.Equal(t, &Server{SeatsLeft: 5}, got.Server)
		require.Equal(t, "licence", got.Ends[0].Key)
	}
	require.Equal(t, 1, asked)
	w.asked, away = time.Now().Add(-ServerEvery), errors.New("away")
	got, err := w.Look(t.Context())
	require.NoError(t, err)
	require.Nil(t, got.Server, "what is not known is not said")
	require.Empty(t, got.Ends)
	require.True(t, got.unknown("expiring/licence"))
	require.False(t, got.unknown("leaver_held/corp"))
}

// What whoever works knows of the token is told at once, and that it lives again as soon
// as the server says so.
func TestWatcher_a_token_that_is_known_to_be_dead(t *testing.T) {
	t.Parallel()
	s := memory(t)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	dead, asked, away := false, 0, error(nil)
	w := NewWatcher(WatchOptions{Store: s, Limits: limits(), TokenDead: func() bool { return dead }, Server: func(context.Context) (Server, time.Time, error) {
		asked++
		return Server{SeatsLeft: 5}, time.Time{}, away
	}})
	look := func() *Server {
		got, err := w.Look(t.Context())
		require.NoError(t, err)
		return got.Server
	}
	require.Equal(t, &Server{SeatsLeft: 5}, look())
	dead = true
	require.Equal(t, &Server{TokenDead: true}, look())
	require.Equal(t, 1, asked, "it is known")
	dead, away = false, errors.New("away")
	require.Equal(t, &Server{TokenDead: true}, look(), "it is not known yet to be over")
	away = nil
	require.Equal(t, &Server{SeatsLeft: 5}, look())
	require.Equal(t, 3, asked)
}

func TestWatcher_what_is_taken_and_comes_back(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s kept) {
		o := WatchOptions{Store: s.Store, Limits: limits()}
		w := NewWatcher(o)
		undone := func(n int) {
			a := identity.Account{ID: "a", Profile: identity.Profile{Username: "k.lee"}}
			require.NoError(t, s.PutLinks(t.Context(), s.l, []identity.Link{{Key: of("corp", 1), AccountID: "a", Part: identity.Owner, Origin: identity.OriginCreated, Observed: &a, Undone: n}}))
		}
		look := func() []Leaver {
			got, err := w.Look(t.Context())
			require.NoError(t, err)
			return got.Undone
		}
		undone(1)
		require.Empty(t, look(), "once may be a write that met ours")
		undone(2)
		require.Empty(t, look(), "all links are not read twice a minute")
		s.ran(t, "run1", time.Minute, state.RunDone)
		require.Equal(t, []Leaver{{"corp", "k.lee"}}, look(), "but after a run")
		undone(0)
		w.undoneAt = time.Now().Add(-undoneEvery)
		require.Empty(t, look())
	})
}

func TestWatcher_history(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s kept) {
		change := plan.Decision{
			Key: of("corp", 1), Action: plan.Deactivate, Reason: plan.SourceDisabled, AccountID: "a",
			Ops: []plan.Op{{Kind: plan.SetActive, Changes: []plan.Change{{Field: plan.FieldActive, From: "true", To: "false"}}}},
		}
		now, err := s.Now(t.Context())
		require.NoError(t, err)
		ended := func(ago time.Duration) {
			r := state.Run{ID: "run1", Kind: "sync", Trigger: "cli", Status: state.RunApplying, Token: s.l.Token, RequestedAt: now.Add(-time.Hour), StartedAt: now.Add(-time.Hour), PlannedAt: now.Add(-time.Hour)}
			if ago == 0 {
				require.NoError(t, s.BeginRun(t.Context(), s.l, r, plan.Plan{Decisions: []plan.Decision{change}}, state.SightingChanges{}))
				require.NoError(t, s.RecordOp(t.Context(), s.l, state.Outcome{Ref: state.OpRef{Run: "run1"}, Status: state.OpDone, At: now.Add(-time.Hour)}))
				return
			}
			r.Status, r.FinishedAt = state.RunDone, now.Add(-ago)
			require.NoError(t, s.SaveRun(t.Context(), r))
		}
		require.Zero(t, s.look(t, WatchOptions{}).History)
		ended(0)
		require.Zero(t, s.look(t, WatchOptions{}).History, "it goes on, and is sealed at its end")
		ended(time.Minute)
		require.Zero(t, s.look(t, WatchOptions{}).History)
		ended(11 * time.Minute)
		require.WithinDuration(t, now.Add(-11*time.Minute), s.look(t, WatchOptions{}).History.Unsealed, time.Second)
		got := s.look(t, WatchOptions{History: func(context.Context) (History, error) { return History{Restored: true}, nil }})
		require.True(t, got.History.Restored)
		_, err = NewWatcher(WatchOptions{Store: s.Store, History: func(context.Context) (History, error) { return History{}, errors.New("away") }}).Look(t.Context())
		require.ErrorContains(t, err, "look at the end of the history: away", "what is not known ends nothing")
	})
}

func TestWatcher_a_source_that_cannot_be_read(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s kept) {
		now, err := s.Now(t.Context())
		require.NoError(t, err)
		for _, h := range []int{50, 40, 1} {
			require.NoError(t, s.RecordRead(t.Context(), state.Read{Source: "corp", At: now.Add(-time.Duration(h) * time.Hour), Doubt: "it could not be read at all"}))
		}
		got := s.look(t, WatchOptions{Sources: []WatchedSource{{Name: "corp"}}})
		require.WithinDuration(t, now.Add(-50*time.Hour), got.Sources[0].Since, time.Millisecond)
		var kinds []Kind
		for _, n := range Conditions(got, limits()) {
			kinds = append(kinds, n.Kind)
		}
		require.Equal(t, []Kind{SourceDegraded, SourceStale}, kinds)
	})
}
