package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

const selectResources = `
select source, type, id, version, body, created_at, modified_at, deleted_at from scim_resources`

// Resources implements state.ResourceStore.
func (s *Store) Resources(ctx context.Context, f state.ResourceFilter) ([]state.Resource, error) {
	if err := state.CheckResourceFilter(f); err != nil {
		return nil, fmt.Errorf("list resources: %w", err)
	}
	query, args := listResources(f)
	if f.WithDue {
		return collect(ctx, s, "list resources", withDue(query), args, scanResourceDue)
	}
	return collect(ctx, s, "list resources", query, args, scanResource)
}

// withDue adds to resources what is due of each, without nulls but for times.
func withDue(resources string) string {
	return `
select r.*, coalesce(d.is_leaver, 0), coalesce(d.revision, 0), d.since_at, d.after_at,
    coalesce(d.attempts, 0), coalesce(d.is_held, 0), coalesce(d.reason, ''), coalesce(d.note, '')
from (` + resources + `) r left join scim_due d on d.source = r.source and d.anchor = r.id
order by r.created_at, r.id`
}

func listResources(f state.ResourceFilter) (query string, args []any) {
	w := resourcesWhere(f)
	if !f.AfterCreated.IsZero() {
		w.and("(created_at, id) > ($%d, $%d)", stamp(f.AfterCreated), f.AfterID)
	}
	query = selectResources + w.String() + " order by created_at, id"
	if f.Limit > 0 || f.Skip > 0 {
		limit := -1 // all
		if f.Limit > 0 {
			limit = f.Limit
		}
		w.args = append(w.args, limit, f.Skip)
		query += fmt.Sprintf(" limit $%d offset $%d", len(w.args)-1, len(w.args))
	}
	return query, w.args
}

// The ids are looked up before all else, and lead to the rows. The index of lists is
// no way then: it has only what exists, and the + that hides that this is what is
// asked for keeps the database from walking over all of it in the order of the answer.
const (
	withValue = `id in (
    select id from scim_values where source = $%d and type = $%d and attr = $%d and value = $%d)`
	withMember = `id in (
    select group_id from scim_members where source = $%d and member_id = $%d)`
)

func resourcesWhere(f state.ResourceFilter) *where {
	var w where
	w.and("source = $%d", f.Source)
	w.and("type = $%d", f.Type)
	switch {
	case f.Deleted:
	case len(f.IDs) > 0 || f.Attr != "" || f.Member != "":
		w.and("+deleted_at is null")
	default:
		w.and("deleted_at is null")
	}
	if len(f.IDs) > 0 {
		w.and("id in (select value from json_each($%d))", list(f.IDs))
	}
	if f.Attr != "" {
		w.and(withValue, f.Source, f.Type, f.Attr, f.Value)
	}
	if f.Member != "" {
		w.and(withMember, f.Source, f.Member)
	}
	return &w
}

func scanResource(rows *sql.Rows) (state.Resource, error) {
	var r state.Resource
	var created, modified, deleted instant
	err := rows.Scan(&r.Source, &r.Type, &r.ID, &r.Version, &r.Body, &created, &modified, &deleted)
	r.Created, r.Modified, r.Deleted = created.Time, modified.Time, deleted.Time
	return r, err
}

func scanResourceDue(rows *sql.Rows) (state.Resource, error) {
	var r state.Resource
	var d state.Due
	var created, modified, deleted, since, after instant
	err := rows.Scan(&r.Source, &r.Type, &r.ID, &r.Version, &r.Body, &created, &modified, &deleted,
		&d.Leaver, &d.Revision, &since, &after, &d.Attempts, &d.Held, &d.Reason, &d.Note)
	r.Created, r.Modified, r.Deleted = created.Time, modified.Time, deleted.Time
	if d.Revision > 0 {
		d.Key, d.Since, d.After = identity.Key{Source: r.Source, Anchor: r.ID}, since.Time, after.Time
		r.Due = &d
	}
	return r, err
}

const countResources = `select count(*) from scim_resources`

// CountResources implements state.ResourceStore.
func (s *Store) CountResources(ctx context.Context, f state.ResourceFilter) (int, error) {
	if err := state.CheckResourceFilter(f); err != nil {
		return 0, fmt.Errorf("count resources: %w", err)
	}
	w := resourcesWhere(f)
	var n int
	if err := s.readers.QueryRowContext(ctx, countResources+w.String(), w.args...).Scan(&n); err != nil {
		return 0, s.fault("count resources", err)
	}
	return n, nil
}

// EachResource implements state.ResourceStore.
func (s *Store) EachResource(ctx context.Context, source, typ string, each func(state.Resource) error) error {
	f := state.ResourceFilter{Source: source, Type: typ, Deleted: true}
	if err := state.CheckResourceFilter(f); err != nil {
		return fmt.Errorf("read resources: %w", err)
	}
	w := resourcesWhere(f)
	var stopped error
	err := scanEach(ctx, s.readers, selectResources+w.String(), w.args, func(rows *sql.Rows) error {
		r, err := scanResource(rows)
		if err != nil {
			return err
		}
		if stopped = each(r); stopped != nil {
			return stopped
		}
		// The driver notices the end of a context only after some more rows.
		return ctx.Err()
	})
	if stopped != nil {
		return stopped
	}
	if err != nil {
		return s.fault("read resources", err)
	}
	return nil
}

