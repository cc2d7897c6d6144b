-- What lets a run pass over the links that need nothing.

-- +goose Up

-- When a switched-off account or a removed role was last written and not yet
-- seen to last; null = nothing is waited for.
alter table links add column recheck_at integer;
alter table links add column undone integer not null default 0;

-- state.Digest under which nothing was to be done; any other write of the link
-- takes it away.
alter table links add column settled blob check (length(settled) = 16);

-- Whether the observed account is active, beside its JSON, because every run
-- asks this of every link; null = not observed.
alter table links add column observed_active integer check (observed_active in (0, 1));

update links set observed_active = coalesce(json_extract(observed, '$.delete_at'), 0) = 0
where observed is not null;
