package reconcile_test

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// holders gives a wiring for a process of its own: others wait for its lease.
func holders(name string, more ...func(*reconcile.Options)) wiring {
	return wiring{change: func(o *reconcile.Options) {
		o.Holder, o.PolicyDigest = name, "policy"
		for _, f := range more {
			f(o)
		}
	}}
}

// desk is a process that makes the runs that others ask for.
func (w *world) desk(people []human, with wiring) (store state.Store, stop func()) {
	w.t.Helper()
	store = w.store()
	e := w.engine(store, people, with)
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- e.ServeRequests(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(w.t, <-done)
		require.NoError(w.t, store.Close())
	})
	w.t.Cleanup(stop)
	return store, stop
}

// busy has the lease held by somebody until free is called.
func (w *world) busy(s state.Store) (free func()) {
	w.t.Helper()
	l, err := s.AcquireLease(w.t.Context(), reconcile.LeaseName, "busy", time.Minute)
	require.NoError(w.t, err)
	return func() { require.NoError(w.t, s.ReleaseLease(context.WithoutCancel(w.t.Context()), l)) }
}

type answer struct {
	rep reconcile.Report
	err error
}

// ask asks for a run as a command does, and gives the store to look at.
func (w *world) ask(ctx context.Context, people []human, with wiring, o reconcile.RunOptions, wait time.Duration, tell func(string)) (state.Store, chan answer) {
	w.t.Helper()
	s := w.store()
	e := w.engine(s, people, with)
	o.Trigger, o.RequestedBy = "cli", "ada@host"
	out := make(chan answer, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		rep, err := e.Ask(ctx, o, wait, tell)
		out <- answer{rep, err}
	}()
	w.t.Cleanup(func() {
		<-done
		require.NoError(w.t, s.Close())
	})
	return s, out
}

func asked(t testing.TB, s state.Store) (r state.Request) {
	t.Helper()
	require.Eventually(t, func() bool {
		var ok bool
		var err error
		r, ok, err = s.NextRequest(t.Context(), "policy")
		return err == nil && ok
	}, time.Minute, 5*time.Millisecond)
	return r
}

func syncs(t testing.TB, s state.Store) []state.Run {
	t.Helper()
	runs, err := s.Runs(t.Context(), state.RunFilter{Kind: "sync"})
	require.NoError(t, err)
	return runs
}

// noRequest tells that nothing is left of a request.
func noRequest(t testing.TB, s state.Store, r state.Request) {
	t.Helper()
	_, err := s.RenewRequest(t.Context(), r.ID, time.Second)
	require.ErrorIs(t, err, state.ErrNotFound)
}

