package notice

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Store is what is read of a store.
type Store interface {
	Now(ctx context.Context) (time.Time, error)
	Runs(ctx context.Context, f state.RunFilter) ([]state.Run, error)
	Decisions(ctx context.Context, run string) ([]state.DecisionRecord, error)
	Held(ctx context.Context, keys ...identity.Key) ([]state.HeldItem, error)
	Waiting(ctx context.Context, before time.Time, limit int) ([]state.Due, error)
	Links(ctx context.Context, f state.LinkFilter) ([]identity.Link, error)
	Reads(ctx context.Context, source string, since time.Time) ([]state.Read, error)
	Tokens(ctx context.Context, source string) ([]state.Token, error)
	Unsealed(ctx context.Context, limit int) (state.Unsealed, error)
	Ops(ctx context.Context, f state.OpFilter) ([]state.OpRecord, error)
}

// WatchedSource is a source of the configuration.
type WatchedSource struct {
	Name   string
	Pushed bool
	// Signed tells that clients may come with tokens of an issuer, of whose use
	// nothing is noted.
	Signed bool
	// Managers tells that it says whom people report to.
	Managers bool
}

// WatchOptions configure a Watcher.
type WatchOptions struct {
	Store   Store
	Sources []WatchedSource
	Limits  Limits
	// Server asks Mattermost about itself, and until when its licence lasts; zero if it
	// has none or does not say. An error leaves it unknown. It is asked every ServerEvery
	// at most. nil asks nothing.
	Server func(ctx context.Context) (s Server, licence time.Time, err error)
	// TokenDead tells what whoever works knows of the token at any moment; nil for
	// nothing. Server is asked at once when that has ended.
	TokenDead func() bool
	// Ends gives what ends besides tokens; nil for nothing.
	Ends func() []End
	// Left gives what leavers left behind that works on; known false says that there may
	// be more. nil asks nothing.
	Left func(ctx context.Context) (list []LeftBehind, known bool)
	// History tells whether the store is the one whose history was sealed; nil leaves
	// that open.
	History func(ctx context.Context) (History, error)
}

// ServerEvery is how often Mattermost is asked about itself.
const ServerEvery = 5 * time.Minute

// Watcher reads what is the matter. It is not for several goroutines.
type Watcher struct {
	o WatchOptions
	// seen are the runs whose decisions were read already: they do not change.
	seen map[string]view

	server  *Server
	licence time.Time
	asked   time.Time

	// began is when it looked first, by the store's clock.
	began time.Time
	// back are those that undone found at undoneAt, after the run undoneRun.
	back      []Leaver
	undoneAt  time.Time
	undoneRun string
	// left is what leavers left behind at leftAt, after the run leftRun.
	left      []LeftBehind
	leftKnown bool
	leftAt    time.Time
	leftRun   string
	// leftLooked is leftAt by the store's clock.
	leftLooked time.Time
	// gone are those that departed found at goneAt, after the run goneRun.
	gone    []Departed
	goneAt  time.Time
	goneRun string
	// hasLeft keeps of each whose account is off of late whether he has left: the history
	// of that does not change.
	hasLeft map[string]bool
}

// view is what matters of a run's decisions.
type view struct {
	asked   map[identity.Key]plan.Reason
	leavers map[identity.Key]string // with the username
}

// NewWatcher makes a Watcher.
func NewWatcher(o WatchOptions) *Watcher { return &Watcher{o: o, seen: map[string]view{}} }

const (
	manyRuns = 100
	// mostWaiting bounds what is read of people who wait: while Mattermost is away that
	// may be everybody, and the longest waiting leavers come first.
	mostWaiting = 2000
	// readsLately and readsWithin are how far back the reads of a source are looked
	// through before all of them are.
	readsLately, readsWithin = time.Hour, 7 * 24 * time.Hour
)

