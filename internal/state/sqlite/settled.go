package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

const selectHeads = `
select source, anchor, account_id, part = 'owner', ref, observed_active, written_at, recheck_at, settled
from link_heads`

// Heads implements state.Store.
func (s *Store) Heads(ctx context.Context, each func(state.LinkHead) error) error {
	rows, err := s.readers.QueryContext(ctx, selectHeads)
	if err != nil {
		return s.fault("read link heads", err)
	}
	defer rows.Close()
	var row head
	row.columns = []any{
		&row.source, &row.anchor, &row.account, &row.owner, &row.ref, &row.active, &row.written, &row.recheck, &row.settled,
	}
	for rows.Next() {
		if err := rows.Scan(row.columns...); err != nil {
			return s.fault("read link heads", err)
		}
		if err := each(row.value()); err != nil {
			return err
		}
		// The driver notices the end of a context only after some more rows.
		if err := ctx.Err(); err != nil {
			return s.fault("read link heads", err)
		}
	}
	if err := rows.Err(); err != nil {
		return s.fault("read link heads", err)
	}
	return nil
}

// head is one row of selectHeads, scanned into the same place for every link.
type head struct {
	columns                      []any
	source, anchor, account, ref string
	owner                        bool
	active                       sql.NullBool
	written, recheck             instant
	settled                      sql.RawBytes
	last                         string // the source of the link before
}

func (h *head) value() state.LinkHead {
	if h.source != h.last { // else one text for all links of a source
		h.last = h.source
	}
	out := state.LinkHead{
		Key: identity.Key{Source: h.last, Anchor: h.anchor}, AccountID: h.account, Part: identity.Contributor, Ref: h.ref,
		Observed: h.active.Valid, Active: h.active.Bool, Written: h.written.Time, Recheck: h.recheck.Time,
	}
	if h.owner {
		out.Part = identity.Owner
	}
	copy(out.Settled[:], h.settled)
	return out
}

const upsertHead = `
insert into link_heads (source, anchor, account_id, part, ref, observed_active, written_at, recheck_at)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (source, anchor) do update set
    account_id = excluded.account_id, part = excluded.part, ref = excluded.ref,
    observed_active = excluded.observed_active, written_at = excluded.written_at,
    recheck_at = excluded.recheck_at, settled = null`

func putHeads(ctx context.Context, tx *sql.Tx, links []identity.Link) error {
	return each(ctx, tx, upsertHead, links, func(l *identity.Link) ([]any, error) {
		var active any // null if the account was not observed
		if l.Observed != nil {
			active = l.Observed.Active()
		}
		return []any{
			l.Key.Source, l.Key.Anchor, l.AccountID, string(l.Part), l.Ref, active, stamp(l.Written), stamp(l.Recheck),
		}, nil
	})
}

const settleLink = `
update link_heads set settled = $3, ref = coalesce(nullif($4, ''), ref)
where source = $1 and anchor = $2 and (settled is not $3 or ref <> coalesce(nullif($4, ''), ref))`

const moveLink = `update links set ref = $3 where source = $1 and anchor = $2 and ref <> $3`

// Settle implements state.Store.
func (s *Store) Settle(ctx context.Context, l state.Lease, marks []state.SettledMark) error {
	if err := state.CheckMarks(marks); err != nil {
		return fmt.Errorf("settle links: %w", err)
	}
	return s.write(ctx, "settle links", func(tx *sql.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		var moved []state.SettledMark
		for i := range marks {
			if marks[i].Ref != "" {
				moved = append(moved, marks[i])
			}
		}
		err := each(ctx, tx, moveLink, moved, func(m *state.SettledMark) ([]any, error) {
			return []any{m.Key.Source, m.Key.Anchor, m.Ref}, nil
		})
		if err != nil {
			return err
		}
		return each(ctx, tx, settleLink, marks, func(m *state.SettledMark) ([]any, error) {
			return []any{m.Key.Source, m.Key.Anchor, m.Digest[:], m.Ref}, nil
		})
	})
}

const unsettleLinks = `update link_heads set settled = null where settled is not null`

// Unsettle implements state.Store.
func (s *Store) Unsettle(ctx context.Context, l state.Lease) error {
	return s.write(ctx, "unsettle links", func(tx *sql.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, unsettleLinks)
		return err
	})
}
