package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

func (a *app) holdCmd() *cobra.Command {
	var source, user, reason string
	var lasts time.Duration
	cmd := &cobra.Command{
		Use:   "hold",
		Short: "stop all writes: everywhere, of one source or about one person",
		Long: "Stop all writes to Mattermost: everywhere, of one source or about one person. It counts at once, for a\n" +
			"run that is at work as well: that makes no further call. Runs go on planning, write down what they would\n" +
			"do, and end with 4. Neither Mattermost nor a source has to be up for this command.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if source != "" && user != "" {
				return usage(errors.New("--source and --user exclude each other"))
			}
			if err := needsReason(cmd, reason); err != nil {
				return err
			}
			return a.inStore(cmd.Context(), func(c *config.Config, store state.Store) error {
				about := identity.Key{Source: source}
				if err := knownSource(c, source); err != nil {
					return err
				}
				if user != "" {
					var err error
					if about, err = personToHold(cmd.Context(), c, store, user); err != nil {
						return err
					}
				}
				o := reconcile.RunOptions{Trigger: "cli", RequestedBy: whoami(), Reason: reason}
				h, err := reconcile.Hold(cmd.Context(), store, o, about, lasts)
				if err != nil {
					return err
				}
				if a.output == "json" {
					return a.printJSON(stopsDocument{plan.FormatVersion, []stopDocument{newStopDocument(h, nil)}})
				}
				end := "until it is released"
				if !h.Expires.IsZero() {
					end = "until " + when(h.Expires) + " UTC"
				}
				fmt.Fprintf(a.stdout, "%s, %s: nothing is written, not even by a run that is at work now.\nTo go on: mmsync hold release %s --reason …\n", aboutHold(h, nil), end, h.ID)
				return nil
			})
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&source, "source", "", "hold this `source`'s people alone")
	fl.StringVar(&user, "user", "", "hold this `person` alone: username, e-mail, DN, account id or source/anchor")
	fl.Var(lasting(&lasts, 0), "for", "let it end by itself after this time, such as 4h (0: never)")
	fl.StringVar(&reason, "reason", "", "`why`, shown to everybody who is held up by it")
	cmd.AddCommand(a.holdListCmd(), a.holdReleaseCmd())
	return cmd
}

func (a *app) holdListCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "list what is held, and who was switched off by hand",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.inStore(cmd.Context(), func(_ *config.Config, store state.Store) error {
				list, err := reconcile.OpenStops(cmd.Context(), store)
				if err != nil {
					return err
				}
				return a.printStops(cmd.Context(), store, list, "nothing is held, and nobody was switched off by hand")
			})
		},
	}
}

func (a *app) holdReleaseCmd() *cobra.Command {
	var all bool
	var run, user, reason string
	cmd := &cobra.Command{
		Use:   "release [ID]",
		Short: "end holds, so that the next run goes on",
		Long: "End holds, so that the next run goes on: one by its id, all that a revert made, all about a person, or all\n" +
			"there are. Somebody who was switched off with mmsync deactivate --now is let in again only if his id or\n" +
			"he himself is named, never by --all.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if n := len(args) + count(all, run != "", user != ""); n != 1 {
				return usage(errors.New("give the id of a hold, --run, --user or --all, and only one of them"))
			}
			if err := needsReason(cmd, reason); err != nil {
				return err
			}
			return a.inStore(cmd.Context(), func(c *config.Config, store state.Store) error {
				pick, what := func(s state.Stop) bool { return s.Kind == state.StopHold }, ""
				switch {
				case len(args) == 1:
					pick, what = func(s state.Stop) bool { return s.ID == args[0] }, args[0]
				case run != "":
					pick, what = func(s state.Stop) bool { return s.Run == run }, "of run "+run
				case user != "":
					k, err := personToHold(cmd.Context(), c, store, user)
					if err != nil {
						return err
					}
					pick, what = func(s state.Stop) bool { return s.Key == k }, "about "+user
				}
				o := reconcile.RunOptions{Trigger: "cli", RequestedBy: whoami(), Reason: reason}
				list, err := reconcile.ReleaseHold(cmd.Context(), store, o, pick)
				if err != nil {
					return err
				}
				if len(list) == 0 && !all {
					return &exitError{exitFailed, fmt.Errorf("there is no hold %s in force", what), "mmsync hold list shows those there are"}
				}
				return a.printStops(cmd.Context(), store, list, "nothing was held")
			})
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&all, "all", false, "all holds, but nobody who was switched off by hand")
	fl.StringVar(&run, "run", "", "all that this `run`, a revert, made")
	fl.StringVar(&user, "user", "", "all about this `person`")
	fl.StringVar(&reason, "reason", "", "`why`, kept in the history")
	return cmd
}

// openStore reads the configuration and opens its store, which has to be ready.
func (a *app) openStore(ctx context.Context) (*config.Config, daemon.Store, error) {
	c, err := a.load()
	if err != nil {
		return nil, nil, err
	}
	store, err := daemon.OpenReady(ctx, c)
	return c, store, err
}

// inStore does something with the store alone, which has to be ready.
func (a *app) inStore(ctx context.Context, f func(*config.Config, state.Store) error) (err error) {
	c, store, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	defer closing(store, &err)
	return f(c, store)
}

