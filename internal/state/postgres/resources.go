package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

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
	if query, args, ok := readResources(f); ok {
		return collect(ctx, s, "read resources", query, args, scanResourceDue)
	}
	query, args := listResources(f)
	if f.WithDue {
		return collect(ctx, s, "list resources", withDue(query), args, scanResourceDue)
	}
	return collect(ctx, s, "list resources", query, args, scanResource)
}

// What clients ask most has its plan in a function: see the migrations.
const readResource = `select * from scim_read($1, $2, $3, $4, $5, $6, $7)`

// readResources is what existing ones are read by of one id or value; not ok if f is
// for something else.
func readResources(f state.ResourceFilter) (query string, args []any, ok bool) {
	byID, byValue := len(f.IDs) == 1, f.Attr != ""
	if byID == byValue || len(f.IDs) > 1 || f.Deleted || f.Member != "" || !f.AfterCreated.IsZero() || f.Skip > 0 {
		return "", nil, false
	}
	var id *string
	var limit *int
	if byID {
		id = &f.IDs[0]
	}
	if f.Limit > 0 {
		limit = &f.Limit
	}
	return readResource, []any{f.Source, f.Type, id, f.Attr, f.Value, limit, f.WithDue}, true
}

// withDue adds to resources what is due of each, without nulls but for times.
func withDue(resources string) string {
	return `
select r.*, coalesce(d.is_leaver, false), coalesce(d.revision, 0), d.since_at, d.after_at,
    coalesce(d.attempts, 0), coalesce(d.is_held, false), coalesce(d.reason, ''), coalesce(d.note, '')
from (` + resources + `) r left join scim_due d on d.source = r.source and d.anchor = r.id
order by r.created_at, r.id`
}

func listResources(f state.ResourceFilter) (query string, args []any) {
	w := resourcesWhere(f)
	if !f.AfterCreated.IsZero() {
		w.and("(created_at, id) > ($%d, $%d)", stamp(f.AfterCreated), f.AfterID)
	}
	query = selectResources + w.String() + " order by created_at, id"
	if f.Limit > 0 {
		w.args = append(w.args, f.Limit)
		query += fmt.Sprintf(" limit $%d", len(w.args))
	}
	if f.Skip > 0 {
		w.args = append(w.args, f.Skip)
		query += fmt.Sprintf(" offset $%d", len(w.args))
	}
	return query, w.args
}

// The ids are looked up before all else, and lead to the rows. The index of lists is
// no way then: it has only what exists, and the words that hide that this is what is
// asked for keep the database from walking over all of it in the order of the answer.
const (
	withValue = `id = any(array(
    select id from scim_values where source = $%d and type = $%d and attr = $%d and value = $%d))`
	withMember = `id = any(array(
    select group_id from scim_members where source = $%d and member_id = $%d))`
)

func resourcesWhere(f state.ResourceFilter) *where {
	var w where
	w.and("source = $%d", f.Source)
	w.and("type = $%d", f.Type)
	switch {
	case f.Deleted:
	case len(f.IDs) > 0 || f.Attr != "" || f.Member != "":
		w.and("coalesce(deleted_at, 'infinity') = 'infinity'")
	default:
		w.and("deleted_at is null")
	}
	if len(f.IDs) > 0 {
		w.and("id = any($%d)", f.IDs)
	}
	if f.Attr != "" {
		w.and(withValue, f.Source, f.Type, f.Attr, f.Value)
	}
	if f.Member != "" {
		w.and(withMember, f.Source, f.Member)
	}
	return &w
}

func scanResource(row pgx.CollectableRow) (state.Resource, error) {
	var r state.Resource
	var created, modified, deleted instant
	err := row.Scan(&r.Source, &r.Type, &r.ID, &r.Version, &r.Body, &created, &modified, &deleted)
	r.Created, r.Modified, r.Deleted = created.Time, modified.Time, deleted.Time
	return r, err
}

