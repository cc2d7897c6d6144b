package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

const selectLinks = `
select source, anchor, account_id, part, origin, ref, applied, observed,
    deactivated_at, written_at, recheck_at, undone, created_at, updated_at
from links`

// Links implements state.Store.
func (s *Store) Links(ctx context.Context, f state.LinkFilter) ([]identity.Link, error) {
	if err := state.CheckLinkFilter(f); err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	var w where
	if f.Source != "" {
		w.and("source = $%d", f.Source)
	}
	if len(f.Keys) > 0 {
		sources, anchors := columns(f.Keys)
		w.and("(source, anchor) in (select * from unnest($%d::text[], $%d::text[]))", sources, anchors)
	}
	if len(f.AccountIDs) > 0 {
		w.and("account_id = any($%d)", f.AccountIDs)
	}
	if f.Undone > 0 {
		w.and("undone >= $%d", f.Undone)
	}
	if f.OffSince > 0 {
		w.and("deactivated_at >= $%d", f.OffSince)
	}
	return collect(ctx, s, "list links", selectLinks+w.String()+" order by source, anchor", w.args, scanLink)
}

func columns(keys []identity.Key) (sources, anchors []string) {
	for _, k := range keys {
		sources, anchors = append(sources, k.Source), append(anchors, k.Anchor)
	}
	return sources, anchors
}

func scanLink(row pgx.CollectableRow) (identity.Link, error) {
	var l identity.Link
	var applied, observed []byte
	var written, recheck, created, updated instant
	err := row.Scan(&l.Key.Source, &l.Key.Anchor, &l.AccountID, &l.Part, &l.Origin, &l.Ref, &applied, &observed,
		&l.DeactivatedAt, &written, &recheck, &l.Undone, &created, &updated)
	if err != nil {
		return l, err
	}
	l.Written, l.Recheck = written.Time, recheck.Time
	l.CreatedAt, l.UpdatedAt = created.Time, updated.Time
	if l.Applied, err = state.DecodeApplied(applied); err != nil {
		return l, fmt.Errorf("link of %s: %w", l.Key, err)
	}
	if l.Observed, err = state.DecodeAccount(observed); err != nil {
		return l, fmt.Errorf("link of %s: %w", l.Key, err)
	}
	return l, nil
}

// yieldLinks takes ownership from Keys that are about to get another account or
// part, so that the order of a list does not matter.
const yieldLinks = `
update links set part = 'contributor'
from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as n (source, anchor, account_id, part)
where links.source = n.source and links.anchor = n.anchor and links.part = 'owner'
    and (links.account_id <> n.account_id or n.part <> 'owner')`

const upsertLinks = `
insert into links (source, anchor, account_id, part, origin, ref, applied, observed,
    deactivated_at, written_at, recheck_at, undone, created_at, updated_at)
select source, anchor, account_id, part, origin, ref, applied::json, observed::json,
    deactivated_at, written_at, recheck_at, undone, created_at, updated_at
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::bigint[], $10::timestamptz[], $11::timestamptz[], $12::bigint[], $13::timestamptz[], $14::timestamptz[])
    as n (source, anchor, account_id, part, origin, ref, applied, observed,
        deactivated_at, written_at, recheck_at, undone, created_at, updated_at)
on conflict (source, anchor) do update set
    account_id = excluded.account_id, part = excluded.part, origin = excluded.origin,
    ref = excluded.ref, applied = excluded.applied, observed = excluded.observed,
    deactivated_at = excluded.deactivated_at, written_at = excluded.written_at,
    recheck_at = excluded.recheck_at, undone = excluded.undone, updated_at = excluded.updated_at`

const insertPastLinks = `
insert into past_links (account_id, source, anchor, since)
select * from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[])
on conflict do nothing`

// linksAtOnce bounds the size of one message to the server: a link has about
// 1 kB.
const linksAtOnce = 5000