const (
	insertResource = `
insert into scim_resources (source, type, id, version, body, created_at, modified_at, deleted_at)
values ($1, $2, $3, 1, $4, $5, $5, $6)
on conflict (source, id) do nothing
returning version, created_at, modified_at, deleted_at`
	replaceResource = `
update scim_resources set version = version + 1, body = $4, modified_at = $5, deleted_at = $6
where source = $1 and type = $2 and id = $3 and version = $7 and deleted_at is null
returning version, created_at, modified_at, deleted_at`
	selectValues = `select attr, value, is_unique from scim_values where source = $1 and id = $2`
	dropValue    = `delete from scim_values where source = $1 and id = $2 and attr = $3 and value = $4`
	addValue     = `insert into scim_values (source, type, id, attr, value, is_unique) values ($1, $2, $3, $4, $5, $6)`
)

// WriteResource implements state.ResourceStore.
func (s *Store) WriteResource(ctx context.Context, given state.ResourceWrite) (state.Resource, error) {
	w, err := state.NormalWrite(given)
	if err != nil {
		return state.Resource{}, fmt.Errorf("write resource: %w", err)
	}
	out := w.Resource
	err = s.write(ctx, "write "+w.Type+" "+w.ID, func(tx *sql.Tx) error {
		at := now()
		if err := writeResource(ctx, tx, &w, at, &out); err != nil {
			return err
		}
		if err := writeValues(ctx, tx, &w); err != nil {
			return err
		}
		if err := writeMembers(ctx, tx, &w); err != nil {
			return err
		}
		return mark(ctx, tx, w.Due, at)
	})
	if err != nil {
		return state.Resource{}, err
	}
	return out, nil
}

func writeResource(ctx context.Context, tx *sql.Tx, w *state.ResourceWrite, at time.Time, out *state.Resource) error {
	var gone any // null while it exists
	if !w.Deleted.IsZero() {
		gone = stamp(at)
	}
	query, args := insertResource, []any{w.Source, w.Type, w.ID, string(w.Body), stamp(at), gone}
	if w.Expect > 0 {
		query, args = replaceResource, append(args, w.Expect)
	}
	var created, modified, deleted instant
	err := tx.QueryRowContext(ctx, query, args...).Scan(&out.Version, &created, &modified, &deleted)
	if errors.Is(err, sql.ErrNoRows) {
		return unwritten(ctx, tx, w)
	}
	out.Created, out.Modified, out.Deleted = created.Time, modified.Time, deleted.Time
	return err
}

func writeValues(ctx context.Context, tx *sql.Tx, w *state.ResourceWrite) error {
	if w.KeepValues {
		return nil
	}
	stored := map[state.IndexedValue]bool{}
	if w.Expect > 0 {
		err := scanEach(ctx, tx, selectValues, []any{w.Source, w.ID}, func(rows *sql.Rows) error {
			var v state.IndexedValue
			err := rows.Scan(&v.Attr, &v.Value, &v.Unique)
			stored[v] = true
			return err
		})
		if err != nil {
			return err
		}
	}
	var added, dropped []state.IndexedValue
	for _, v := range w.Values {
		if !stored[v] {
			added = append(added, v)
		}
		delete(stored, v)
	}
	for v := range stored {
		dropped = append(dropped, v)
	}
	err := each(ctx, tx, dropValue, dropped, func(v *state.IndexedValue) ([]any, error) {
		return []any{w.Source, w.ID, v.Attr, v.Value}, nil
	})
	if err != nil {
		return err
	}
	err = each(ctx, tx, addValue, added, func(v *state.IndexedValue) ([]any, error) {
		return []any{w.Source, w.Type, w.ID, v.Attr, v.Value, v.Unique}, nil
	})
	if unique(err) {
		return taken(ctx, tx, w)
	}
	return err
}

const selectStored = `
select type, version, deleted_at is not null from scim_resources where source = $1 and id = $2`

// unwritten tells why nothing was written.
func unwritten(ctx context.Context, q querier, w *state.ResourceWrite) error {
	if w.Expect == 0 {
		return fmt.Errorf("the id is in use: %w", state.ErrConflict)
	}
	typ, version, deleted := "", int64(0), false
	err := scanEach(ctx, q, selectStored, []any{w.Source, w.ID}, func(rows *sql.Rows) error {
		return rows.Scan(&typ, &version, &deleted)
	})
	if err != nil {
		return err
	}
	return state.Replaceable(w.Expect, w.Type, typ, version, deleted)
}

const selectTaken = `
select v.attr
from json_each($4) n join scim_values v on v.attr = n.value ->> 'Attr' and v.value = n.value ->> 'Value'
where v.source = $1 and v.type = $2 and v.id <> $3 and v.is_unique = 1
order by v.attr limit 1`

// taken names the attribute whose value is another's.
func taken(ctx context.Context, q querier, w *state.ResourceWrite) error {
	attr := "a value"
	once := slices.DeleteFunc(slices.Clone(w.Values), func(v state.IndexedValue) bool { return !v.Unique })
	err := scanEach(ctx, q, selectTaken, []any{w.Source, w.Type, w.ID, list(once)}, func(rows *sql.Rows) error {
		return rows.Scan(&attr)
	})
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", attr, state.ErrTaken)
}

// A tombstone stays: it keeps the id from being given again.
const blankResource = `update scim_resources set body = '{}' where source = $1 and id = $2 and deleted_at is not null`

const blankMember = `
update scim_members set display = ''
where source = $1 and member_id = $2 and display <> '' and not exists (
    select 1 from scim_resources r where r.source = $1 and r.id = $2 and r.deleted_at is null
)`

const blankDue = `update scim_due set note = '' where source = $1 and anchor = $2`
