package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

func (a *app) auditExportCmd() *cobra.Command {
	var since age
	var format string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "print the history for keeping elsewhere, or for a table",
		Long: "Print the history. As jsonl it can be verified without the store: mmsync audit verify --file FILE, and it ends\n" +
			"with the links, from which mmsync state rebuild makes a store that was lost. As csv it is for a table, and\n" +
			"proves nothing. With --since it begins with the first batch sealed since then.",
		RunE: a.withReady(func(ctx context.Context, s daemon.Store, v reconcile.Vault) error {
			if format != "jsonl" && format != "csv" {
				return usage(fmt.Errorf("--format is %q, but must be one of jsonl, csv", format))
			}
			batches, err := s.AuditBatches(ctx, state.BatchFilter{Since: since.since()})
			if err != nil {
				return fmt.Errorf("list the batches of the history: %w", err)
			}
			rows := rowsOf(ctx, s, batches, false)
			if format == "csv" {
				return a.exportCSV(rows)
			}
			return a.exportJSONL(ctx, s, v, batches, rows)
		}),
	}
	cmd.Flags().StringVar(&format, "format", "jsonl", "`format`: jsonl or csv")
	cmd.Flags().Var(&since, "since", "only what was sealed in this last time, such as 30d")
	return cmd
}

func (a *app) exportJSONL(ctx context.Context, s daemon.Store, v reconcile.Vault, batches []audit.Batch, rows iter.Seq2[audit.Row, error]) error {
	ends, err := s.AuditBatches(ctx, state.BatchFilter{Limit: 1})
	if err != nil {
		return fmt.Errorf("read the end of the history: %w", err)
	}
	var head audit.Head
	if len(batches) > 0 {
		head = audit.HeadOf(batches[len(batches)-1])
	} else if len(ends) > 0 {
		head = audit.HeadOf(ends[0])
	}
	var key *audit.Key
	if k, err := v.Key(false); err == nil {
		key = &k
	} else if len(ends) > 0 {
		fmt.Fprintf(a.stderr, "mmsync: the links are left out, for nothing would prove that they were not edited: %s\n", safe(err.Error()))
	}
	w := audit.NewWriter(a.stdout, key)
	if err := w.Begin(); err != nil {
		return err
	}
	if err := exportHistory(w, batches, rows); err != nil || key == nil {
		return err
	}
	if err := reconcile.Keep(ctx, s, w.Keep); err != nil {
		return err
	}
	return w.End(head)
}

func exportHistory(w *audit.Writer, batches []audit.Batch, rows iter.Seq2[audit.Row, error]) error {
	next := 0
	upTo := func(id int64) error {
		for ; next < len(batches) && batches[next].ID <= id; next++ {
			if err := w.Batch(batches[next]); err != nil {
				return err
			}
		}
		return nil
	}
	for r, err := range rows {
		if err == nil {
			err = upTo(r.Batch)
		}
		if err == nil {
			err = w.Row(r)
		}
		if err != nil {
			return err
		}
	}
	if len(batches) == 0 {
		return nil
	}
	return upTo(batches[len(batches)-1].ID)
}

func (a *app) exportCSV(rows iter.Seq2[audit.Row, error]) error {
	w := csv.NewWriter(a.stdout)
	head := []string{
		"id", "batch", "at", "kind", "run", "run_kind", "trigger", "requested_by", "why", "source", "anchor", "account", "username", "place",
		"action", "reason", "approval", "status", "field", "from", "to", "message",
	}
	if err := w.Write(head); err != nil {
		return fmt.Errorf("write the export: %w", err)
	}
	for r, err := range rows {
		if err != nil {
			return err
		}
		e, err := newAuditEntry(r)
		if err != nil {
			return &exitError{exitFailed, err, "the history was changed; mmsync audit verify says where"}
		}
		p := audit.Personal{}
		if e.Personal != nil {
			p = *e.Personal
		}
		if len(p.Values) == 0 {
			p.Values = []plan.Change{{}}
		}
		for _, c := range p.Values {
			cells := []string{
				strconv.FormatInt(e.ID, 10), strconv.FormatInt(e.Batch, 10), e.At.Format(time.RFC3339Nano), e.Kind, e.Run, e.RunKind, e.Trigger,
				e.RequestedBy, e.Why, e.Source, e.Anchor, e.Account, p.Username, p.Ref, string(e.Action), string(e.Reason), e.Approval, e.Status,
				string(c.Field), c.From, c.To, p.Message,
			}
			for i := range cells {
				cells[i] = csvCell(cells[i])
			}
			if err := w.Write(cells); err != nil {
				return fmt.Errorf("write the export: %w", err)
			}
		}
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return fmt.Errorf("write the export: %w", err)
	}
	return nil
}