func TestAsk(t *testing.T) {
	t.Parallel()
	for _, at := range []setting{{name: "sqlite"}, {name: "postgres", postgres: true}} {
		t.Run(at.name+"/whoever has the lease makes the run, and the asker gets what it would have got itself", func(t *testing.T) {
			t.Parallel()
			want := func() reconcile.Report {
				w := newWorld(t)
				w.rest(few(), holders("setting"))
				rep, err := w.run(t.Context(), changed(), holders("asker", strict), reconcile.RunOptions{Audit: true})
				require.NoError(t, err)
				return rep
			}()
			w := newWorld(t)
			w.db = at.store(t)
			w.rest(few(), holders("setting"))
			s, _ := w.desk(changed(), holders("desk", strict))
			before := len(syncs(t, s))
			free := w.busy(s)
			_, got := w.ask(t.Context(), nil, holders("asker", strict), reconcile.RunOptions{Audit: true, Reason: "“why”"}, time.Minute, nil)
			r := asked(t, s)
			free()
			a := <-got
			require.NoError(t, a.err)
			runs := syncs(t, s)
			require.Len(t, runs, before+1)
			require.Equal(t, []string{a.rep.RunID, "cli", "ada@host", "“why”"}, []string{runs[0].ID, runs[0].Trigger, runs[0].RequestedBy, runs[0].Reason})
			require.Equal(t, state.RunWithheld, a.rep.Status)
			require.NotNil(t, a.rep.Census)
			require.Equal(t, gist(want), gist(a.rep))
			noRequest(t, s, r)
		})
	}
	t.Run("what is selected is carried along, and limits given by hand", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		s, _ := w.desk(few(), holders("desk"))
		free := w.busy(s)
		o := reconcile.RunOptions{Limits: &guard.Limits{Creates: guard.Limit{Count: 3, ByHand: true}, Window: time.Hour}}
		_, got := w.ask(t.Context(), nil, holders("asker"), o.Select(reconcile.Selection{People: []string{"anna", "bert"}, Actions: []plan.Action{plan.Create}, Limit: 1}), time.Minute, nil)
		asked(t, s)
		free()
		a := <-got
		require.NoError(t, a.err)
		require.Equal(t, 1, a.rep.Counts.Done)
		require.Contains(t, a.rep.Plan.Warnings[len(a.rep.Plan.Warnings)-1], "this is a part of the plan")
		require.Len(t, w.sim.Users(), 2)
	})
	t.Run("with nobody who takes requests the asker makes it when the lease is free", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		s := w.store()
		defer s.Close()
		free := w.busy(s)
		_, got := w.ask(t.Context(), few(), holders("asker"), reconcile.RunOptions{}, time.Minute, nil)
		r := asked(t, s)
		free()
		a := <-got
		require.NoError(t, a.err)
		require.Equal(t, 4, a.rep.Counts.Done)
		require.Len(t, syncs(t, s), 1)
		noRequest(t, s, r)
	})
	t.Run("another configuration's request is left to its asker", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		s, _ := w.desk(few()[:1], holders("desk", func(o *reconcile.Options) { o.PolicyDigest = "another" }))
		free := w.busy(s)
		_, got := w.ask(t.Context(), few(), holders("asker"), reconcile.RunOptions{}, time.Minute, nil)
		asked(t, s)
		free()
		a := <-got
		require.NoError(t, a.err)
		require.Equal(t, 4, a.rep.Counts.Done)
	})
	t.Run("one that had not begun in time is not made any more", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		s, _ := w.desk(few(), holders("desk"))
		free := w.busy(s)
		_, got := w.ask(t.Context(), few(), holders("asker"), reconcile.RunOptions{}, 3*time.Second, nil)
		r := asked(t, s)
		a := <-got
		require.ErrorIs(t, a.err, state.ErrHeld)
		noRequest(t, s, r)
		free()
		time.Sleep(600 * time.Millisecond) // more than the desk needs to see one
		require.Empty(t, syncs(t, s))
	})
	t.Run("one whose asker died is not made", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		s, _ := w.desk(few(), holders("desk"))
		free := w.busy(s)
		require.NoError(t, s.FileRequest(t.Context(), state.Request{ID: "r", Policy: "policy", Asked: `{"by":"x","trigger":"cli"}`}, 300*time.Millisecond))
		time.Sleep(400 * time.Millisecond)
		free()
		time.Sleep(600 * time.Millisecond)
		require.Empty(t, syncs(t, s))
	})
	t.Run("one that says what this version does not know is not made", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		s, _ := w.desk(few(), holders("desk"))
		require.NoError(t, s.FileRequest(t.Context(), state.Request{ID: "r", Policy: "policy", Asked: `{"by":"x","trigger":"cli","only_on":"mondays"}`}, time.Hour))
		time.Sleep(600 * time.Millisecond)
		require.Empty(t, syncs(t, s))
		require.Equal(t, "r", asked(t, s).ID)
	})
	t.Run("a run of another kind waits for the lease and says so", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		s, _ := w.desk(few(), holders("desk"))
		free := w.busy(s)
		told := make(chan string, 1)
		w.pilot = []string{"staff"}
		_, got := w.ask(t.Context(), few(), holders("asker"), reconcile.RunOptions{}.Select(reconcile.Selection{Groups: []string{"staff"}}), time.Minute, func(s string) { told <- s })
		require.Contains(t, <-told, "--group")
		_, ok, err := s.NextRequest(t.Context(), "policy")
		require.NoError(t, err)
		require.False(t, ok)
		free()
		require.NoError(t, (<-got).err)
	})
	t.Run("an error is the same to whoever asked", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.rest(few(), holders("setting"))
		people := append(few(), human{ID: "9", UID: "nora"})
		s, _ := w.desk(people, holders("desk"))
		before := len(syncs(t, s))
		free := w.busy(s)
		owner, _ := w.sim.UserByName("bert")
		w.sim.SetUser(w.sim.AdminID(), func(u *mmsim.User) { u.IsBot, u.OwnerID = true, owner.ID })
		_, got := w.ask(t.Context(), people, holders("asker"), reconcile.RunOptions{}, time.Minute, nil)
		asked(t, s)
		free()
		a := <-got
		require.ErrorIs(t, a.err, reconcile.ErrRefused)
		require.True(t, a.rep.Plan.Effective())
		_, own := w.run(t.Context(), people, holders("asker"), reconcile.RunOptions{})
		require.Equal(t, own.Error(), a.err.Error())
		require.Len(t, syncs(t, s), before+2)
	})
}

// strict lets one deactivation through, none of it, so that a guard trips.
func strict(o *reconcile.Options) { o.Limits.Deactivations = guard.Limit{} }

