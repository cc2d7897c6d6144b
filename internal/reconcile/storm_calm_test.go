package reconcile_test

import (
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// calm lets nothing go wrong any more, and judges what comes of it.
func (s *storm) calm() {
	time.Sleep(3 * time.Minute)
	s.flights.Wait()
	s.sim.Restart(nil)
	s.mend()
	var rep reconcile.Report
	began := time.Now()
	for n := 1; ; n++ {
		s.book.mu.Lock()
		s.book.setBack = false // noticed or not, it is read anew from here on
		s.book.mu.Unlock()
		var err error
		rep, err = s.ordinary("calm", false)
		if err != nil {
			return
		}
		if s.atRest(rep) && !s.grace(began) {
			break
		}
		if n == calmRuns && !s.rules.handsOver || n == 2*calmRuns {
			s.wrong("no rest within %d runs", n)
			return
		}
		if s.slow {
			time.Sleep(26 * time.Hour)
		} else {
			time.Sleep(15 * time.Minute)
		}
	}
	run := s.newRun("audit")
	whole, err := s.engine(run, "one", true).Plan(s.t.Context(), reconcile.RunOptions{Trigger: "test", Audit: true})
	if err != nil {
		s.wrong("the last plan fails: %v", err)
		return
	}
	for _, d := range whole.Plan.Decisions {
		if len(d.Ops) > 0 && !s.refused(d) {
			s.wrong("the runs came to rest, and a look at everything shows that they overlooked %+v", d)
		}
	}
	s.judge(whole.Plan).world()
	s.journal()
	s.strangers("in the end")
}

// grace tells that somebody's grace may not be over, counted from when all reads
// began to be good: if he is off already, no plan says so.
func (s *storm) grace(calm time.Time) bool {
	left := func(k identity.Key) bool { return !s.people[k].listed }
	return slices.ContainsFunc(s.keys(), left) && time.Since(calm) <= max(s.rules.grace.Missing, s.rules.grace.OutOfScope)
}

// mend makes entries readable again that belong to nobody known: until then nobody
// counts as missing.
func (s *storm) mend() {
	links, err := s.db.Links(s.t.Context(), state.LinkFilter{})
	if err != nil {
		s.wrong("links cannot be read: %v", err)
	}
	for _, k := range s.keys() {
		if e := s.people[k]; e.garbled && !slices.ContainsFunc(links, func(l identity.Link) bool { return l.Key == k }) {
			e.garbled = false
			s.tell("directory: can be read again: %s", e)
		}
	}
}

// atRest tells that nothing was done and that nothing waits for time to pass.
func (s *storm) atRest(rep reconcile.Report) bool {
	waits := func(d plan.Decision) bool {
		switch d.Reason {
		case plan.InGrace, plan.CallInFlight, plan.ServerSetBack, plan.AccountUnseen, plan.ReadIncomplete, plan.Unconfirmed:
			return true
		default:
			return len(d.Ops) > 0 && !s.refused(d)
		}
	}
	return rep.Again == nil && !slices.ContainsFunc(rep.Plan.Decisions, waits)
}

// refused tells that somebody wants a login that another account has: a server
// that hides logins refuses that without saying why, and mmsync tries each time.
func (s *storm) refused(d plan.Decision) bool {
	e := s.people[d.Key]
	if s.rules.profile != mmsim.Profile538 || d.Action != plan.Create || e.auth.IsZero() {
		return false
	}
	links, err := s.db.Links(s.t.Context(), state.LinkFilter{})
	if err != nil {
		s.wrong("links cannot be read: %v", err)
	}
	return slices.ContainsFunc(s.sim.Users(), func(u mmsim.User) bool {
		made := slices.ContainsFunc(links, func(l identity.Link) bool { return l.Key == d.Key && l.AccountID == u.ID }) // it was not refused after all
		return u.AuthData == e.auth.Data && !made
	})
}
