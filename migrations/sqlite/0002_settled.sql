-- What lets a run pass over the links that need nothing.

-- +goose Up
-- +goose StatementBegin

-- When an op was marked as sent by the store's own clock: sent_at is the server's.
alter table ops add column marked_at integer;

-- When the account was last switched off or lost a role, and that was not yet
-- seen to last; null = nothing is waited for.
alter table links add column recheck_at integer;
alter table links add column undone integer not null default 0;

-- What every run reads of every link, written with it. A table of its own,
-- because settling a hundred thousand of them would else rewrite all they hold.
create table link_heads (
    source          text not null,
    anchor          text not null,
    account_id      text not null,
    part            text not null,
    ref             text not null,
    observed_active integer check (observed_active in (0, 1)), -- null = not observed
    written_at      integer,
    recheck_at      integer,
    settled         blob check (length(settled) = 16),         -- state.Digest
    primary key (source, anchor)
) strict, without rowid;

insert into link_heads (source, anchor, account_id, part, ref, observed_active, written_at)
select source, anchor, account_id, part, ref,
    case when observed is not null then coalesce(json_extract(observed, '$.delete_at'), 0) = 0 end, written_at
from links order by source, anchor;
-- +goose StatementEnd
