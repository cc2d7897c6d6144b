package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

const (
	// redrawEvery is how often --watch looks again.
	redrawEvery = 2 * time.Second
	// shownRuns is how many runs are shown.
	shownRuns = 5
	// pastReads is how far back readings of a source are looked for.
	pastReads = 31 * 24 * time.Hour
)

func (a *app) statusCmd() *cobra.Command {
	var watch bool
	var limit time.Duration
	cmd := &cobra.Command{
		Use:   "status",
		Short: "show from the store alone how things stand, whether a service runs or not",
		Long: "Show how things stand: who has the lease, how old what was read of each source is, the last runs, who waits,\n" +
			"what is held, and which tokens and certificates end soon. It asks the store and nobody else.\n\n" +
			"With --fail-older-than it ends with 8 if a source that is read had no run within that time that read it\n" +
			"completely and ended well.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if watch && (a.output == "json" || !isTerminal(a.stdout)) {
				return usage(errors.New("--watch draws on a terminal; elsewhere run mmsync status again, or ask /readyz"))
			}
			c, store, err := a.openStore(cmd.Context())
			if err != nil {
				return err
			}
			defer closing(store, &err)
			for {
				s, err := readStatus(cmd.Context(), c, store, limit)
				if err != nil {
					return err
				}
				if !watch {
					return errors.Join(a.printStatus(s), s.verdict(limit))
				}
				if err := a.redraw(s); err != nil {
					return err
				}
				select {
				case <-cmd.Context().Done():
					return nil // that is how one stops looking
				case <-time.After(redrawEvery):
				}
			}
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "look again every two seconds, until Ctrl-C")
	cmd.Flags().Var(lasting(&limit, 0), "fail-older-than", "end with 8 if the last good run of a source began longer ago, such as 2h (0: never)")
	return cmd
}

type statusDocument struct {
	FormatVersion string         `json:"format_version"`
	At            time.Time      `json:"at"` // by the store's clock
	Lease         *leaseStatus   `json:"lease"`
	Sources       []sourceStatus `json:"sources"`
	Queue         queueStatus    `json:"queue"`
	Held          map[string]int `json:"held"` // by reason, of the last run about everybody
	HeldByGuards  int            `json:"held_by_guards"`
	Stops         int            `json:"stops"`
	Runs          []runEntry     `json:"runs"`
	Expiring      []expiryStatus `json:"expiring"`
	Stale         []string       `json:"stale"` // sources beyond --fail-older-than
}

type leaseStatus struct {
	Holder  string    `json:"holder"`
	Expires time.Time `json:"expires"`
}

type sourceStatus struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// Read is when it was last read completely, with what that saw.
	Read    *time.Time `json:"last_complete_read"`
	Entries int        `json:"entries"`
	Faults  int        `json:"faults"`
	// Doubt is why the newest reading was not complete.
	Doubt string `json:"doubt,omitempty"`
	// Success is when the last run began that read it completely and ended well.
	Success *time.Time `json:"last_success"`
	Run     string     `json:"last_success_run,omitempty"`
}

type queueStatus struct {
	Waiting int        `json:"waiting"`
	Oldest  *time.Time `json:"oldest"`
}

type expiryStatus struct {
	What string    `json:"what"`
	At   time.Time `json:"at"`
	Next string    `json:"next"`
}

func readStatus(ctx context.Context, c *config.Config, store daemon.Store, limit time.Duration) (*statusDocument, error) {
	now, err := store.Now(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the store's clock: %w", err)
	}
	d := &statusDocument{FormatVersion: plan.FormatVersion, At: now.UTC(), Sources: []sourceStatus{}, Held: map[string]int{}, Runs: []runEntry{}, Expiring: []expiryStatus{}, Stale: []string{}}
	switch l, held, err := store.HeldLease(ctx, reconcile.LeaseName); {
	case err != nil:
		return nil, fmt.Errorf("read who has the lease: %w", err)
	case held:
		d.Lease = &leaseStatus{l.Holder, l.Expires.UTC()}
	}
	if err := d.readSources(ctx, c, store); err != nil {
		return nil, err
	}
	if limit > 0 {
		for _, s := range d.Sources {
			if s.Type != config.TypeSCIM && (s.Success == nil || now.Sub(*s.Success) > limit) {
				d.Stale = append(d.Stale, s.Name)
			}
		}
	}
	if err := d.readRuns(ctx, store); err != nil {
		return nil, err
	}
	var oldest time.Time
	if d.Queue.Waiting, oldest, err = store.CountDue(ctx); err != nil {
		return nil, fmt.Errorf("count who waits: %w", err)
	}
	d.Queue.Oldest = rfc3339(oldest)
	expiring, err := daemon.Expiring(ctx, c, store, now)
	if err != nil {
		return nil, err
	}
	for _, e := range expiring {
		d.Expiring = append(d.Expiring, expiryStatus{e.What, e.At.UTC(), e.Next})
	}
	return d, nil
}

func (d *statusDocument) readSources(ctx context.Context, c *config.Config, store daemon.Store) error {
	var names []string
	for i := range c.Sources {
		names = append(names, c.Sources[i].Name)
	}
	last, err := daemon.LastSuccess(ctx, store, names)
	if err != nil {
		return err
	}
	for i := range c.Sources {
		s := sourceStatus{Name: c.Sources[i].Name, Type: c.Sources[i].Type}
		reads, err := store.Reads(ctx, s.Name, d.At.Add(-pastReads))
		if err != nil {
			return fmt.Errorf("list the readings of source %s: %w", s.Name, err)
		}
		if len(reads) > 0 && !reads[0].Complete { // the newest comes first
			s.Doubt = reads[0].Doubt
		}
		if at := slices.IndexFunc(reads, func(r state.Read) bool { return r.Complete }); at >= 0 {
			s.Read, s.Entries, s.Faults = rfc3339(reads[at].At), reads[at].Entries, reads[at].Faults
		}
		if run, ok := last[s.Name]; ok {
			s.Success, s.Run = rfc3339(run.StartedAt), run.ID
		}
		d.Sources = append(d.Sources, s)
	}
	return nil
}