// Look gives what is the matter now.
func (w *Watcher) Look(ctx context.Context) (Snapshot, error) {
	now, err := w.o.Store.Now(ctx)
	if err != nil {
		return Snapshot{}, fmt.Errorf("read the store's clock: %w", err)
	}
	if w.began.IsZero() {
		w.began = now
	}
	s := Snapshot{Now: now}
	if s.Runs, err = w.runs(ctx); err != nil {
		return s, err
	}
	if s.Held, err = w.o.Store.Held(ctx); err != nil {
		return s, fmt.Errorf("read what guards hold: %w", err)
	}
	if err := w.people(ctx, &s); err != nil {
		return s, err
	}
	tokens, err := w.o.Store.Tokens(ctx, "")
	if err != nil {
		return s, fmt.Errorf("list tokens: %w", err)
	}
	for _, src := range w.o.Sources {
		of := slices.DeleteFunc(slices.Clone(tokens), func(t state.Token) bool { return t.Source != src.Name || !t.RevokedAt.IsZero() })
		one := Source{Name: src.Name, Pushed: src.Pushed}
		if src.Pushed {
			one.Request = lastRequest(of, src.Signed)
			s.Ends = append(s.Ends, tokenEnds(of, src, now)...)
		} else if err := w.reads(ctx, &one, now); err != nil {
			return s, err
		}
		s.Sources = append(s.Sources, one)
	}
	if w.o.Ends != nil {
		s.Ends = append(s.Ends, w.o.Ends()...)
	}
	if err := w.undone(ctx, &s); err != nil {
		return s, err
	}
	if err := w.history(ctx, &s); err != nil {
		return s, err
	}
	if err := w.departed(ctx, &s); err != nil {
		return s, err
	}
	w.ask(ctx, &s)
	w.leftBehind(ctx, &s)
	return s, nil
}

// runs gives the syncs about everybody that ended.
func (w *Watcher) runs(ctx context.Context) ([]state.Run, error) {
	list, err := w.o.Store.Runs(ctx, state.RunFilter{
		Kind: "sync", Statuses: []state.RunStatus{state.RunDone, state.RunPartial, state.RunWithheld, state.RunFailed, state.RunInterrupted}, Limit: manyRuns,
	})
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	return slices.DeleteFunc(list, func(r state.Run) bool { return strings.Contains(r.Options, `"part":true`) }), nil
}

// people fills in who waits for a word and who is still on.
func (w *Watcher) people(ctx context.Context, s *Snapshot) error {
	asked, on := map[identity.Key]plan.Reason{}, map[identity.Key]string{}
	planned := slices.DeleteFunc(slices.Clone(s.Runs), func(r state.Run) bool { return broke(&r) || r.PlannedAt.IsZero() })
	kept := map[string]view{}
	if len(planned) > 0 {
		last, err := w.view(ctx, planned[0].ID, kept)
		if err != nil {
			return err
		}
		maps.Copy(asked, last.asked)
		before := slices.IndexFunc(planned, func(r state.Run) bool { return s.Now.Sub(r.PlannedAt) >= w.o.Limits.LeaverHeldAfter })
		if len(last.leavers) > 0 && before >= 0 {
			then, err := w.view(ctx, planned[before].ID, kept)
			if err != nil {
				return err
			}
			for k, name := range last.leavers {
				if _, was := then.leavers[k]; was {
					on[k] = name
				}
			}
		}
		for _, r := range asked {
			if r == plan.NeedsApproval {
				s.Run = planned[0].ID
			}
		}
	}
	w.seen = kept
	waiting, err := w.o.Store.Waiting(ctx, s.Now, mostWaiting)
	if err != nil {
		return fmt.Errorf("read who waits: %w", err)
	}
	for _, d := range waiting {
		if r := plan.Reason(d.Reason); d.Held && waitsForWord(r) {
			asked[d.Key] = r
		}
		if d.Leaver && s.Now.Sub(d.Since) >= w.o.Limits.LeaverHeldAfter && !quiet(plan.Reason(d.Reason)) {
			if _, known := on[d.Key]; !known {
				on[d.Key] = "" // the account says
			}
		}
	}
	s.Asked = map[plan.Reason]int{}
	for _, r := range asked {
		s.Asked[r]++
	}
	s.Leavers, err = w.leavers(ctx, on)
	return err
}