// gist leaves out of a report what no two runs share.
func gist(r reconcile.Report) any {
	type part struct {
		Digest, Status, Guards string
		Trips                  []string
		Done, Held             int
		Decisions              []string
		Problems               []string
		Census                 reconcile.Census
		Decided                int
	}
	p := part{
		Digest: strconv.Itoa(len(r.Plan.Decisions)), Status: string(r.Status), Guards: r.Guards, Done: r.Counts.Done, Held: r.Counts.Held,
		Problems: append([]string{}, r.Problems...), Census: *r.Census, Decided: r.Decided,
	}
	for _, t := range r.Verdict.Trips {
		p.Trips = append(p.Trips, string(t.Class)+"/"+t.Source+"/"+t.Cause)
	}
	for _, d := range r.Plan.Decisions {
		p.Decisions = append(p.Decisions, string(d.Action)+" "+d.Username+" "+string(d.Reason)+" "+string(d.Held)+" "+strconv.Itoa(len(d.Ops)))
	}
	return p
}

func TestAsk_whoever_makes_the_run_dies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.store()
	defer s.Close()
	_ = w.busy(s)
	_, got := w.ask(t.Context(), few(), holders("asker"), reconcile.RunOptions{}, time.Minute, nil)
	r := asked(t, s)
	// Whoever has the lease takes it, and is about to die.
	l, err := s.AcquireLease(t.Context(), reconcile.LeaseName, "busy", time.Minute)
	require.NoError(t, err)
	_, ok, err := s.TakeRequest(t.Context(), l, r.ID, "20260101-000000-aaa")
	require.NoError(t, err)
	require.True(t, ok)
	require.NoError(t, s.SaveRun(t.Context(), state.Run{ID: "20260101-000000-aaa", Kind: "sync", Status: state.RunApplying, Token: l.Token, RequestedAt: time.Now()}))
	select {
	case a := <-got:
		t.Fatalf("it is alive: %+v", a)
	case <-time.After(time.Second):
	}
	require.NoError(t, s.ReleaseLease(t.Context(), l)) // as if it had run out
	_, err = w.sync(two(), holders("successor"))
	require.NoError(t, err)
	a := <-got
	require.ErrorContains(t, a.err, "the process that made run 20260101-000000-aaa ended in the middle of it")
	runs := syncs(t, s)
	require.Len(t, runs, 2, "the successor's own, and the one that was cut off")
	require.Equal(t, state.RunInterrupted, runs[1].Status)
}

func TestAsk_the_asker_leaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writing, goOn := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(writing) })
	with := holders("desk")
	with.network = network(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPost && r.URL.Path == "/api/v4/users" {
			once()
			<-goOn
		}
		return http.DefaultTransport.RoundTrip(r)
	})
	s, _ := w.desk(few(), with)
	free := w.busy(s)
	ctx, stop := context.WithCancel(t.Context())
	_, got := w.ask(ctx, few(), holders("asker"), reconcile.RunOptions{}, time.Minute, nil)
	asked(t, s)
	free()
	<-writing
	stop()
	a := <-got
	close(goOn)
	var on *reconcile.GoesOnError
	require.ErrorAs(t, a.err, &on)
	require.ErrorIs(t, a.err, context.Canceled)
	require.Eventually(t, func() bool { return syncs(t, s)[0].Status == state.RunDone }, time.Minute, 20*time.Millisecond)
	require.Equal(t, syncs(t, s)[0].ID, on.Run)
	require.Len(t, syncs(t, s), 1)
}

// Whoever works on pushes all the time lets a run that is asked for come in between.
func TestAsk_beside_pushes_that_never_end(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := newClient()
	with := wiring{change: func(o *reconcile.Options) { o.PolicyDigest = "policy" }}
	p := w.service(c, with)
	served := make(chan error, 1)
	go func() { served <- p.engine.ServeRequests(p.ctx) }()
	flow, stop := context.WithCancel(t.Context())
	var pushing sync.WaitGroup
	pushing.Go(func() {
		for n := 0; flow.Err() == nil; n++ {
			p.keep(pushedID(n%5, titled("Title "+strconv.Itoa(n))))
			time.Sleep(5 * time.Millisecond)
		}
	})
	require.Eventually(t, func() bool {
		_, held, err := p.store.HeldLease(t.Context(), reconcile.LeaseName)
		return err == nil && held
	}, time.Minute, time.Millisecond)
	asker := holders("asker")
	asker.change = func(o *reconcile.Options) {
		o.Holder, o.PolicyDigest, o.Sources = "asker", "policy", []reconcile.Source{c}
	}
	start := time.Now()
	_, got := w.ask(t.Context(), nil, asker, reconcile.RunOptions{}, time.Minute, nil)
	a := <-got
	took := time.Since(start)
	stop()
	pushing.Wait()
	require.NoError(t, a.err)
	if !underRace {
		require.Less(t, took, 12*time.Second, "how long a session may last")
	}
	require.Equal(t, "ada@host", syncs(t, p.store)[0].RequestedBy)
	require.Len(t, syncs(t, p.store), 1)
	p.calm()
	p.stop()
	require.NoError(t, <-served)
}
