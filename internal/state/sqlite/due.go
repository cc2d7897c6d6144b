package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

// Whoever is marked anew gets a new row for the old one, and with it the next
// revision.
const markDue = `
insert or replace into scim_due (source, anchor, is_leaver, since_at, attempts, is_held, reason, note)
select n.source, n.anchor, max(n.is_leaver, coalesce(d.is_leaver, 0)), iif(d.is_held, $2, coalesce(d.since_at, $2)), 0, 0, '', ''
from (
    select value ->> '$.Key.source' as source, value ->> '$.Key.anchor' as anchor, value ->> 'Leaver' as is_leaver
    from json_each($1)
) n left join scim_due d on d.source = n.source and d.anchor = n.anchor`

// MarkDue implements state.ResourceStore.
func (s *Store) MarkDue(ctx context.Context, given []state.DueMark) error {
	marks, err := state.NormalMarks(given)
	if err != nil {
		return fmt.Errorf("mark due: %w", err)
	}
	return s.write(ctx, "mark due", func(tx *sql.Tx) error { return mark(ctx, tx, marks, now()) })
}

func mark(ctx context.Context, tx *sql.Tx, marks []state.DueMark, at time.Time) error {
	if len(marks) == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, markDue, list(marks), stamp(at))
	return err
}

const wakeDue = `update scim_due set after_at = null where reason = $1 and not is_held`

// WakeDue implements state.ResourceStore.
func (s *Store) WakeDue(ctx context.Context, reason string) error {
	return s.write(ctx, "wake who was put off", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, wakeDue, reason)
		return err
	})
}

const selectDue = `
select source, anchor, is_leaver, revision, since_at, after_at, attempts, is_held, reason, note from scim_due`

const dueNext = `
where not is_held and (after_at is null or after_at <= $1)
order by is_leaver desc, since_at, source, anchor`

// Due implements state.ResourceStore.
func (s *Store) Due(ctx context.Context, limit int) ([]state.Due, error) {
	query, args := selectDue+dueNext, []any{stamp(now())}
	if limit > 0 {
		query, args = query+" limit $2", append(args, limit)
	}
	return collect(ctx, s, "list who is due", query, args, scanDue)
}

func scanDue(rows *sql.Rows) (state.Due, error) {
	var d state.Due
	var since, after instant
	err := rows.Scan(&d.Key.Source, &d.Key.Anchor, &d.Leaver, &d.Revision, &since, &after, &d.Attempts, &d.Held, &d.Reason, &d.Note)
	d.Since, d.After = since.Time, after.Time
	return d, err
}

const dueOf = `
where (source, anchor) in (select value ->> 'source', value ->> 'anchor' from json_each($1))
order by source, anchor`

// DueOf implements state.ResourceStore.
func (s *Store) DueOf(ctx context.Context, keys []identity.Key) ([]state.Due, error) {
	if err := state.CheckLinkFilter(state.LinkFilter{Keys: keys}); err != nil {
		return nil, fmt.Errorf("list what is due: %w", err)
	}
	return collect(ctx, s, "list what is due", selectDue+dueOf, []any{list(keys)}, scanDue)
}

const countDue = `select count(*), min(since_at) from scim_due where not is_held and reason <> '` + state.DueApplied + `'`

// CountDue implements state.ResourceStore.
func (s *Store) CountDue(ctx context.Context) (n int, oldest time.Time, err error) {
	var since instant
	if err := s.readers.QueryRowContext(ctx, countDue).Scan(&n, &since); err != nil {
		return 0, time.Time{}, s.fault("count who is due", err)
	}
	return n, since.Time, nil
}

const deleteDue = `delete from scim_due where source = $1 and anchor = $2 and revision = $3`

// Done implements state.ResourceStore.
func (s *Store) Done(ctx context.Context, l state.Lease, done []state.Due) error {
	return s.closeDue(ctx, "note what is done", deleteDue, l, done, func(d *state.Due) []any {
		return []any{d.Key.Source, d.Key.Anchor, d.Revision}
	})
}

const putOffDue = `
update scim_due set after_at = $4, is_held = $5, reason = $6, note = $7, attempts = attempts + 1
where source = $1 and anchor = $2 and revision = $3`

// PutOff implements state.ResourceStore.
func (s *Store) PutOff(ctx context.Context, l state.Lease, due []state.Due) error {
	return s.closeDue(ctx, "put off what is due", putOffDue, l, due, func(d *state.Due) []any {
		return []any{d.Key.Source, d.Key.Anchor, d.Revision, stamp(d.After), d.Held, d.Reason, d.Note}
	})
}

func (s *Store) closeDue(ctx context.Context, what, query string, l state.Lease, given []state.Due, args func(*state.Due) []any) error {
	due, err := state.NormalDue(given)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return s.write(ctx, what, func(tx *sql.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		return each(ctx, tx, query, due, func(d *state.Due) ([]any, error) { return args(d), nil })
	})
}