// PutLinks implements state.Store.
func (s *Store) PutLinks(ctx context.Context, l state.Lease, links []identity.Link) error {
	if err := state.CheckLinks(links); err != nil {
		return fmt.Errorf("put links: %w", err)
	}
	err := s.write(ctx, "put links", func(ctx context.Context, tx pgx.Tx) error {
		if err := glance(ctx, tx, l); err != nil {
			return err
		}
		// All Keys yield before one takes: a swap may lie in two parts of the list.
		for part := range slices.Chunk(links, linksAtOnce) {
			var b pgx.Batch
			queueYields(&b, part)
			if err := tx.SendBatch(ctx, &b).Close(); err != nil {
				return err
			}
		}
		for part := range slices.Chunk(links, linksAtOnce) {
			var b pgx.Batch
			if err := queueLinks(&b, part); err != nil {
				return err
			}
			if err := tx.SendBatch(ctx, &b).Close(); err != nil {
				return err
			}
		}
		return fence(ctx, tx, l)
	})
	return s.explainOwner(ctx, err, links)
}

func queueYields(b *pgx.Batch, links []identity.Link) {
	var source, anchor, account, part []string
	for i := range links {
		l := &links[i]
		source, anchor = append(source, l.Key.Source), append(anchor, l.Key.Anchor)
		account, part = append(account, l.AccountID), append(part, string(l.Part))
	}
	b.Queue(yieldLinks, source, anchor, account, part)
}

func queueLinks(b *pgx.Batch, links []identity.Link) error {
	n := len(links)
	source, anchor, account := make([]string, n), make([]string, n), make([]string, n)
	part, origin, ref := make([]string, n), make([]string, n), make([]string, n)
	applied, observed := make([]string, n), make([]*string, n)
	active := make([]*bool, n)
	deactivated, undone := make([]int64, n), make([]int64, n)
	written, recheck := make([]*time.Time, n), make([]*time.Time, n)
	created, updated := make([]*time.Time, n), make([]*time.Time, n)
	for i := range links {
		l := &links[i]
		source[i], anchor[i], account[i] = l.Key.Source, l.Key.Anchor, l.AccountID
		part[i], origin[i], ref[i] = string(l.Part), string(l.Origin), l.Ref
		active[i] = observedActive(l)
		deactivated[i], undone[i] = l.DeactivatedAt, int64(l.Undone)
		written[i], recheck[i] = stamp(l.Written), stamp(l.Recheck)
		created[i], updated[i] = stamp(l.CreatedAt), stamp(l.UpdatedAt)
		var err error
		if applied[i], err = state.Encode(&l.Applied); err != nil {
			return err
		}
		if observed[i], err = nullable(l.Observed, l.Observed == nil); err != nil {
			return err
		}
	}
	b.Queue(upsertLinks, source, anchor, account, part, origin, ref, applied, observed,
		deactivated, written, recheck, undone, created, updated)
	b.Queue(upsertHeads, source, anchor, account, part, ref, active, written, recheck)
	b.Queue(insertPastLinks, account, source, anchor, updated)
	return nil
}

// explainOwner turns a violated one-owner index into ErrConflict that names who
// owns the account.
func (s *Store) explainOwner(ctx context.Context, err error, links []identity.Link) error {
	if code(err) != codeUnique {
		return err
	}
	ids := make([]string, len(links))
	for i := range links {
		ids[i] = links[i].AccountID
	}
	stored, lerr := s.Links(ctx, state.LinkFilter{AccountIDs: ids})
	if lerr == nil {
		if named := state.SecondOwner(links, stored); named != nil {
			return fmt.Errorf("put links: %w", named)
		}
	}
	return fmt.Errorf("%w: %w", state.ErrConflict, err)
}

const selectPastLinks = `
select source, anchor, account_id, since from past_links
where account_id = any($1)
order by account_id, source, anchor`

// PastLinks implements state.Store.
func (s *Store) PastLinks(ctx context.Context, accountIDs []string) ([]state.PastLink, error) {
	if err := state.CheckText("list past links", accountIDs...); err != nil {
		return nil, err
	}
	return collect(ctx, s, "list past links", selectPastLinks, []any{accountIDs},
		func(row pgx.CollectableRow) (state.PastLink, error) {
			var p state.PastLink
			var since instant
			err := row.Scan(&p.Key.Source, &p.Key.Anchor, &p.AccountID, &since)
			p.Since = since.Time
			return p, err
		})
}