// readRuns reads the last runs, and what is held since the last one about everybody.
func (d *statusDocument) readRuns(ctx context.Context, store daemon.Store) error {
	runs, err := store.Runs(ctx, state.RunFilter{Kind: "sync", Limit: shownRuns})
	if err != nil {
		return fmt.Errorf("list runs: %w", err)
	}
	for _, r := range runs {
		d.Runs = append(d.Runs, newRunEntry(r))
	}
	held, err := store.Held(ctx)
	if err != nil {
		return fmt.Errorf("list what is held: %w", err)
	}
	d.HeldByGuards = len(held)
	stops, err := store.Stops(ctx, state.StopFilter{Open: true})
	if err != nil {
		return fmt.Errorf("list holds: %w", err)
	}
	for _, s := range stops {
		if !s.Expired(d.At) {
			d.Stops++
		}
	}
	last, ok, err := daemon.LastWhole(ctx, store)
	if err != nil || !ok {
		return err
	}
	decisions, err := store.Decisions(ctx, last.ID)
	if err != nil {
		return fmt.Errorf("list the decisions of run %s: %w", last.ID, err)
	}
	for i := range decisions {
		if decisions[i].Decision.Action == plan.Hold {
			d.Held[string(decisions[i].Decision.Reason)]++
		}
	}
	return nil
}

// verdict ends the command with 8 if a source is beyond the limit.
func (d *statusDocument) verdict(limit time.Duration) error {
	if len(d.Stale) == 0 {
		return nil
	}
	return &exitError{
		code: exitOverdue, err: fmt.Errorf("no run of the last %s read %s completely and ended well", limit, strings.Join(d.Stale, ", ")),
		hint: "mmsync history --failed shows what is in the way",
	}
}

// redraw replaces what is on the terminal.
func (a *app) redraw(s *statusDocument) error {
	if _, err := io.WriteString(a.stdout, "\x1b[H\x1b[2J"); err != nil {
		return fmt.Errorf("draw the status: %w", err)
	}
	return a.printStatus(s)
}

func (a *app) printStatus(d *statusDocument) error {
	if a.output == "json" {
		return a.printJSON(d)
	}
	since := func(t *time.Time) string {
		if t == nil {
			return "-"
		}
		return spoken(d.At.Sub(*t)) + " ago"
	}
	lease := "nobody has it: nothing is being worked on"
	if d.Lease != nil {
		lease = safe(d.Lease.Holder) + " has it"
	}
	queue := "nobody waits"
	if d.Queue.Waiting > 0 {
		queue = fmt.Sprintf("%d wait, the first since %s", d.Queue.Waiting, since(d.Queue.Oldest))
	}
	fmt.Fprintf(a.stdout, "At        %s UTC\nLease     %s\nPushes    %s\nHeld      %s\n", when(d.At), lease, queue, d.heldText())
	if d.Stops > 0 {
		fmt.Fprintf(a.stdout, "Stopped   %d by hand; mmsync hold list\n", d.Stops)
	}
	for _, e := range d.Expiring {
		verb := "ends on"
		if !d.At.Before(e.At) {
			verb = "ended on"
		}
		fmt.Fprintf(a.stdout, "Ends      %s %s %s UTC; %s\n", safe(e.What), verb, when(e.At), safe(e.Next))
	}
	fmt.Fprintln(a.stdout)
	rows := make([][]string, 0, len(d.Sources))
	for _, s := range d.Sources {
		entries := "-"
		if s.Read != nil {
			entries = fmt.Sprint(s.Entries)
		}
		rows = append(rows, []string{s.Name, s.Type, since(s.Read), entries, since(s.Success), cmp.Or(s.Doubt, "-")})
	}
	if err := a.table([]string{"SOURCE", "TYPE", "READ COMPLETELY", "ENTRIES", "LAST GOOD RUN", "IN DOUBT"}, rows); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	if len(d.Runs) == 0 {
		fmt.Fprintln(a.stdout, "no runs yet")
		return nil
	}
	rows = rows[:0]
	for _, r := range d.Runs {
		rows = append(rows, []string{
			r.ID, string(r.Status), since(r.Started), fmt.Sprint(r.Counts.Done), fmt.Sprint(r.Counts.Failed), fmt.Sprint(r.Counts.Held), fmt.Sprint(r.Counts.Unchanged),
		})
	}
	return a.table([]string{"RUN", "STATUS", "STARTED", "DONE", "FAILED", "HELD", "UNCHANGED"}, rows)
}

func (d *statusDocument) heldText() string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(d.Held)) {
		parts = append(parts, fmt.Sprintf("%d %s", d.Held[reason], reason))
	}
	text := cmp.Or(strings.Join(parts, ", "), "nobody in the last run about everybody")
	if d.HeldByGuards > 0 {
		text += fmt.Sprintf("; %d by guards: mmsync plan shows them, mmsync history names the run", d.HeldByGuards)
	}
	return text
}

// spoken is how long ago something was, as a person says it.
func spoken(d time.Duration) string {
	d = max(0, d)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
