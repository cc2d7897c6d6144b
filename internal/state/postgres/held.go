package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

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

const selectHeld = `select source, anchor, run_id, ops from held order by source, anchor`

// Held implements state.Store.
func (s *Store) Held(ctx context.Context) ([]state.HeldItem, error) {
	return collect(ctx, s, "list what is held", selectHeld, nil, func(row pgx.CollectableRow) (state.HeldItem, error) {
		var h state.HeldItem
		var ops []byte
		if err := row.Scan(&h.Key.Source, &h.Key.Anchor, &h.Run, &ops); err != nil {
			return h, err
		}
		return h, state.Decode(ops, &h.Ops)
	})
}
