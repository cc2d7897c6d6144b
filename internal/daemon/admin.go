package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mmsync/mmsync/internal/admin"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/sources/scim"
	"github.com/mmsync/mmsync/internal/state"
)

// admin binds the admin listener, and gives what serves it until its context ends.
func (d *Daemon) admin(ctx context.Context, o ServeOptions, health *admin.Health) (func(context.Context) error, error) {
	c := d.Config.Admin
	bound, local := o.AdminListener, true
	if bound == nil {
		var err error
		local = c.Local()
		if bound, err = bind(ctx, "admin", c.Listen); err != nil {
			return nil, err
		}
	}
	page, err := d.page(bound.Addr().String(), o.Logger.With("component", "admin"))
	if err != nil {
		return nil, errors.Join(err, bound.Close())
	}
	handler := bounded(admin.New(admin.Options{Health: health, Metrics: d.Metrics, Page: page, Profiles: c.PProf, Local: local}))
	l, err := newListener("admin", bound, c.TLS, handler, o.Logger)
	if err != nil {
		return nil, errors.Join(err, bound.Close())
	}
	l.drain = min(2*time.Second, d.Config.ShutdownTimeout/3) // nothing is lost that is asked here
	o.Logger.InfoContext(ctx, "listening", "component", "admin", "address", l.Addr().String())
	return func(ctx context.Context) error {
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { d.count(ctx, o.Logger); return nil })
		g.Go(func() error { return l.Serve(ctx) })
		return g.Wait()
	}, nil
}

// watcher has what the engine does counted.
func (d *Daemon) watcher() reconcile.Watcher {
	return reconcile.Watcher{
		Ran: func(r state.Run, decisions []plan.Decision, trips []guard.Trip) {
			var classes []plan.Class
			for _, t := range trips {
				classes = append(classes, t.Class)
			}
			d.Metrics.Ran(r, decisions, classes)
		},
		Changed: d.Metrics.Changed,
		Round:   d.pushing.round,
		Read: func(source string, err error) {
			d.Metrics.Read(source, err)
			d.reads.note(source, err)
		},
	}
}

// failedReads remembers of each source why it could not be read the last time this
// process tried: the store knows the readings that came back.
type failedReads struct {
	mu  sync.Mutex
	why map[string]failedRead
}

type failedRead struct {
	err error
	at  time.Time
}

func (f *failedReads) note(source string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.why == nil {
		f.why = map[string]failedRead{}
	}
	delete(f.why, source)
	if err != nil {
		f.why[source] = failedRead{err, time.Now()}
	}
}

func (f *failedReads) last(source string) (failedRead, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.why[source]
	return r, ok
}

const (
	// countEvery is how often what the store holds is counted, as far as that is cheap.
	countEvery = 15 * time.Second
	// linksEvery is how often the links are, which are read one by one.
	linksEvery = 5 * time.Minute
	// countWithin is how long counting may take.
	countWithin = time.Minute
)

// count shows what the store holds until ctx ends. A store that is away shows in health;
// here the numbers stay as they were.
func (d *Daemon) count(ctx context.Context, log *slog.Logger) {
	var shown string
	var linked time.Time
	for ctx.Err() == nil {
		within, cancel := context.WithTimeout(ctx, countWithin)
		err := d.countRuns(within, &shown)
		if err == nil && time.Since(linked) >= linksEvery {
			linked = time.Now()
			err = d.countLinks(within)
		}
		cancel()
		if err != nil && ctx.Err() == nil {
			log.DebugContext(ctx, "what the store holds could not be counted", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(countEvery):
		}
	}
}

// countRuns shows when each source last had a run that ended well, and what the last
// whole plan decided, whichever process made it. shown is the run that is shown.
func (d *Daemon) countRuns(ctx context.Context, shown *string) error {
	var names []string
	for _, s := range d.Sources {
		if _, pushed := s.(*scim.Source); !pushed { // the silence of one means nothing
			names = append(names, s.Name())
		}
	}
	last, err := LastSuccess(ctx, d.Store, names)
	if err != nil {
		return err
	}
	for _, name := range names {
		at := time.Unix(0, 0) // never, which is longer ago than any limit
		if r, ok := last[name]; ok {
			at = r.StartedAt
		}
		d.Metrics.LastSuccess(name, at)
	}
	run, ok, err := LastWhole(ctx, d.Store)
	if err != nil || !ok || run.ID == *shown {
		return err
	}
	list, err := d.Store.Decisions(ctx, run.ID)
	if err != nil {
		return fmt.Errorf("list the decisions of run %s: %w", run.ID, err)
	}
	decisions := make([]plan.Decision, len(list))
	for n := range list {
		decisions[n] = list[n].Decision
	}
	d.Metrics.Planned(run, decisions)
	*shown = run.ID
	return nil
}

func (d *Daemon) countLinks(ctx context.Context) error {
	count := map[string]int{}
	for _, s := range d.Sources {
		count[s.Name()] = 0
	}
	err := d.Store.Heads(ctx, func(h state.LinkHead) error {
		if _, ok := count[h.Key.Source]; ok && h.Part != identity.Contributor {
			count[h.Key.Source]++
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("count links: %w", err)
	}
	for _, s := range d.Sources {
		d.Metrics.Links(s.Name(), count[s.Name()])
	}
	return nil
}

// wholeRun tells a run about everybody from one about a part of the people.
func wholeRun(r state.Run) bool { return reconcile.Whole(&r) }

// manyRuns is how many runs are looked through for one that ended well.
const manyRuns = 200

// LastWhole gives the newest run that decided about everybody and came to its end.
func LastWhole(ctx context.Context, s state.Store) (r state.Run, ok bool, err error) {
	runs, err := s.Runs(ctx, state.RunFilter{Kind: "sync", Statuses: []state.RunStatus{state.RunDone, state.RunPartial, state.RunWithheld}, Limit: manyRuns})
	if err != nil {
		return r, false, fmt.Errorf("list runs: %w", err)
	}
	i := slices.IndexFunc(runs, wholeRun)
	if i < 0 {
		return r, false, nil
	}
	return runs[i], true, nil
}

// LastSuccess gives, by source, the newest run about everybody that read the source
// completely and ended well; held people and single changes that failed do not count
// against it, a limit that was gone over does, and so does a time or a schedule at which
// nobody is switched off. Sources without one are left out.
func LastSuccess(ctx context.Context, s state.Store, names []string) (map[string]state.Run, error) {
	runs, err := s.Runs(ctx, state.RunFilter{Kind: "sync", Statuses: []state.RunStatus{state.RunDone, state.RunPartial}, Plain: true, Limit: manyRuns})
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	out := map[string]state.Run{}
	for _, r := range runs {
		if !reconcile.Thorough(&r) {
			continue
		}
		for _, src := range r.Sources {
			if _, have := out[src.Name]; !have && src.Complete && slices.Contains(names, src.Name) {
				out[src.Name] = r
			}
		}
	}
	return out, nil
}

// prober is a client for looking at Mattermost only: what it asks counts against the rate
// of whoever works, but waits neither for that nor for the places that work takes up.
func (d *Daemon) prober() (*mattermost.Client, error) {
	o := d.o
	o.ReadOnly, o.Logger = true, nil
	opts := clientOptions(d.Config, o)
	opts.Requested, opts.MaxInFlight, opts.Beside = d.Metrics.Asked, 1, d.Target.Client()
	client, err := mattermost.New(opts)
	if err != nil {
		return nil, fmt.Errorf("set up the client that looks at Mattermost: %w", err)
	}
	return client, nil
}
