package sqlite

import (
	"context"
	"database/sql"

	"github.com/mmsync/mmsync/internal/state"
)

// Nobody leaves and joins in one write.
const (
	leaveOthers = `
delete from scim_members
where source = $1 and group_id = $2 and member_id not in (select value ->> 'ID' from json_each($3))`
	leaveGroup = `
delete from scim_members
where source = $1 and group_id = $2 and member_id in (select value ->> 'ID' from json_each($3))`
	joinGroup = `
insert into scim_members (source, group_id, member_id, type, display)
select $1, $2, value ->> 'ID', value ->> 'Type', value ->> 'Display' from json_each($3) where true
on conflict (source, group_id, member_id) do nothing`
	joinAnew = `
insert into scim_members (source, group_id, member_id, type, display)
select $1, $2, value ->> 'ID', value ->> 'Type', value ->> 'Display' from json_each($3) where true
on conflict (source, group_id, member_id) do update set type = excluded.type, display = excluded.display
where (scim_members.type, scim_members.display) <> (excluded.type, excluded.display)`
)

func writeMembers(ctx context.Context, tx *sql.Tx, w *state.ResourceWrite) error {
	change := func(query string, members []state.Member) error {
		_, err := tx.ExecContext(ctx, query, w.Source, w.ID, list(members))
		return err
	}
	join := joinGroup
	if w.LeaveAll {
		if err := change(leaveOthers, w.Join); err != nil {
			return err
		}
		join = joinAnew
	}
	if len(w.Leave) > 0 {
		if err := change(leaveGroup, w.Leave); err != nil {
			return err
		}
	}
	if len(w.Join) > 0 {
		return change(join, w.Join)
	}
	return nil
}

const selectMembers = `select group_id, member_id, type, display from scim_members`

// Members implements state.ResourceStore.
func (s *Store) Members(ctx context.Context, source string, groups []string) ([]state.Member, error) {
	if err := state.CheckText("list members", append([]string{source}, groups...)...); err != nil {
		return nil, err
	}
	var w where
	w.and("source = $%d", source)
	w.and("group_id in (select value from json_each($%d))", list(groups))
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
		w.and("member_id in (select value from json_each($%d))", list(members))
	}
	return collect(ctx, s, "list memberships", selectMembers+w.String()+" order by member_id, group_id", w.args, scanMember)
}

func scanMember(rows *sql.Rows) (state.Member, error) {
	var m state.Member
	err := rows.Scan(&m.Group, &m.ID, &m.Type, &m.Display)
	return m, err
}
