package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func (a *app) leftoversCmd() *cobra.Command {
	var all, disable bool
	var reason string
	var wait time.Duration
	expect := -1
	cmd := &cobra.Command{
		Use:   "leftovers [USER]",
		Short: "list what people who are off left behind: tokens, bots, webhooks, commands, OAuth apps",
		Long: "List what people whose accounts are off still have on the server: personal access tokens, bots, incoming\n" +
			"and outgoing webhooks, slash commands and OAuth apps. Of USER (a username, e-mail, DN, account id or\n" +
			"source/anchor), or of everybody whose account mmsync owns; with --all of accounts that it does not own, too.\n" +
			"Who is off is known from the last run. With --disable tokens and bots are disabled, which an administrator of\n" +
			"Mattermost can take back. Everything else the server can only delete, and mmsync never does.\n\n" +
			"Exit code 0: the list is whole, or all was disabled that was to be. 1: refused, or something broke. 4: the\n" +
			"server does not list some kind of thing, or not all could be disabled. 6: another run is at it.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			who := ""
			if len(args) > 0 {
				who = args[0]
			}
			if !disable {
				if expect >= 0 || reason != "" {
					return usage(errors.New("--expect and --reason go with --disable; without it nothing is changed"))
				}
				return a.listLeftovers(cmd, who, all || who != "")
			}
			switch {
			case all:
				return usage(errors.New("--all cannot go with --disable: mmsync changes nothing of accounts that it does not own"))
			case who != "" && cmd.Flags().Changed("expect"), cmd.Flags().Changed("expect") && expect < 0:
				return usage(errors.New("--expect goes with --disable for everybody, and is the number of things to disable"))
			}
			if err := needsReason(cmd, reason); err != nil {
				return err
			}
			if who == "" && expect < 0 {
				expect = 0 // nobody has said how many: the refusal does
			}
			return a.disableLeftovers(cmd, reconcile.RunOptions{Trigger: "cli", RequestedBy: whoami(), Reason: reason}, who, expect, wait)
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&all, "all", false, "list those of accounts that mmsync does not own, too")
	fl.BoolVar(&disable, "disable", false, "disable the tokens and bots")
	fl.StringVar(&reason, "reason", "", "`why`, kept in the history; needed with --disable")
	fl.IntVar(&expect, "expect", -1, "with --disable for everybody: only if there are exactly this `number` of tokens and bots")
	fl.Lookup("expect").DefValue = "0" // hides it: without it nothing is disabled
	fl.Var(lasting(&wait, 15*time.Second), "wait-lock", "wait this long for another run to end")
	return cmd
}

func (a *app) listLeftovers(cmd *cobra.Command, who string, all bool) (err error) {
	p := a.progress()
	d, err := a.open(cmd.Context(), true, p)
	if err != nil {
		return err
	}
	defer closing(d, &err)
	left, err := d.Engine.Leftovers(cmd.Context(), who, all)
	p.clear()
	if err != nil {
		return err
	}
	if a.output == "json" {
		err = a.printJSON(newLeftoversDocument(left))
	} else {
		err = a.printLeftovers(left, who)
	}
	if err == nil && left.Gaps() {
		err = exit(exitPartial)
	}
	return err
}

func (a *app) disableLeftovers(cmd *cobra.Command, o reconcile.RunOptions, who string, expect int, wait time.Duration) (err error) {
	ctx := cmd.Context()
	p := a.progress()
	d, err := a.open(ctx, false, p)
	if err != nil {
		return err
	}
	defer closing(d, &err)
	var left reconcile.LeftBehind
	rep, err := waiting(ctx, func() (rep reconcile.Report, err error) {
		rep, left, err = d.Engine.DisableLeftovers(ctx, o, who, expect)
		return rep, err
	}, wait)
	p.clear()
	var count *reconcile.CountMismatchError
	switch {
	case errors.As(err, &count):
		return &exitError{exitFailed, err, fmt.Sprintf("see them with mmsync leftovers; if that is right, say --expect %d", count.Things)}
	case err != nil:
		return err
	}
	for _, u := range left.Unlisted {
		a.sayUnlisted(u)
	}
	if a.output == "json" {
		a.warnSync(rep)
		err = a.printJSON(disabledDocument{newRunDocument(rep), newLeftoversDocument(left)})
	} else {
		err = a.printSync(rep, planFlags{})
	}
	code := syncCode(rep)
	if code == exitOK && left.Gaps() {
		code = exitPartial
	}
	if err != nil {
		return err
	}
	return exit(code)
}

type leftoversDocument struct {
	FormatVersion string           `json:"format_version"`
	Looked        int              `json:"accounts_off"`
	People        []leaverDocument `json:"people"`
	Unlisted      []plan.Unlisted  `json:"not_listed"`
}

type leaverDocument struct {
	Username string `json:"username"`
	Account  string `json:"account"`
	// Key is source/anchor; "" if mmsync does not own the account.
	Key   string          `json:"key,omitempty"`
	Since *time.Time      `json:"off_since"`
	Left  []thingDocument `json:"left"`
}

