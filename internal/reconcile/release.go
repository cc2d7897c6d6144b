package reconcile

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// release is what a run knows of the server while it carries its plan out.
type release struct {
	mu    sync.Mutex
	facts plan.Facts
	asked time.Time // anew; zero: not yet
}

// askRelease is how soon a server that tells another version again, as a cluster does in
// the middle of an upgrade, is asked anew.
const askRelease = 10 * time.Second

// met asks a server anew what it can do that tells another version than before: it was
// upgraded, or set back, while the plan was being carried out. What was decided under
// other rules is not carried out any more; the next run decides again.
func (a *applier) met(ctx context.Context) error {
	s := &a.server
	s.mu.Lock()
	defer s.mu.Unlock()
	told := a.e.o.Target.Version()
	if told == s.facts.Version || time.Since(s.asked) < askRelease {
		return nil
	}
	facts, err := a.e.meet(ctx, a.lease)
	if err != nil {
		return fmt.Errorf("the server is %s now, and was %s when this run began: %w", told, s.facts.Version, err)
	}
	if err := refuse(facts, a.plan); err != nil {
		return err
	}
	before := s.facts
	s.facts, s.asked = facts, time.Now()
	if facts.AuthDataVisible != before.AuthDataVisible || facts.LDAPLocked != before.LDAPLocked || facts.EmailVerification != before.EmailVerification ||
		facts.GuestsOff != before.GuestsOff || facts.Licence != before.Licence || !slices.Equal(facts.Domains, before.Domains) || !slices.Equal(facts.GuestDomains, before.GuestDomains) {
		return fmt.Errorf("the server is %s now, was %s when this run began, and does not do all as before, so the run was stopped; run sync again, it decides anew", facts.Version, before.Version)
	}
	a.e.log.InfoContext(ctx, "the server tells another version, and was asked anew what it can do", "run", a.runID, "before", before.Version, "now", facts.Version)
	return nil
}
