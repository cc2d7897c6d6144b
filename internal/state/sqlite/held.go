package sqlite

import (
	"context"
	"database/sql"
	"fmt"

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

// What is held of a Key goes with its link: to the Key that gets it, instead of what
// is held of that one, or away with it.
const yieldHeld = `
delete from held where source = $3 and anchor = $4 and exists (
    select 1 from held h join decisions d on d.source = h.source and d.anchor = h.anchor
    where d.run_id = $1 and d.position = $2 and not (h.source = $3 and h.anchor = $4))`

const moveHeld = `
update held set source = $3, anchor = $4
where (source, anchor) = (select source, anchor from decisions where run_id = $1 and position = $2)`

const dropHeld = `
delete from held
where (source, anchor) = (select source, anchor from decisions where run_id = $1 and position = $2)`

func followHeld(ctx context.Context, tx *sql.Tx, o *state.Outcome) error {
	run, decision := o.Ref.Run, o.Ref.Decision
	if o.Link == nil {
		_, err := tx.ExecContext(ctx, dropHeld, run, decision)
		return err
	}
	if _, err := tx.ExecContext(ctx, yieldHeld, run, decision, o.Link.Key.Source, o.Link.Key.Anchor); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, moveHeld, run, decision, o.Link.Key.Source, o.Link.Key.Anchor)
	return err
}

const selectHeld = `select source, anchor, run_id, ops from held`

const heldOf = ` where (source, anchor) in (select value ->> 'source', value ->> 'anchor' from json_each($1))`

const heldOrder = ` order by source, anchor`

// Held implements state.Store.
func (s *Store) Held(ctx context.Context, keys ...identity.Key) ([]state.HeldItem, error) {
	if err := state.CheckLinkFilter(state.LinkFilter{Keys: keys}); err != nil {
		return nil, fmt.Errorf("list what is held: %w", err)
	}
	query, args := selectHeld, []any(nil)
	if len(keys) > 0 {
		query, args = query+heldOf, []any{list(keys)}
	}
	return collect(ctx, s, "list what is held", query+heldOrder, args, func(rows *sql.Rows) (state.HeldItem, error) {
		var h state.HeldItem
		var ops sql.RawBytes
		if err := rows.Scan(&h.Key.Source, &h.Key.Anchor, &h.Run, &ops); err != nil {
			return h, err
		}
		return h, state.Decode(ops, &h.Ops)
	})
}
