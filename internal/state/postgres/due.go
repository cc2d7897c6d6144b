package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

const markDue = `select scim_mark($1, $2, $3)`

// MarkDue implements state.ResourceStore.
func (s *Store) MarkDue(ctx context.Context, given []state.DueMark) error {
	marks, err := state.NormalMarks(given)
	if err != nil {
		return fmt.Errorf("mark due: %w", err)
	}
	sources, anchors, leavers := markColumns(marks)
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	query := markDue
	if s.Listens() {
		query += besideWake
	}
	_, err = s.pool.Exec(ctx, query, sources, anchors, leavers)
	return s.fault(ctx, "mark due", err)
}

func markColumns(marks []state.DueMark) (sources, anchors []string, leavers []bool) {
	n := len(marks)
	sources, anchors, leavers = make([]string, n), make([]string, n), make([]bool, n)
	for i, m := range marks {
		sources[i], anchors[i], leavers[i] = m.Key.Source, m.Key.Anchor, m.Leaver
	}
	return sources, anchors, leavers
}

const wakeDue = `update scim_due set after_at = null where reason = $1 and not is_held`

// WakeDue implements state.ResourceStore.
func (s *Store) WakeDue(ctx context.Context, reason string) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	_, err := s.pool.Exec(ctx, wakeDue, reason)
	return s.fault(ctx, "wake who was put off", err)
}

const selectDue = `
select source, anchor, is_leaver, revision, since_at, after_at, attempts, is_held, reason, note from scim_due`

const dueNext = `
where not is_held and (after_at is null or after_at <= clock_timestamp())
order by is_leaver desc, since_at, source, anchor`

// Due implements state.ResourceStore.
func (s *Store) Due(ctx context.Context, limit int) ([]state.Due, error) {
	query, args := selectDue+dueNext, []any(nil)
	if limit > 0 {
		query, args = query+" limit $1", []any{limit}
	}
	return collect(ctx, s, "list who is due", query, args, scanDue)
}

func scanDue(row pgx.CollectableRow) (state.Due, error) {
	var d state.Due
	var since, after instant
	err := row.Scan(&d.Key.Source, &d.Key.Anchor, &d.Leaver, &d.Revision, &since, &after, &d.Attempts, &d.Held, &d.Reason, &d.Note)
	d.Since, d.After = since.Time, after.Time
	return d, err
}

const dueOf = `
where (source, anchor) in (select * from unnest($1::text[], $2::text[]))
order by source, anchor`

// DueOf implements state.ResourceStore.
func (s *Store) DueOf(ctx context.Context, keys []identity.Key) ([]state.Due, error) {
	if err := state.CheckLinkFilter(state.LinkFilter{Keys: keys}); err != nil {
		return nil, fmt.Errorf("list what is due: %w", err)
	}
	sources, anchors := columns(keys)
	return collect(ctx, s, "list what is due", selectDue+dueOf, []any{sources, anchors}, scanDue)
}

const countDue = `select count(*), min(since_at) from scim_due where not is_held and reason <> '` + state.DueApplied + `'`

// CountDue implements state.ResourceStore.
func (s *Store) CountDue(ctx context.Context) (n int, oldest time.Time, err error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	var since instant
	err = s.pool.QueryRow(ctx, countDue).Scan(&n, &since)
	return n, since.Time, s.fault(ctx, "count who is due", err)
}

// The rows are locked in order of their Keys, as MarkDue locks them.
const lockDue = `
with held as (
    select d.source, d.anchor, n.after_at, n.is_held, n.reason, n.note
    from scim_due d join unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::boolean[], $6::text[], $7::text[])
        as n (source, anchor, revision, after_at, is_held, reason, note)
        on d.source = n.source and d.anchor = n.anchor and d.revision = n.revision
    order by d.source, d.anchor
    for update of d
)`

const deleteDue = lockDue + `
delete from scim_due d using held h where d.source = h.source and d.anchor = h.anchor`

// Done implements state.ResourceStore.
func (s *Store) Done(ctx context.Context, l state.Lease, done []state.Due) error {
	return s.closeDue(ctx, "note what is done", deleteDue, l, done)
}

const putOffDue = lockDue + `
update scim_due d set after_at = h.after_at, is_held = h.is_held, reason = h.reason, note = h.note, attempts = d.attempts + 1
from held h where d.source = h.source and d.anchor = h.anchor`

// PutOff implements state.ResourceStore.
func (s *Store) PutOff(ctx context.Context, l state.Lease, due []state.Due) error {
	return s.closeDue(ctx, "put off what is due", putOffDue, l, due)
}

func (s *Store) closeDue(ctx context.Context, what, query string, l state.Lease, given []state.Due) error {
	due, err := state.NormalDue(given)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	n := len(due)
	sources, anchors, revisions := make([]string, n), make([]string, n), make([]int64, n)
	after, held, reasons, notes := make([]*time.Time, n), make([]bool, n), make([]string, n), make([]string, n)
	for i := range due {
		d := &due[i]
		sources[i], anchors[i], revisions[i] = d.Key.Source, d.Key.Anchor, d.Revision
		after[i], held[i], reasons[i], notes[i] = stamp(d.After), d.Held, d.Reason, d.Note
	}
	return s.write(ctx, what, func(ctx context.Context, tx pgx.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, query, sources, anchors, revisions, after, held, reasons, notes)
		return err
	})
}
