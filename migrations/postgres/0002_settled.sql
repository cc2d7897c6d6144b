-- What lets a run pass over the links that need nothing.

-- +goose Up
-- +goose StatementBegin

-- When an op was marked as sent by the store's own clock: sent_at is the server's.
alter table ops add column marked_at timestamptz;

-- When the account was last switched off or lost a role, and that was not yet
-- seen to last; null = nothing is waited for.
alter table links add column recheck_at timestamptz;
alter table links add column undone bigint not null default 0;

-- What every run reads of every link, written with it. A table of its own,
-- because settling a hundred thousand of them would else rewrite all they hold;
-- half filled, because then the new rows fit beside the old ones.
create table link_heads (
    source          text collate "C" not null,
    anchor          text collate "C" not null,
    account_id      text collate "C" not null,
    part            text             not null,
    ref             text             not null,
    observed_active boolean,                                  -- null = not observed
    written_at      timestamptz,
    recheck_at      timestamptz,
    settled         bytea check (octet_length(settled) = 16), -- state.Digest
    primary key (source, anchor)
) with (fillfactor = 50);

insert into link_heads (source, anchor, account_id, part, ref, observed_active, written_at)
select source, anchor, account_id, part, ref,
    case when observed is not null then coalesce((observed ->> 'delete_at')::bigint, 0) = 0 end, written_at
from links order by source, anchor;
-- +goose StatementEnd
