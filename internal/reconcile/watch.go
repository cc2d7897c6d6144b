package reconcile

import (
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Watcher is told what an Engine does, for whoever counts it. Its functions may be nil;
// they are called from several goroutines, and what they wait for everybody waits for.
type Watcher struct {
	// Ran is told each run that ended and is recorded: of a plan and of a push as well, and
	// of one that this process found cut off because its own died.
	Ran func(run state.Run, decisions []plan.Decision, trips []guard.Trip)
	// Changed is told the outcome of each op that is recorded; state.OpSent of one that
	// got no answer and is looked after by a later run.
	Changed func(a plan.Action, s state.OpStatus)
	// Read is told each reading of a source; err is nil if something came back, complete
	// or not.
	Read func(source string, err error)
	// Round is told again and again while [Engine.ServePushes] goes on: by its silence
	// one that is stuck is known.
	Round func()
}

func (w Watcher) ran(run *state.Run, rep *Report) {
	if w.Ran != nil {
		w.Ran(*run, rep.Plan.Decisions, rep.Verdict.Trips)
	}
}

func (w Watcher) changed(a plan.Action, s state.OpStatus) {
	if w.Changed != nil {
		w.Changed(a, s)
	}
}

func (w Watcher) round() {
	if w.Round != nil {
		w.Round()
	}
}

func (w Watcher) read(source string, err error) {
	if w.Read != nil {
		w.Read(source, err)
	}
}
