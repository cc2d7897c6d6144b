package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/mmsync/mmsync/internal/state"
)

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
