package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/schedule"
	"github.com/mmsync/mmsync/internal/state"
)

// scheduled is a schedule of the configuration and the run that it asks for.
type scheduled struct {
	name string
	when *schedule.Schedule
	run  reconcile.RunOptions
}

// schedules compiles what a configuration says about times: its schedules, and what is
// not done at a given time. All faults are joined.
func schedules(c *config.Config) ([]scheduled, func(time.Time) []plan.Bar, error) {
	var out []scheduled
	var faults []error
	for i := range c.Schedule.Runs {
		r, at := &c.Schedule.Runs[i], fmt.Sprintf("schedule.runs[%d]", i)
		if r.Cron.Text != "" {
			at += ".cron"
		}
		zone, err := time.LoadLocation(r.Timezone)
		if err != nil {
			faults = append(faults, c.Fault(at, fmt.Sprintf("there is no time zone %q", r.Timezone), ""))
			continue
		}
		when, err := schedule.Compile(schedule.Options{Cron: r.Cron.Text, Every: r.Every, Zone: zone, Jitter: r.Jitter})
		if err != nil {
			faults = append(faults, c.Fault(at, err.Error(), "write five fields: minute, hour, day of month, month, day of week (0 or sun to 6 or sat)"))
			continue
		}
		out = append(out, scheduled{name: r.Name, when: when, run: runOf(c, r)})
	}
	bars, err := blackouts(c)
	return out, bars, errors.Join(append(faults, err)...)
}

// runOf is what a schedule has done.
func runOf(c *config.Config, r *config.ScheduledRun) reconcile.RunOptions {
	o := reconcile.RunOptions{Trigger: "schedule", RequestedBy: "schedule " + r.Name, Audit: r.Audit, Changes: true}
	if len(r.Operations) > 0 {
		o.Bars = []plan.Bar{{
			Actions: others(r.Operations),
			Why:     fmt.Sprintf("schedule %s is for %s alone", r.Name, words(r.Operations, "and")),
		}}
	}
	if len(r.Sources) > 0 && len(r.Sources) < len(c.Sources) {
		o = o.Select(reconcile.Selection{Sources: r.Sources})
	}
	return o
}

// blackouts gives what says what is not done at a time.
func blackouts(c *config.Config) (func(time.Time) []plan.Bar, error) {
	type blackout struct {
		schedule.Window
		bar plan.Bar
	}
	var list []blackout
	var faults []error
	zone, err := time.LoadLocation(c.Schedule.Timezone)
	if err != nil {
		return nil, c.Fault("schedule.timezone", fmt.Sprintf("there is no time zone %q", c.Schedule.Timezone), "")
	}
	for i, x := range c.Schedule.Blackout {
		at := fmt.Sprintf("schedule.blackout[%d]", i)
		w, err := schedule.ParseWindow(x.Text, zone)
		if err != nil {
			faults = append(faults, c.Fault(at, err.Error(), "write days, hours and what is not done then, such as Fri 17:00-Mon 06:00 deactivate"))
			continue
		}
		unknown := slices.IndexFunc(w.Words, func(op string) bool { return !slices.Contains(config.Operations(), op) })
		if unknown >= 0 {
			faults = append(faults, c.Fault(at, fmt.Sprintf("want %s, found %q", words(config.Operations(), "or"), w.Words[unknown]), "behind the hours stands what is not done then"))
			continue
		}
		b := blackout{w, plan.Bar{Why: fmt.Sprintf("blackout %s", x.Text)}}
		for _, op := range w.Words {
			b.bar.Actions = append(b.bar.Actions, plan.Action(op))
		}
		if len(w.Words) == 0 { // who leaves waits only where that is named
			b.bar.Actions = others([]string{config.OpDeactivate})
		}
		list = append(list, b)
	}
	return func(now time.Time) []plan.Bar {
		var out []plan.Bar
		for _, b := range list {
			if until, in := b.Until(now); in {
				bar := b.bar
				bar.Until = until
				out = append(out, bar)
			}
		}
		return out
	}, errors.Join(faults...)
}

// others are all operations but the given ones.
func others(operations []string) []plan.Action {
	var out []plan.Action
	for _, op := range config.Operations() {
		if !slices.Contains(operations, op) {
			out = append(out, plan.Action(op))
		}
	}
	return out
}

// words joins a list of at least one as people do.
func words(list []string, last string) string {
	if len(list) == 1 {
		return list[0]
	}
	n := len(list) - 1
	return strings.Join(list[:n], ", ") + " " + last + " " + list[n]
}

// jobs are the schedules as the scheduler does them.
func (d *Daemon) jobs(log *slog.Logger) []schedule.Job {
	out := make([]schedule.Job, len(d.runs))
	for i, r := range d.runs {
		log := log.With("schedule", r.name)
		log.Info("scheduled", "next", r.when.Next(time.Now()).UTC())
		out[i] = schedule.Job{
			Name: r.name, Schedule: r.when,
			Done: func(ctx context.Context) (time.Time, error) {
				at, err := d.Engine.LastTick(ctx, r.name)
				if err != nil && ctx.Err() == nil {
					log.WarnContext(ctx, "a schedule waits for the store", "error", err)
				}
				return at, err
			},
			Run: func(ctx context.Context, tick, next time.Time) { d.serveTick(ctx, log, r, tick, next) },
		}
	}
	return out
}

// How long is waited before the run of a tick is tried again that failed.
const (
	firstRetry = 10 * time.Second
	mostRetry  = 10 * time.Minute
)

// serveTick makes the run of one tick. One that fails ends nothing: it is told, and tried
// again until it is time for the next.
func (d *Daemon) serveTick(ctx context.Context, log *slog.Logger, r scheduled, tick, next time.Time) {
	log = log.With("tick", tick.UTC())
	for wait := min(firstRetry, next.Sub(tick)/10); ; wait = min(2*wait, mostRetry) {
		rep, ran, err := d.Engine.SyncTick(ctx, r.run, reconcile.Tick{Schedule: r.name, At: tick, Until: next})
		again := time.Now().Add(wait)
		switch {
		case err != nil && ctx.Err() != nil:
			log.InfoContext(ctx, "a scheduled run was cut off: mmsync was stopped; the next start makes it again", "run", rep.RunID)
			return
		case errors.Is(err, state.ErrHeld):
			log.DebugContext(ctx, "another process was at work until the next tick")
			return
		case err != nil && !again.Before(next):
			log.ErrorContext(ctx, "a scheduled run failed; the next tick tries again", "run", rep.RunID, "next", next.UTC(), "error", err)
			return
		case err != nil:
			log.ErrorContext(ctx, "a scheduled run failed; it is tried again", "run", rep.RunID, "again", again.UTC(), "error", err)
		case !ran:
			log.DebugContext(ctx, "another process has made this run")
			return
		default:
			log.DebugContext(ctx, "a scheduled run was made", "run", rep.RunID)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}
