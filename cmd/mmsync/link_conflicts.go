package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/explain"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func (a *app) linkConflictsCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "conflicts",
		Short: "list every question about ownership, with both sides and the next step",
		Long: "List everybody who waits for a person's word about whose an account is: the person as the source has\n" +
			"him, the account as the server has it, and the command for each answer. -o csv is for a spreadsheet.\n\n" +
			"Exit code 0: there is no question. 4: there are some.",
		Annotations: map[string]string{csvOutput: ""},
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := listed(cmd.Context(), a, (*reconcile.Engine).Conflicts)
			if err != nil {
				return err
			}
			if err := a.printConflicts(list); err != nil {
				return err
			}
			if len(list) > 0 {
				return exit(exitPartial)
			}
			return nil
		},
	}
}

// listed reads a list that the engine makes without writing anything, and warns of
// what its run has to say.
func listed[T any](ctx context.Context, a *app, read func(*reconcile.Engine, context.Context, reconcile.RunOptions) (reconcile.Report, []T, error)) (list []T, err error) {
	p := a.progress()
	d, err := a.open(ctx, true, p)
	if err != nil {
		return nil, err
	}
	defer closing(d, &err)
	rep, list, err := read(d.Engine, ctx, reconcile.RunOptions{Trigger: "cli", RequestedBy: whoami()})
	p.clear()
	if err != nil {
		return nil, err
	}
	a.warn(rep)
	return list, nil
}

// conflictDocument is one question in JSON; its CSV has the same columns.
type conflictDocument struct {
	Reason      plan.Reason       `json:"reason"`
	Person      personDocument    `json:"person"`
	Account     *identity.Account `json:"account,omitempty"`
	LastActive  *time.Time        `json:"last_active,omitempty"`
	OtherPerson string            `json:"other_person,omitempty"`
	Detail      string            `json:"detail"`
	Next        string            `json:"next"`
}

type personDocument struct {
	Source   string `json:"source"`
	Anchor   string `json:"anchor"`
	Ref      string `json:"ref"`
	Username string `json:"username"`
	Email    string `json:"email"`
}

func (a *app) printConflicts(list []reconcile.Conflict) error {
	switch a.output {
	case "json":
		out := make([]conflictDocument, len(list))
		for i := range list {
			c := &list[i]
			out[i] = conflictDocument{
				Reason: c.Reason, Person: personDocument{c.Key.Source, c.Key.Anchor, c.Ref, c.Username, c.Email},
				Account: c.Account, LastActive: rfc3339(c.LastActive), OtherPerson: keyText(c.Other), Detail: c.Detail, Next: c.Next,
			}
		}
		return a.printJSON(map[string]any{"format_version": plan.FormatVersion, "conflicts": out})
	case "csv":
		rows := make([][]string, len(list))
		for i := range list {
			c := &list[i]
			rows[i] = append([]string{string(c.Reason), c.Key.String(), c.Ref, c.Username, c.Email}, accountCells(c.Account)...)
			rows[i] = append(rows[i], csvTime(c.LastActive), keyText(c.Other), c.Detail, c.Next)
		}
		head := append([]string{"reason", "person", "ref", "wanted_username", "wanted_email"}, accountHead()...)
		return a.csv(append(head, "last_active", "other_person", "detail", "next"), rows)
	}
	if len(list) == 0 {
		fmt.Fprintln(a.stdout, "no question about ownership is open")
		return nil
	}
	var b strings.Builder
	for i := range list {
		c := &list[i]
		fmt.Fprintf(&b, "%s: %s\n", c.Reason, safe(c.Detail))
		fmt.Fprintf(&b, "  person   %s %s, wants %q, %q\n", printable(c.Key.String()), printable(c.Ref), c.Username, c.Email)
		if c.Account != nil {
			fmt.Fprintf(&b, "  account  %s\n", describeCandidate(c))
		}
		if !c.Other.IsZero() {
			fmt.Fprintf(&b, "  also     %s\n", printable(c.Other.String()))
		}
		fmt.Fprintf(&b, "  next     %s\n\n", safe(c.Next))
	}
	fmt.Fprintf(&b, "%d open; -o csv puts them into a table\n", len(list))
	_, err := fmt.Fprint(a.stdout, b.String())
	return err
}

func describeCandidate(c *reconcile.Conflict) string {
	s := fmt.Sprintf("%s, %q, made on %s", explain.Account(c.Account), c.Account.Email, when(time.UnixMilli(c.Account.CreateAt)))
	if !c.LastActive.IsZero() {
		s += ", last in use on " + when(c.LastActive)
	}
	return s
}

func keyText(k identity.Key) string {
	if k.IsZero() {
		return ""
	}
	return k.String()
}

func accountHead() []string {
	return []string{"account_id", "account_username", "account_email", "created", "login", "roles", "state"}
}

func accountCells(a *identity.Account) []string {
	if a == nil {
		return make([]string, len(accountHead()))
	}
	service, state := a.Auth.Service, "active"
	if service == "" {
		service = "password"
	}
	if !a.Active() {
		state = "deactivated"
	}
	return []string{a.ID, a.Username, a.Email, csvTime(time.UnixMilli(a.CreateAt)), service, a.Roles.String(), state}
}

func (a *app) linkUnmanagedCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "unmanaged",
		Short: "list the accounts that nobody owns, with a next step each",
		Long: "Walk the whole server and list the accounts that no person of a source owns, nor gets by the next run:\n" +
			"people no source lists, guests, administrators, bots and so on. -o csv is for a spreadsheet.",
		Annotations: map[string]string{csvOutput: ""},
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := listed(cmd.Context(), a, (*reconcile.Engine).Unmanaged)
			if err != nil {
				return err
			}
			return a.printUnmanaged(list)
		},
	}
}

type unmanagedDocument struct {
	Kind    reconcile.Kind    `json:"kind"`
	Account *identity.Account `json:"account"`
	People  []string          `json:"people"`
	Next    string            `json:"next"`
}

func (a *app) printUnmanaged(list []reconcile.Unmanaged) error {
	out := make([]unmanagedDocument, len(list))
	rows := make([][]string, len(list))
	for i := range list {
		u := &list[i]
		people := make([]string, len(u.Keys))
		for n, k := range u.Keys {
			people[n] = k.String()
		}
		out[i] = unmanagedDocument{u.Kind, u.Account, people, u.Next}
		cells := accountCells(u.Account)
		rows[i] = append([]string{string(u.Kind)}, cells...)
		rows[i] = append(rows[i], strings.Join(people, " "), u.Next)
		if a.output == "table" {
			rows[i] = []string{string(u.Kind), u.Account.Username, u.Account.ID, cells[4], cells[6], u.Next}
		}
	}
	switch a.output {
	case "json":
		return a.printJSON(map[string]any{"format_version": plan.FormatVersion, "unmanaged": out})
	case "csv":
		return a.csv(append(append([]string{"kind"}, accountHead()...), "people", "next"), rows)
	}
	return a.table([]string{"KIND", "USERNAME", "ACCOUNT", "LOGIN", "STATE", "NEXT"}, rows)
}
