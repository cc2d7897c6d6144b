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
from link_heads`

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

const upsertHeads = `
insert into link_heads (source, anchor, account_id, part, ref, observed_active, written_at, recheck_at)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[],
    $7::timestamptz[], $8::timestamptz[])
on conflict (source, anchor) do update set
    account_id = excluded.account_id, part = excluded.part, ref = excluded.ref,
    observed_active = excluded.observed_active, written_at = excluded.written_at,
    recheck_at = excluded.recheck_at, settled = null`

// observedActive gives null if the account was not observed.
func observedActive(l *identity.Link) *bool {
	if l.Observed == nil {
		return nil
	}
	active := l.Observed.Active()
	return &active
}

const moveLinks = `
update links set ref = n.ref
from unnest($1::text[], $2::text[], $3::text[]) as n (source, anchor, ref)
where links.source = n.source and links.anchor = n.anchor and links.ref <> n.ref`

const settleLinks = `
update link_heads h set settled = n.settled, ref = coalesce(nullif(n.ref, ''), h.ref)
from unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) as n (source, anchor, ref, settled)
where h.source = n.source and h.anchor = n.anchor
    and (h.settled is distinct from n.settled or h.ref <> coalesce(nullif(n.ref, ''), h.ref))`

// marksAtOnce bounds the size of one message to the server: a mark has about
// 200 bytes.
const marksAtOnce = 25_000

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
			if err := settle(ctx, tx, part); err != nil {
				return err
			}
		}
		return fence(ctx, tx, l)
	})
}

func settle(ctx context.Context, tx pgx.Tx, marks []state.SettledMark) error {
	n := len(marks)
	source, anchor, ref, digest := make([]string, n), make([]string, n), make([]string, n), make([][]byte, n)
	var moved []identity.Key
	var to []string
	for i := range marks {
		m := &marks[i]
		source[i], anchor[i], ref[i], digest[i] = m.Key.Source, m.Key.Anchor, m.Ref, m.Digest[:]
		if m.Ref != "" {
			moved, to = append(moved, m.Key), append(to, m.Ref)
		}
	}
	if len(moved) > 0 {
		sources, anchors := columns(moved)
		if _, err := tx.Exec(ctx, moveLinks, sources, anchors, to); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, settleLinks, source, anchor, ref, digest)
	return err
}

const unsettleLinks = `update link_heads set settled = null where settled is not null`

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
