package sqlite

import (
	"context"
	"database/sql"
	"fmt"

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
		w.and("(source, anchor) in (select value ->> 'source', value ->> 'anchor' from json_each($%d))", list(f.Keys))
	}
	if len(f.AccountIDs) > 0 {
		w.and("account_id in (select value from json_each($%d))", list(f.AccountIDs))
	}
	if f.Undone > 0 {
		w.and("undone >= $%d", f.Undone)
	}
	if f.OffSince > 0 {
		w.and("deactivated_at >= $%d", f.OffSince)
	}
	return collect(ctx, s, "list links", selectLinks+w.String()+" order by source, anchor", w.args, scanLink)
}

func scanLink(rows *sql.Rows) (identity.Link, error) {
	var l identity.Link
	var applied, observed sql.RawBytes
	var written, recheck, created, updated instant
	err := rows.Scan(&l.Key.Source, &l.Key.Anchor, &l.AccountID, &l.Part, &l.Origin, &l.Ref, &applied, &observed,
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

// yieldLink takes ownership from a Key that is about to get another account or
// part, so that the order of a list does not matter.
const yieldLink = `
update links set part = 'contributor'
where source = $1 and anchor = $2 and part = 'owner' and (account_id <> $3 or $4 <> 'owner')`

const upsertLink = `
insert into links (source, anchor, account_id, part, origin, ref, applied, observed,
    deactivated_at, written_at, recheck_at, undone, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
on conflict (source, anchor) do update set
    account_id = excluded.account_id, part = excluded.part, origin = excluded.origin,
    ref = excluded.ref, applied = excluded.applied, observed = excluded.observed,
    deactivated_at = excluded.deactivated_at, written_at = excluded.written_at,
    recheck_at = excluded.recheck_at, undone = excluded.undone, updated_at = excluded.updated_at`

const insertPastLink = `
insert into past_links (account_id, source, anchor, since) values ($1, $2, $3, $4)
on conflict do nothing`

// PutLinks implements state.Store.
func (s *Store) PutLinks(ctx context.Context, l state.Lease, links []identity.Link) error {
	if err := state.CheckLinks(links); err != nil {
		return fmt.Errorf("put links: %w", err)
	}
	err := s.write(ctx, "put links", func(tx *sql.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		return putLinks(ctx, tx, links)
	})
	return s.explainOwner(ctx, err, links)
}

func putLinks(ctx context.Context, tx *sql.Tx, links []identity.Link) error {
	err := each(ctx, tx, yieldLink, links, func(l *identity.Link) ([]any, error) {
		return []any{l.Key.Source, l.Key.Anchor, l.AccountID, string(l.Part)}, nil
	})
	if err != nil {
		return err
	}
	err = each(ctx, tx, upsertLink, links, func(l *identity.Link) ([]any, error) {
		applied, err := state.Encode(&l.Applied)
		if err != nil {
			return nil, err
		}
		observed, err := nullable(l.Observed, l.Observed == nil)
		return []any{
			l.Key.Source, l.Key.Anchor, l.AccountID, string(l.Part), string(l.Origin), l.Ref, applied, observed,
			l.DeactivatedAt, stamp(l.Written), stamp(l.Recheck), l.Undone, stamp(l.CreatedAt), stamp(l.UpdatedAt),
		}, err
	})
	if err != nil {
		return err
	}
	if err := putHeads(ctx, tx, links); err != nil {
		return err
	}
	return each(ctx, tx, insertPastLink, links, func(l *identity.Link) ([]any, error) {
		return []any{l.AccountID, l.Key.Source, l.Key.Anchor, stamp(l.UpdatedAt)}, nil
	})
}

// each runs one prepared statement for every item.
func each[T any](ctx context.Context, tx *sql.Tx, query string, items []T, args func(*T) ([]any, error)) error {
	if len(items) == 0 {
		return nil
	}
	stmt, err := tx.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer stmt.Close()
	// The driver starts a goroutine to watch the context of each statement, which
	// takes longer than the statement; between two of them is soon enough.
	unwatched := context.WithoutCancel(ctx)
	for i := range items {
		a, err := args(&items[i])
		if err != nil {
			return err
		}
		_, err = stmt.ExecContext(unwatched, a...)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// explainOwner turns a violated one-owner index into ErrConflict that names who
// owns the account.
func (s *Store) explainOwner(ctx context.Context, err error, links []identity.Link) error {
	if !unique(err) {
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
where account_id in (select value from json_each($1))
order by account_id, source, anchor`

// PastLinks implements state.Store.
func (s *Store) PastLinks(ctx context.Context, accountIDs []string) ([]state.PastLink, error) {
	if err := state.CheckText("list past links", accountIDs...); err != nil {
		return nil, err
	}
	return collect(ctx, s, "list past links", selectPastLinks, []any{list(accountIDs)},
		func(rows *sql.Rows) (state.PastLink, error) {
			var p state.PastLink
			var since instant
			err := rows.Scan(&p.Key.Source, &p.Key.Anchor, &p.AccountID, &since)
			p.Since = since.Time
			return p, err
		})
}