// leavers leaves out whose account is off by now, and fills in names.
func (w *Watcher) leavers(ctx context.Context, on map[identity.Key]string) ([]Leaver, error) {
	if len(on) == 0 {
		return nil, nil
	}
	keys := slices.SortedFunc(maps.Keys(on), identity.Key.Compare)
	links := map[identity.Key]*identity.Link{}
	for part := range slices.Chunk(keys, 1000) {
		list, err := w.o.Store.Links(ctx, state.LinkFilter{Keys: part})
		if err != nil {
			return nil, fmt.Errorf("read the accounts of leavers: %w", err)
		}
		for i := range list {
			links[list[i].Key] = &list[i]
		}
	}
	var out []Leaver
	for _, k := range keys {
		l := links[k]
		if l == nil || l.Part != identity.Owner || l.Observed != nil && !l.Observed.Active() {
			continue // mmsync has no account of theirs, or it is off
		}
		name := on[k]
		if l.Observed != nil {
			name = l.Observed.Username
		}
		out = append(out, Leaver{Source: k.Source, Username: name})
	}
	return out, nil
}

func (w *Watcher) view(ctx context.Context, run string, kept map[string]view) (view, error) {
	if v, known := kept[run]; known {
		return v, nil
	}
	v, known := w.seen[run]
	if !known {
		records, err := w.o.Store.Decisions(ctx, run)
		if err != nil {
			return v, fmt.Errorf("list the decisions of run %s: %w", run, err)
		}
		v = view{asked: map[identity.Key]plan.Reason{}, leavers: map[identity.Key]string{}}
		for i := range records {
			v.add(&records[i].Decision)
		}
	}
	kept[run] = v
	return v, nil
}

func (v *view) add(d *plan.Decision) {
	switch {
	case waitsForWord(d.Reason):
		v.asked[d.Key] = d.Reason
	case slices.ContainsFunc(d.Notes, func(n plan.Note) bool { return n.Reason == plan.NeedsApproval }):
		v.asked[d.Key] = plan.NeedsApproval // of a part of it
	}
	if d.Action == plan.Hold && d.Held == plan.Deactivate && !quiet(d.Reason) {
		v.leavers[d.Key] = d.Username
	}
}

func waitsForWord(r plan.Reason) bool {
	return r == plan.NeedsApproval || r == plan.MatchNeedsWord || r == plan.MatchPrivileged
}

// quiet tells what keeps a leaver's account on and is no reason to tell of him by
// himself: grace is meant, whoever is only missing may not have left, a guard and an
// operator's hold are known as a whole.
func quiet(r plan.Reason) bool {
	return slices.Contains([]plan.Reason{
		plan.InGrace, plan.GuardTripped, plan.ReadIncomplete, plan.Unconfirmed, plan.StillPresent, plan.HandOver, plan.OnHold, plan.Rejected,
	}, r)
}

func (w *Watcher) reads(ctx context.Context, s *Source, now time.Time) error {
	s.Since = w.began // it should have been read by now
	for _, since := range []time.Time{now.Add(-readsLately), now.Add(-readsWithin), time.Unix(0, 0)} {
		list, err := w.o.Store.Reads(ctx, s.Name, since)
		if err != nil {
			return fmt.Errorf("list the reads of source %s: %w", s.Name, err)
		}
		whole := slices.IndexFunc(list, func(r state.Read) bool { return r.Complete })
		tried := list
		if whole >= 0 {
			s.Complete, tried = list[whole].At, list[:whole]
		}
		if len(list) > 0 {
			s.Read = list[0].At
		}
		if len(tried) > 0 {
			s.Since = tried[len(tried)-1].At
		}
		if whole >= 0 {
			return nil
		}
	}
	return nil
}

// ask asks Mattermost about itself, unless it did so a short while ago.
func (w *Watcher) ask(ctx context.Context, s *Snapshot) {
	if w.o.Server == nil {
		return
	}
	dead := w.o.TokenDead != nil && w.o.TokenDead()
	back := w.o.TokenDead != nil && w.server != nil && w.server.TokenDead
	switch {
	case dead:
		w.server = &Server{TokenDead: true}
	case back || w.asked.IsZero() || time.Since(w.asked) >= ServerEvery:
		w.asked = time.Now()
		switch got, licence, err := w.o.Server(ctx); {
		case err == nil:
			w.server, w.licence = &got, licence
		case !back: // that it cannot be reached is for whoever has work for it to say
			w.server = nil
		}
	}
	if s.Server = w.server; w.server != nil && !w.licence.IsZero() && !w.server.TokenDead {
		s.Ends = append(s.Ends, End{
			Key: "licence", What: "the licence of Mattermost", At: w.licence,
			Next: "Renew it: without one the server refuses logins by LDAP and SAML, and may refuse accounts.", Command: "mmsync doctor",
		})
	}
}