func scanResourceDue(row pgx.CollectableRow) (state.Resource, error) {
	var r state.Resource
	var d state.Due
	var created, modified, deleted, since, after instant
	err := row.Scan(&r.Source, &r.Type, &r.ID, &r.Version, &r.Body, &created, &modified, &deleted,
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
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	w := resourcesWhere(f)
	var n int
	err := s.pool.QueryRow(ctx, countResources+w.String(), w.args...).Scan(&n)
	return n, s.fault(ctx, "count resources", err)
}

// EachResource implements state.ResourceStore. Options.CallTimeout limits it with
// what each takes.
func (s *Store) EachResource(ctx context.Context, source, typ string, each func(state.Resource) error) error {
	f := state.ResourceFilter{Source: source, Type: typ, Deleted: true}
	if err := state.CheckResourceFilter(f); err != nil {
		return fmt.Errorf("read resources: %w", err)
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	w := resourcesWhere(f)
	var stopped error
	err := scanEach(ctx, s.pool, selectResources+w.String(), w.args, func(rows pgx.Rows) error {
		r, err := scanResource(rows)
		if err != nil {
			return err
		}
		if stopped = each(r); stopped != nil {
			return stopped
		}
		// Rows that have arrived are read on after the end of a context.
		return ctx.Err()
	})
	if stopped != nil {
		return stopped
	}
	return s.fault(ctx, "read resources", err)
}

// One call writes all: see the migrations for what it does.
const writeResource = `
select version, created_at, modified_at, deleted_at
from scim_write($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`

// WriteResource implements state.ResourceStore.
func (s *Store) WriteResource(ctx context.Context, given state.ResourceWrite) (state.Resource, error) {
	w, err := state.NormalWrite(given)
	if err != nil {
		return state.Resource{}, fmt.Errorf("write resource: %w", err)
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	out := w.Resource
	var version *int64
	var created, modified, deleted instant
	query := writeResource
	if s.Listens() && len(w.Due) > 0 {
		query += besideWake
	}
	err = s.pool.QueryRow(ctx, query, writeArgs(&w)...).Scan(&version, &created, &modified, &deleted)
	switch {
	case code(err) == codeUnique:
		err = taken(ctx, s.pool, &w)
	case err == nil && version == nil:
		err = unwritten(ctx, s.pool, &w)
	}
	if err != nil {
		return state.Resource{}, s.fault(ctx, "write "+w.Type+" "+w.ID, err)
	}
	out.Version, out.Created, out.Modified, out.Deleted = *version, created.Time, modified.Time, deleted.Time
	return out, nil
}

func writeArgs(w *state.ResourceWrite) []any {
	attrs, values, unique := valueColumns(w.Values)
	leave := make([]string, len(w.Leave))
	for i := range w.Leave {
		leave[i] = w.Leave[i].ID
	}
	n := len(w.Join)
	join, types, displays := make([]string, n), make([]string, n), make([]string, n)
	for i := range w.Join {
		m := &w.Join[i]
		join[i], types[i], displays[i] = m.ID, m.Type, m.Display
	}
	_, anchors, leavers := markColumns(w.Due)
	return []any{
		w.Source, w.Type, w.ID, w.Expect, string(w.Body), !w.Deleted.IsZero(), w.KeepValues, attrs, values, unique,
		w.LeaveAll, leave, join, types, displays, anchors, leavers,
	}
}

func valueColumns(list []state.IndexedValue) (attrs, values []string, unique []bool) {
	attrs, values, unique = make([]string, len(list)), make([]string, len(list)), make([]bool, len(list))
	for i, v := range list {
		attrs[i], values[i], unique[i] = v.Attr, v.Value, v.Unique
	}
	return attrs, values, unique
}

const selectStored = `
select type, version, deleted_at is not null from scim_resources where source = $1 and id = $2`

// unwritten tells why nothing was written.
func unwritten(ctx context.Context, q querier, w *state.ResourceWrite) error {
	if w.Expect == 0 {
		return fmt.Errorf("the id is in use: %w", state.ErrConflict)
	}
	typ, version, deleted := "", int64(0), false
	err := scanEach(ctx, q, selectStored, []any{w.Source, w.ID}, func(rows pgx.Rows) error {
		return rows.Scan(&typ, &version, &deleted)
	})
	if err != nil {
		return err
	}
	return state.Replaceable(w.Expect, w.Type, typ, version, deleted)
}

const selectTaken = `
select v.attr
from scim_values v join unnest($4::text[], $5::text[], $6::boolean[]) as n (attr, value, is_unique)
    on v.attr = n.attr and v.value = n.value
where v.source = $1 and v.type = $2 and v.id <> $3 and v.is_unique and n.is_unique
order by v.attr limit 1`

// taken names the attribute whose value is another's. The error of the database
// does as well, but with the value.
func taken(ctx context.Context, q querier, w *state.ResourceWrite) error {
	attr := "a value" // if whoever had it has just given it up
	attrs, values, unique := valueColumns(w.Values)
	err := scanEach(ctx, q, selectTaken, []any{w.Source, w.Type, w.ID, attrs, values, unique}, func(rows pgx.Rows) error {
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
update scim_members m set display = ''
where m.source = $1 and m.member_id = $2 and m.display <> '' and not exists (
    select from scim_resources r where r.source = m.source and r.id = m.member_id and r.deleted_at is null
)`

const blankDue = `update scim_due set note = '' where source = $1 and anchor = $2`
