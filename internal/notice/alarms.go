package notice

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/state"
)

// What an Engine raises alarm about is worked out from the store like all else, so that
// whichever process tells knows of it, and of its end.

const (
	// undoneTwice is how often in a row what was taken came back when it is told: once
	// may be a write that met ours.
	undoneTwice = 2
	// undoneEvery is how often all links are looked through for that between two runs.
	undoneEvery = 5 * time.Minute
	// sealedWithin is how long after a run has ended what it did may be unsealed.
	sealedWithin = 10 * time.Minute
)

// undone looks for those from whom what was taken came back, after each run and from
// time to time.
func (w *Watcher) undone(ctx context.Context, s *Snapshot) error {
	last := ""
	if len(s.Runs) > 0 {
		last = s.Runs[0].ID
	}
	if w.undoneAt.IsZero() || last != w.undoneRun || time.Since(w.undoneAt) >= undoneEvery {
		links, err := w.o.Store.Links(ctx, state.LinkFilter{Undone: undoneTwice})
		if err != nil {
			return fmt.Errorf("read what was taken and came back: %w", err)
		}
		w.back, w.undoneAt, w.undoneRun = nil, time.Now(), last
		for i := range links {
			x := Leaver{Source: links[i].Key.Source}
			if a := links[i].Observed; a != nil {
				x.Username = a.Username
			}
			w.back = append(w.back, x)
		}
	}
	s.Undone = w.back
	return nil
}

func (w *Watcher) history(ctx context.Context, s *Snapshot) error {
	if w.o.History != nil {
		var err error
		if s.History, err = w.o.History(ctx); err != nil {
			return fmt.Errorf("look at the end of the history: %w", err)
		}
	}
	// The oldest op stands for all: what is done is sealed in that order.
	u, err := w.o.Store.Unsealed(ctx, 1)
	if err != nil {
		return fmt.Errorf("read what is not sealed: %w", err)
	}
	if len(u.Ops) == 0 {
		return nil
	}
	if ended := u.Of[u.Ops[0].Ref.Run].FinishedAt; !ended.IsZero() && s.Now.Sub(ended) > sealedWithin {
		s.History.Unsealed = ended
	}
	return nil
}

func undone(s Snapshot) []Notice {
	of := map[string][]string{}
	for _, x := range s.Undone {
		of[x.Source] = append(of[x.Source], x.Username)
	}
	var out []Notice
	for source, names := range of {
		n := Notice{
			Kind: TakenBack, Key: key(TakenBack, source), Severity: Alarm, Count: len(names),
			Text: fmt.Sprintf("What mmsync took from accounts of source %s comes back each time: %s switched on or given roles again.", source, were(len(names))),
			Next: "Find out who or what does it: another sync, an administrator, or a client that saves its profile all the time; the log of each run names the accounts.",
		}
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			if name != "" && len(n.People) < mostPeople {
				n.People = append(n.People, name)
			}
		}
		out = append(out, n)
	}
	return out
}

func were(n int) string {
	if n == 1 {
		return "1 person was"
	}
	return fmt.Sprintf("%d people were", n)
}

func history(s Snapshot) []Notice {
	var out []Notice
	if s.History.Restored {
		out = append(out, Notice{
			Kind: StoreRestored, Key: key(StoreRestored), Severity: Alarm,
			Text: "The store was put back, or is another one: its history is not the one that was sealed last; nothing is written to it, and nobody is created, changed or switched off.",
			Next: "If that was meant, read mmsync plan and accept it.", Command: "mmsync state accept-restore --reason …",
		})
	}
	n := Notice{Kind: NotSealed, Key: key(NotSealed), Severity: Warn, Next: "See what the history says about itself, and what the log of the last runs does.", Command: "mmsync audit verify"}
	switch {
	case s.History.Refused:
		n.Severity = Alarm
		n.Text = "The history cannot be gone on with: the key that sealed it is not there, or is another one; nobody is created, changed or switched off."
		out = append(out, n)
	case !s.History.Unsealed.IsZero():
		n.Text = fmt.Sprintf("What a run did that ended at %s is not sealed yet; the next run should have done it.", clock(s.History.Unsealed))
		out = append(out, n)
	}
	return out
}
