package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

const selectHeads = `
select source, anchor, account_id, part = 'owner', ref, observed_active, written_at, recheck_at, settled
from links order by source, anchor`

// Heads implements state.Store. Options.CallTimeout limits it with what each
// takes.
func (s *Store) Heads(ctx context.Context, each func(state.LinkHead) error) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, selectHeads)
	if err != nil {
		return s.fault(ctx, "read link heads", err)
	}
	var row head
	columns := []any{
		&row.source, &row.anchor, &row.account, &row.owner, &row.ref, &row.active, &row.written, &row.recheck, &row.settled,
	}
	var stopped error
	_, err = pgx.ForEachRow(rows, columns, func() error {
		if stopped = each(row.value()); stopped != nil {
			return stopped
		}
		// Rows that have arrived are read on after the end of a context.
		return ctx.Err()
	})
	if stopped != nil {
		return stopped
	}
	return s.fault(ctx, "read link heads", err)
}

// head is one row of selectHeads, scanned into the same place for every link.
type head struct {
	source, settled  octets
	anchor, account  string
	ref              string
	owner            bool
	active           pgtype.Bool
	written, recheck instant
	last             string // the source of the link before
}

func (h *head) value() state.LinkHead {
	if string(h.source) != h.last { // else one text for all links of a source
		h.last = string(h.source)
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

// octets scans text and bytea into memory that the next row overwrites.
type octets []byte

// ScanBytes implements pgtype.BytesScanner.
func (o *octets) ScanBytes(v []byte) error {
	*o = append((*o)[:0], v...)
	return nil
}

const settleLinks = `
update links set settled = n.settled, ref = coalesce(nullif(n.ref, ''), links.ref)
from unnest($1::text[], $2::text[], $3::bytea[], $4::text[]) as n (source, anchor, settled, ref)
where links.source = n.source and links.anchor = n.anchor
    and (links.settled is distinct from n.settled or links.ref <> coalesce(nullif(n.ref, ''), links.ref))`

// marksAtOnce bounds the size of one message to the server: a mark has about
// 80 bytes.
const marksAtOnce = 50_000

// Settle implements state.Store.
func (s *Store) Settle(ctx context.Context, l state.Lease, marks []state.SettledMark) error {
	if err := state.CheckMarks(marks); err != nil {
		return fmt.Errorf("settle links: %w", err)
	}
	return s.write(ctx, "settle links", func(ctx context.Context, tx pgx.Tx) error {
		if err := glance(ctx, tx, l); err != nil {
			return err
		}
		for part := range slices.Chunk(marks, marksAtOnce) {
			n := len(part)
			source, anchor, settled, ref := make([]string, n), make([]string, n), make([][]byte, n), make([]string, n)
			for i := range part {
				source[i], anchor[i], settled[i] = part[i].Key.Source, part[i].Key.Anchor, part[i].Digest[:]
				ref[i] = part[i].Ref
			}
			if _, err := tx.Exec(ctx, settleLinks, source, anchor, settled, ref); err != nil {
				return err
			}
		}
		return fence(ctx, tx, l)
	})
}

const unsettleLinks = `update links set settled = null where settled is not null`

// Unsettle implements state.Store.
func (s *Store) Unsettle(ctx context.Context, l state.Lease) error {
	return s.write(ctx, "unsettle links", func(ctx context.Context, tx pgx.Tx) error {
		if err := glance(ctx, tx, l); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, unsettleLinks); err != nil {
			return err
		}
		return fence(ctx, tx, l)
	})
}