func needsReason(cmd *cobra.Command, reason string) error {
	if strings.TrimSpace(reason) == "" {
		return usage(fmt.Errorf("%s needs --reason: others will read it", cmd.CommandPath()))
	}
	return nil
}

func count(flags ...bool) (n int) {
	for _, f := range flags {
		if f {
			n++
		}
	}
	return n
}

// personToHold finds a person in the store. Somebody who has no account yet can be
// named as source/anchor.
func personToHold(ctx context.Context, c *config.Config, store state.Store, query string) (identity.Key, error) {
	found, err := reconcile.FindPerson(ctx, store, query)
	if err != nil {
		return identity.Key{}, err
	}
	switch k, isKey := identity.ParseKey(query); {
	case found != nil:
		return found.Key, nil
	case isKey && knownSource(c, k.Source) == nil:
		return k, nil
	}
	return identity.Key{}, &exitError{
		exitFailed, fmt.Errorf("mmsync owns no account of anybody known as %q", query),
		"somebody who has no account yet is named as source/anchor; mmsync explain shows it",
	}
}

type stopsDocument struct {
	FormatVersion string         `json:"format_version"`
	Stops         []stopDocument `json:"stops"`
}

type stopDocument struct {
	ID       string         `json:"id"`
	Kind     state.StopKind `json:"kind"`
	Source   string         `json:"source,omitempty"`
	Anchor   string         `json:"anchor,omitempty"`
	Username string         `json:"username,omitempty"`
	Reason   string         `json:"reason"`
	MadeBy   string         `json:"made_by"`
	Run      string         `json:"run,omitempty"`
	Made     *time.Time     `json:"made"`
	Expires  *time.Time     `json:"expires"`
	Ended    *time.Time     `json:"ended"`
	EndedBy  string         `json:"ended_by,omitempty"`
}

func newStopDocument(s state.Stop, names map[identity.Key]string) stopDocument {
	return stopDocument{
		ID: s.ID, Kind: s.Kind, Source: s.Key.Source, Anchor: s.Key.Anchor, Username: names[s.Key], Reason: s.Reason, MadeBy: s.MadeBy,
		Run: s.Run, Made: rfc3339(s.MadeAt), Expires: rfc3339(s.Expires), Ended: rfc3339(s.EndedAt), EndedBy: s.EndedBy,
	}
}

// aboutHold says in words what a stop is about.
func aboutHold(s state.Stop, names map[identity.Key]string) string {
	switch {
	case s.Key.Source == "":
		return "everything is held"
	case s.Key.Anchor == "":
		return "source " + s.Key.Source + " is held"
	}
	who := s.Key.String()
	if n := names[s.Key]; n != "" {
		who = n + " (" + who + ")"
	}
	if s.Kind == state.StopOff {
		return who + " is switched off"
	}
	return who + " is held"
}

func (a *app) printStops(ctx context.Context, store state.Store, list []state.Stop, none string) error {
	names, err := namesOf(ctx, store, list)
	if err != nil {
		return err
	}
	if a.output == "json" {
		d := stopsDocument{plan.FormatVersion, []stopDocument{}}
		for _, s := range list {
			d.Stops = append(d.Stops, newStopDocument(s, names))
		}
		return a.printJSON(d)
	}
	if len(list) == 0 {
		if !a.quiet {
			fmt.Fprintln(a.stdout, none)
		}
		return nil
	}
	rows := make([][]string, 0, len(list))
	for _, s := range list {
		state := "in force"
		if !s.EndedAt.IsZero() {
			state = "released"
		}
		rows = append(rows, []string{s.ID, aboutHold(s, names), state, when(s.MadeAt), when(s.Expires), s.MadeBy, s.Reason})
	}
	return a.table([]string{"ID", "WHAT", "STATE", "SINCE (UTC)", "UNTIL (UTC)", "BY", "REASON"}, rows)
}

// namesOf gives the usernames of the people whom stops are about.
func namesOf(ctx context.Context, store state.Store, list []state.Stop) (map[identity.Key]string, error) {
	var f state.LinkFilter
	for _, s := range list {
		if s.Key.Anchor != "" {
			f.Keys = append(f.Keys, s.Key)
		}
	}
	names := map[identity.Key]string{}
	if len(f.Keys) == 0 {
		return names, nil
	}
	links, err := store.Links(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("read links: %w", err)
	}
	for _, l := range links {
		names[l.Key] = newLinkDocument(l).Username
	}
	return names, nil
}

// sayPinned says how those whom a revert holds go on.
func (a *app) sayPinned(r reconcile.Report) {
	if r.Pinned == 0 || a.quiet {
		return
	}
	people := "1 person is"
	if r.Pinned > 1 {
		people = fmt.Sprintf("%d people are", r.Pinned)
	}
	a.say(fmt.Sprintf("%s held from now on, so that the next sync does not do it again; to go on: mmsync hold release --run %s --reason …", people, r.RunID))
}

// takenBack gives the run that a revert took back; "" for other runs.
func takenBack(r state.Run) string {
	var o struct {
		Revert string `json:"revert"`
	}
	if json.Unmarshal([]byte(r.Options), &o) != nil { // other runs have other options, or none
		return ""
	}
	return o.Revert
}
