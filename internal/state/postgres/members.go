package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/mmsync/mmsync/internal/state"
)

// Parts of a write, as in resources.go. Nobody leaves and joins in one of them.
const (
	leaveOthers = `, left_group as (
    delete from scim_members m using written w
    where m.source = w.source and m.group_id = w.id
        and not exists (select from unnest($%d::text[]) as n (id) where n.id = m.member_id)
)`
	leaveGroup = `, left_group as (
    delete from scim_members m using written w, unnest($%d::text[]) as n (id)
    where m.source = w.source and m.group_id = w.id and m.member_id = n.id
)`
	joinGroup = `, joined as (
    insert into scim_members (source, group_id, member_id, type, display)
    select w.source, w.id, n.id, n.type, n.display
    from written w, unnest($%d::text[], $%d::text[], $%d::text[]) as n (id, type, display)
    on conflict (source, group_id, member_id) do nothing
)`
	joinAnew = `, joined as (
    insert into scim_members (source, group_id, member_id, type, display)
    select w.source, w.id, n.id, n.type, n.display
    from written w, unnest($%d::text[], $%d::text[], $%d::text[]) as n (id, type, display)
    on conflict (source, group_id, member_id) do update set type = excluded.type, display = excluded.display
    where (scim_members.type, scim_members.display) <> (excluded.type, excluded.display)
)`
)

func addMembers(q *statement, w *state.ResourceWrite) {
	n := len(w.Join)
	ids, types, displays := make([]string, n), make([]string, n), make([]string, n)
	for i := range w.Join {
		m := &w.Join[i]
		ids[i], types[i], displays[i] = m.ID, m.Type, m.Display
	}
	join := joinGroup
	if w.LeaveAll {
		q.add(leaveOthers, ids)
		join = joinAnew
	}
	if len(w.Leave) > 0 {
		gone := make([]string, len(w.Leave))
		for i := range w.Leave {
			gone[i] = w.Leave[i].ID
		}
		q.add(leaveGroup, gone)
	}
	if n > 0 {
		q.add(join, ids, types, displays)
	}
}

const selectMembers = `select group_id, member_id, type, display from scim_members`

// Members implements state.ResourceStore.
func (s *Store) Members(ctx context.Context, source string, groups []string) ([]state.Member, error) {
	if err := state.CheckText("list members", append([]string{source}, groups...)...); err != nil {
		return nil, err
	}
	var w where
	w.and("source = $%d", source)
	w.and("group_id = any($%d)", strs(groups))
	return collect(ctx, s, "list members", selectMembers+w.String()+" order by group_id, member_id", w.args, scanMember)
}

// Memberships implements state.ResourceStore.
func (s *Store) Memberships(ctx context.Context, source string, members []string) ([]state.Member, error) {
	if err := state.CheckText("list memberships", append([]string{source}, members...)...); err != nil {
		return nil, err
	}
	var w where
	w.and("source = $%d", source)
	if len(members) > 0 {
		w.and("member_id = any($%d)", members)
	}
	return collect(ctx, s, "list memberships", selectMembers+w.String()+" order by member_id, group_id", w.args, scanMember)
}

func scanMember(row pgx.CollectableRow) (state.Member, error) {
	var m state.Member
	err := row.Scan(&m.Group, &m.ID, &m.Type, &m.Display)
	return m, err
}
