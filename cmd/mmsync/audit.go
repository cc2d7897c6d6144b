package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

func (a *app) auditCmd() *cobra.Command {
	cmd := group("audit", "the sealed history: what was done, and whether somebody changed it")
	cmd.AddCommand(a.auditListCmd(), a.auditExportCmd(), a.auditVerifyCmd(), a.auditForgetCmd(), a.auditPruneCmd(), a.auditRotateCmd())
	return cmd
}

// withReady runs a command on the store alone.
func (a *app) withReady(do func(context.Context, daemon.Store, reconcile.Vault) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) (err error) {
		c, store, err := a.openStore(cmd.Context())
		if err != nil {
			return err
		}
		defer closing(store, &err)
		return do(cmd.Context(), store, daemon.Vault(c))
	}
}

type auditEntry struct {
	ID      int64     `json:"id"`
	Batch   int64     `json:"batch"`
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Run     string    `json:"run"`
	Source  string    `json:"source,omitempty"`
	Anchor  string    `json:"anchor,omitempty"`
	Account string    `json:"account,omitempty"`
	audit.Body
	Forgotten bool            `json:"forgotten"`
	Personal  *audit.Personal `json:"personal,omitempty"`
}

func newAuditEntry(r audit.Row) (auditEntry, error) {
	e := auditEntry{
		ID: r.ID, Batch: r.Batch, At: r.At, Kind: r.Kind, Run: r.Run, Source: r.Key.Source, Anchor: r.Key.Anchor, Account: r.AccountID,
		Forgotten: r.Personal == "", Personal: &audit.Personal{},
	}
	var err error
	if e.Body, err = audit.ReadBody(r); err != nil {
		return e, err
	}
	if *e.Personal, err = audit.ReadPersonal(r); err != nil || e.Forgotten {
		e.Personal = nil
	}
	return e, err
}

func (a *app) auditListCmd() *cobra.Command {
	var user, run string
	var since age
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list what was done and said, and by whom",
		RunE: a.withReady(func(ctx context.Context, s daemon.Store, _ reconcile.Vault) error {
			if limit < 0 {
				return usage(errors.New("--limit must not be negative"))
			}
			f := state.RowFilter{Run: run, Since: since.since(), Limit: limit}
			if user != "" {
				// Under which names somebody was known in between shows only from who he is.
				found, err := s.AuditRows(ctx, state.RowFilter{Person: user})
				if err != nil {
					return fmt.Errorf("look for %q in the history: %w", user, err)
				}
				if f.Keys = keysIn(found); len(f.Keys) == 0 {
					f.Person = user
				}
			}
			rows, err := s.AuditRows(ctx, f)
			if err != nil {
				return fmt.Errorf("list the history: %w", err)
			}
			return a.printAudit(rows)
		}),
	}
	cmd.Flags().StringVar(&user, "user", "", "only what was done to this `person`: a username, an account's id or source/anchor")
	cmd.Flags().StringVar(&run, "run", "", "only what this `run` did")
	cmd.Flags().Var(&since, "since", "only of this last time, such as 7d")
	cmd.Flags().IntVar(&limit, "limit", 100, "list at most this many, the newest (0: all)")
	return cmd
}

func keysIn(rows []audit.Row) []identity.Key {
	var out []identity.Key
	seen := map[identity.Key]bool{}
	for i := range rows {
		if k := rows[i].Key; !k.IsZero() && !seen[k] {
			seen[k] = true
			out = append(out, k)
		}
	}
	return out
}

func (a *app) printAudit(rows []audit.Row) error {
	list := make([]auditEntry, 0, len(rows))
	for _, r := range rows {
		e, err := newAuditEntry(r)
		if err != nil {
			return &exitError{exitFailed, err, "the history was changed; mmsync audit verify says where"}
		}
		list = append(list, e)
	}
	if a.output == "json" {
		return a.printJSON(map[string]any{"format_version": plan.FormatVersion, "rows": list})
	}
	cells := make([][]string, 0, len(list))
	for _, e := range list {
		name, values := "(forgotten)", ""
		if e.Personal != nil {
			name = e.Personal.Username
			values = changesText(plan.Op{Kind: plan.OpKind(e.Kind), Changes: e.Personal.Values})
		}
		what, why := e.Kind, string(e.Reason)
		if e.Kind == audit.KindRun {
			what, why, name = e.RunKind, e.Why, "-"
		}
		cells = append(cells, []string{when(e.At), what, name, why, e.Status, e.Run, values, e.RequestedBy})
	}
	return a.table([]string{"AT (UTC)", "WHAT", "USERNAME", "WHY", "STATUS", "RUN", "CHANGES", "BY"}, cells)
}

// rowsAtOnce bounds how many rows are in memory at a time.
const rowsAtOnce = 20_000

// rowsOf passes over all rows of the store, or only those of the batches given.
func rowsOf(ctx context.Context, s daemon.Store, batches []audit.Batch, whole bool) iter.Seq2[audit.Row, error] {
	return func(yield func(audit.Row, error) bool) {
		pass := func(f state.RowFilter) bool {
			rows, err := s.AuditRows(ctx, f)
			if err != nil {
				return yield(audit.Row{}, fmt.Errorf("read the history: %w", err)) && false
			}
			for i := range rows {
				if !yield(rows[i], nil) {
					return false
				}
			}
			return true
		}
		var f state.RowFilter // from no batch on: what stands before the first shows as well
		var n int64
		for i := range batches {
			if i == 0 && !whole {
				f.FromBatch = batches[i].ID
			}
			f.ToBatch = batches[i].ID
			if n += batches[i].Rows; n < rowsAtOnce && i < len(batches)-1 {
				continue
			}
			if !pass(f) {
				return
			}
			f, n = state.RowFilter{FromBatch: batches[i].ID + 1}, 0
		}
		if whole {
			pass(f)
		}
	}
}
