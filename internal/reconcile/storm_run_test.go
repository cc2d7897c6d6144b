package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

// ordinary is a run in which nothing goes wrong.
func (s *storm) ordinary(name string, audit bool) (reconcile.Report, error) {
	s.runs++
	run := s.newRun(fmt.Sprintf("%d %s", s.runs, name))
	rep, err := s.carry(s.t.Context(), run, "one", audit, name == "calm")
	if err != nil {
		s.wrong("a run fails although nothing goes wrong: %v", err)
	}
	s.inspect(run, rep, err)
	return rep, err
}

func (s *storm) carry(ctx context.Context, run *stormRun, holder string, audit, calm bool) (reconcile.Report, error) {
	s.tell("run %s begins", run.name)
	rep, err := s.engine(run, holder, calm).Sync(ctx, reconcile.RunOptions{Trigger: "test", RequestedBy: "test", Audit: audit})
	s.tell("run %s ends: %s %v; %+v; problems %q; dead %v", run.name, rep.Status, err, rep.Counts, rep.Problems, run.crash.dead.Load())
	if err != nil { // what it noticed of a server that was set back is not known
		s.book.mu.Lock()
		s.book.setBack = false
		s.book.mu.Unlock()
	}
	return rep, err
}

// stormy is a run, or two at once, in which things go wrong.
func (s *storm) stormy() {
	s.runs++
	run := s.newRun(fmt.Sprint(s.runs))
	ctx := s.t.Context()
	if s.chance(25) {
		run.crash.kind, run.crash.at = pick(s.r, beforeWrite, afterWrite, beforeRequest, afterRequest), int64(1+s.r.IntN(60))
		s.tell("run %s: will die %s %d", run.name, run.crash.kind, run.crash.at)
	}
	if s.chance(30) {
		run.late = pick(s.r, 0.2, 0.6)
	}
	if s.chance(15) {
		run.forget, s.poor, s.lost = 0.4, s.r.IntN(4), ""
	} else if s.poor > 0 {
		run.forget = 1
		s.poor--
	}
	if s.chance(35) {
		s.wake(run)
	}
	for _, name := range s.allSources() {
		if s.chance(30) || name == titles && s.more.IntN(3) == 0 {
			run.kinds[name] = pick(s.r, readCut, readFails, readShrunk, readLacks, readDumb)
			s.seen.add("read " + string(run.kinds[name]))
			s.tell("run %s: source %s is %s", run.name, name, run.kinds[name])
		}
	}
	if s.chance(8) {
		stopped, cancel := context.WithTimeout(ctx, time.Duration(s.r.IntN(4000))*time.Millisecond)
		defer cancel()
		ctx = stopped
		s.seen.add("stopped")
	}
	if s.chance(15) {
		s.middle(run)
	}
	over := s.trouble(run)
	defer over()
	audit, holder := s.chance(15), pick(s.r, "one", "one", "two")
	var second sync.WaitGroup
	switch {
	case s.chance(8):
		run.parted, run.slow = true, 700*time.Millisecond
		s.seen.add("parted from the store")
		second.Go(func() { s.rival(12*time.Second, run.lagged) })
	case s.chance(8):
		second.Go(func() { s.rival(time.Duration(s.seed%7)*200*time.Millisecond, run.lagged) })
	}
	rep, err := s.carry(ctx, run, holder, audit, false)
	second.Wait()
	if run.crash.dead.Load() {
		s.seen.add("crash " + string(run.crash.kind))
	}
	s.inspect(run, rep, err)
}

// rival is another process that wants to write too.
func (s *storm) rival(after time.Duration, lagged bool) {
	time.Sleep(after)
	s.seen.add("second engine")
	s.book.mu.Lock()
	run := s.newRun(fmt.Sprintf("%d rival", s.runs))
	run.lagged = lagged
	s.book.mu.Unlock()
	_, err := s.carry(s.t.Context(), run, "rival", false, false)
	if errors.Is(err, state.ErrHeld) {
		s.seen.add("second engine held off")
	}
}

// wake makes people who save their profiles at the very moment at which mmsync
// writes to them.
func (s *storm) wake(run *stormRun) {
	s.book.mu.Lock()
	owned := slices.Sorted(maps.Keys(s.book.owner))
	s.book.mu.Unlock()
	for _, id := range owned {
		if _, ok := s.sim.User(id); !ok || !s.chance(60) {
			continue
		}
		if s.tokens[id] == "" {
			s.tokens[id] = s.sim.AddToken(id)
		}
		run.savers[id] = true
	}
}

// middle lets other people work on the server once the plan is made.
func (s *storm) middle(run *stormRun) {
	run.middle = func() {
		for _, id := range s.meddle(1 + s.r.IntN(2)) {
			s.book.mu.Lock()
			run.edited[id] = true
			s.book.mu.Unlock()
		}
		if s.rules.guests && s.more.IntN(2) == 0 {
			for _, id := range s.guestFeature(false) {
				s.book.mu.Lock()
				run.edited[id] = true
				s.book.mu.Unlock()
			}
			s.seen.add("guest feature switched off in mid-run")
		}
		s.seen.add("edited in the middle")
	}
}

// inspect checks what must hold after every run.
func (s *storm) inspect(run *stormRun, rep reconcile.Report, err error) {
	s.strangers("after run " + run.name)
	whole := err == nil && s.rules.lookAgain > 0 && rep.Counts.Failed == 0 && rep.Counts.Skipped == 0 && len(run.edited) == 0
	if rep.Again != nil {
		whole = whole && rep.Again.Counts.Failed == 0 && rep.Again.Counts.Skipped == 0
	}
	if !whole || run.lagged {
		return
	}
	for id := range run.cutOff {
		if u, ok := s.sim.User(id); ok && u.Active() {
			s.wrong("run %s switched %s %s off, looked again, and left it on", run.name, id, u.Username)
		}
	}
}
