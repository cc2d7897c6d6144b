package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

const upsertHeld = `
insert into held (source, anchor, run_id, ops)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[])
on conflict (source, anchor) do update set
    run_id = case when held.ops = excluded.ops then held.run_id else excluded.run_id end, ops = excluded.ops`

const deleteHeld = `
delete from held where (source, anchor) in (select * from unnest($1::text[], $2::text[]))`

func putHeld(ctx context.Context, tx pgx.Tx, c state.SightingChanges) error {
	var sources, anchors, runs, ops []string
	for i := range c.Held {
		h := &c.Held[i]
		text, err := state.Encode(h.Ops)
		if err != nil {
			return err
		}
		sources, anchors = append(sources, h.Key.Source), append(anchors, h.Key.Anchor)
		runs, ops = append(runs, h.Run), append(ops, text)
	}
	var b pgx.Batch
	b.Queue(upsertHeld, sources, anchors, runs, ops)
	sources, anchors = columns(c.Released)
	b.Queue(deleteHeld, sources, anchors)
	return tx.SendBatch(ctx, &b).Close()
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

func queueHeld(b *pgx.Batch, o *state.Outcome) {
	run, decision := o.Ref.Run, o.Ref.Decision
	if o.Link == nil {
		b.Queue(dropHeld, run, decision)
		return
	}
	b.Queue(yieldHeld, run, decision, o.Link.Key.Source, o.Link.Key.Anchor)
	b.Queue(moveHeld, run, decision, o.Link.Key.Source, o.Link.Key.Anchor)
}

const selectHeld = `select source, anchor, run_id, ops from held`

const heldOf = ` where (source, anchor) in (select * from unnest($1::text[], $2::text[]))`

const heldOrder = ` order by source, anchor`

// Held implements state.Store.
func (s *Store) Held(ctx context.Context, keys ...identity.Key) ([]state.HeldItem, error) {
	if err := state.CheckLinkFilter(state.LinkFilter{Keys: keys}); err != nil {
		return nil, fmt.Errorf("list what is held: %w", err)
	}
	query, args := selectHeld, []any(nil)
	if len(keys) > 0 {
		sources, anchors := columns(keys)
		query, args = query+heldOf, []any{sources, anchors}
	}
	return collect(ctx, s, "list what is held", query+heldOrder, args, func(row pgx.CollectableRow) (state.HeldItem, error) {
		var h state.HeldItem
		var ops []byte
		if err := row.Scan(&h.Key.Source, &h.Key.Anchor, &h.Run, &ops); err != nil {
			return h, err
		}
		return h, state.Decode(ops, &h.Ops)
	})
}
