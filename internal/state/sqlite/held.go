package sqlite

import (
	"context"
	"database/sql"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

const upsertHeld = `
insert into held (source, anchor, run_id, ops) values ($1, $2, $3, $4)
on conflict (source, anchor) do update set
    run_id = case when held.ops = excluded.ops then held.run_id else excluded.run_id end, ops = excluded.ops`

const deleteHeld = `delete from held where source = $1 and anchor = $2`

func putHeld(ctx context.Context, tx *sql.Tx, c state.SightingChanges) error {
	err := each(ctx, tx, upsertHeld, c.Held, func(h *state.HeldItem) ([]any, error) {
		ops, err := state.Encode(h.Ops)
		return []any{h.Key.Source, h.Key.Anchor, h.Run, ops}, err
	})
	if err != nil {
		return err
	}
	return each(ctx, tx, deleteHeld, c.Released, func(k *identity.Key) ([]any, error) {
		return []any{k.Source, k.Anchor}, nil
	})
}

const selectHeld = `select source, anchor, run_id, ops from held order by source, anchor`

// Held implements state.Store.
func (s *Store) Held(ctx context.Context) ([]state.HeldItem, error) {
	return collect(ctx, s, "list what is held", selectHeld, nil, func(rows *sql.Rows) (state.HeldItem, error) {
		var h state.HeldItem
		var ops sql.RawBytes
		if err := rows.Scan(&h.Key.Source, &h.Key.Anchor, &h.Run, &ops); err != nil {
			return h, err
		}
		return h, state.Decode(ops, &h.Ops)
	})
}