type thingDocument struct {
	Kind plan.LeftoverKind `json:"kind"`
	ID   string            `json:"id"`
	Name string            `json:"name,omitempty"`
	Team string            `json:"team,omitempty"`
	// Disable tells what mmsync leftovers --disable disables, Kept why it does not.
	Disable bool   `json:"disable"`
	Kept    string `json:"kept,omitempty"`
	Next    string `json:"next"`
}

// disabledDocument has what was found before anything was disabled.
type disabledDocument struct {
	runDocument
	Leftovers leftoversDocument `json:"leftovers"`
}

func newLeftoversDocument(l reconcile.LeftBehind) leftoversDocument {
	d := leftoversDocument{FormatVersion: plan.FormatVersion, Looked: l.Looked, People: []leaverDocument{}, Unlisted: l.Unlisted}
	if d.Unlisted == nil {
		d.Unlisted = []plan.Unlisted{}
	}
	for i := range l.People {
		p := &l.People[i]
		w := leaverDocument{Username: p.Account.Username, Account: p.Account.ID, Since: rfc3339(offSince(p)), Left: []thingDocument{}}
		if !p.Key.IsZero() {
			w.Key = p.Key.String()
		}
		for _, x := range p.Things {
			w.Left = append(w.Left, thingDocument{x.Kind, x.ID, x.Name, x.Team, x.Kept == "", x.Kept, next(x)})
		}
		d.People = append(d.People, w)
	}
	return d
}

func offSince(p *reconcile.Leaver) time.Time { return time.UnixMilli(p.Account.DeleteAt) }

func (a *app) printLeftovers(l reconcile.LeftBehind, who string) error {
	for i := range l.People {
		p := &l.People[i]
		owner := "not mmsync's"
		if !p.Key.IsZero() {
			owner = p.Key.String()
		}
		fmt.Fprintf(a.stdout, "%s (%s), off since %s UTC\n", printable(p.Account.Username), printable(owner), when(offSince(p)))
		rows := make([][]string, 0, len(p.Things))
		for _, x := range p.Things {
			rows = append(rows, []string{"  " + kindName(x.Kind), x.ID, named(x.Leftover), next(x)})
		}
		if err := a.table(nil, rows); err != nil {
			return err
		}
		fmt.Fprintln(a.stdout)
	}
	for _, u := range l.Unlisted {
		a.sayUnlisted(u)
	}
	off := fmt.Sprintf("%d accounts that are off", l.Looked)
	if l.Looked == 1 {
		off = "1 account that is off"
	}
	if len(l.People) == 0 {
		fmt.Fprintf(a.stdout, "nothing is left over of %s\n", off)
		return nil
	}
	if n := l.Disabling(); n > 0 && !a.quiet {
		how := fmt.Sprintf("mmsync leftovers --disable --expect %d --reason …", n)
		if who != "" {
			how = plan.Command("leftovers --disable", who)
		}
		fmt.Fprintf(a.stdout, "To disable the tokens and bots (%d): %s\n", n, how)
	}
	return nil
}

func (a *app) sayUnlisted(u plan.Unlisted) {
	if u.Off {
		a.say(fmt.Sprintf("the server has every %s switched off, so none is listed", kindName(u.Kind)))
		return
	}
	a.say(fmt.Sprintf("the server does not list every %s, so there may be more: %s", kindName(u.Kind), u.Why))
}

// named quotes what people typed.
func named(x plan.Leftover) string {
	text := "-"
	if x.Name != "" {
		text = fmt.Sprintf("%q", x.Name)
	}
	if x.Team != "" {
		text += " in " + printable(x.Team)
	}
	return text
}

func kindName(k plan.LeftoverKind) string {
	switch k {
	case plan.LeftToken:
		return "access token"
	case plan.LeftBot:
		return "bot"
	case plan.LeftIncoming:
		return "incoming webhook"
	case plan.LeftOutgoing:
		return "outgoing webhook"
	case plan.LeftCommand:
		return "slash command"
	case plan.LeftApp:
		return "OAuth app"
	}
	return string(k)
}

// next says what can be done about a thing, by mmsync or an administrator of
// Mattermost.
func next(x reconcile.LeftThing) string {
	why := ""
	if x.Kept != "" {
		why = x.Kept + "; "
	}
	switch x.Kind {
	case plan.LeftToken:
		if why == "" {
			return "works again if the account is switched on; --disable disables it"
		}
		return why + "mmctl token revoke " + x.ID
	case plan.LeftBot:
		if why == "" {
			return "works; --disable disables it, or give it to somebody: " + mmctl("bot assign", x.Name, "USER")
		}
		return why + mmctl("bot disable", x.Name)
	case plan.LeftIncoming, plan.LeftOutgoing:
		return why + "mmctl webhook delete " + x.ID
	case plan.LeftCommand:
		return why + "mmctl command archive " + x.ID
	case plan.LeftApp:
		return why + "delete it in Mattermost under Integrations, OAuth 2.0 Applications"
	}
	return why
}

func mmctl(verb string, words ...string) string {
	line := []string{"mmctl", verb}
	for _, w := range words {
		line = append(line, plan.Shell(w))
	}
	return strings.Join(line, " ")
}
