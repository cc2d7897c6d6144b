-- What lets a run pass over the links that need nothing.

-- +goose Up

-- When a switched-off account or a removed role was last written and not yet
-- seen to last; null = nothing is waited for.
alter table links add column recheck_at timestamptz;
alter table links add column undone bigint not null default 0;

-- state.Digest under which nothing was to be done; any other write of the link
-- takes it away.
alter table links add column settled bytea check (octet_length(settled) = 16);

-- Whether the observed account is active, beside its JSON, because every run
-- asks this of every link; null = not observed.
alter table links add column observed_active boolean;

update links set observed_active = coalesce((observed ->> 'delete_at')::bigint, 0) = 0
where observed is not null;
