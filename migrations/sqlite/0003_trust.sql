-- What an operator says about plans and people, and a history that shows whether
-- somebody changed it.

-- +goose Up
-- +goose StatementBegin

-- What a hold keeps back, and the verdict that lets a decision past the guards.
alter table decisions add column withheld text; -- []plan.Op
alter table decisions add column approval text not null default '';
-- What a plan that was saved would do; null for runs that write.
alter table decisions add column planned text; -- []plan.Op

-- The guards' classes that an op counts in, blank-separated and sorted.
alter table ops add column classes text not null default '';
-- The batch of the audit that an op or a run was sealed in; null = not yet.
alter table ops add column sealed_in integer;
alter table runs add column sealed_in integer;

update ops set classes = 'deactivations'
where exists (select 1 from decisions d where d.run_id = ops.run_id and d.position = ops.decision
    and (ops.kind, d.action) in (values ('set_active', 'deactivate'), ('revoke_sessions', 'hold')));

create index ops_counted on ops (closed_at) where classes <> '';
create index ops_unsealed on ops (closed_at) where sealed_in is null;
create index runs_unsealed on runs (finished_at) where sealed_in is null and kind <> 'plan' and kind <> 'sync';
drop index ops_active;

-- Approvals and rejections of what a run held back.
create table verdicts (
    id         text    not null primary key,
    run_id     text    not null, -- whose held items it is about
    approves   integer not null check (approves in (0, 1)),
    reason     text    not null,
    made_by    text    not null,
    server     text    not null, -- plan.Facts.ServerID
    policy     text    not null, -- digest of the configuration in force
    made_at    integer,
    expires_at integer,          -- null = never
    closed_at  integer,          -- used, expired or taken back; null = in force
    closed_by  text    not null  -- the run or the person that closed it
) strict;

create index verdicts_open on verdicts (made_at) where closed_at is null;

create table verdict_items (
    verdict_id text    not null references verdicts (id) on delete cascade,
    position   integer not null,
    source     text    not null,
    anchor     text    not null,
    account_id text    not null,
    username   text    not null,
    action     text    not null,
    ops        text    not null, -- []plan.Op
    used_by    text    not null, -- the run that carried it out; '' = none
    primary key (verdict_id, position)
) strict, without rowid;

-- What an operator stopped (kind hold) or switched off (kind off): everything, a
-- source, or a person.
create table stops (
    id         text    not null primary key,
    kind       text    not null check (kind in ('hold', 'off')),
    source     text    not null, -- '' = all
    anchor     text    not null, -- '' = all of the source
    reason     text    not null,
    made_by    text    not null,
    run_id     text    not null, -- the run that made it; '' = a person
    made_at    integer,
    expires_at integer,          -- null = never
    ended_at   integer,          -- null = in force
    ended_by   text    not null
) strict;

create index stops_open on stops (source, anchor) where ended_at is null;
create index stops_run on stops (run_id) where run_id <> '';

-- Matches that an operator said are not the same person.
create table refused_matches (
    source     text not null,
    anchor     text not null,
    account_id text not null,
    reason     text not null,
    made_by    text not null,
    made_at    integer,
    primary key (source, anchor, account_id)
) strict, without rowid;

-- What the guards hold of people until somebody decides about it.
create table held (
    source text not null,
    anchor text not null,
    run_id text not null, -- in which it was first held
    ops    text not null, -- []plan.Op
    primary key (source, anchor)
) strict, without rowid;

-- What was done, in order, sealed in batches.
create table audit_batches (
    id        integer not null primary key, -- from 1 on, without gaps
    run_id    text    not null,
    first_row integer not null,
    rows      integer not null,
    root      blob    not null,             -- over the rows' digests
    previous  blob    not null,             -- seal of the batch before; empty for the first
    seal      blob    not null,             -- keyed, over all of the above
    sealed_at integer,
    pruned_at integer,                      -- null = its rows are there
    prune_mac blob                          -- keyed, over seal and pruned_at
) strict;

create table audit_rows (
    id              integer not null primary key, -- from 1 on, without gaps
    batch           integer not null references audit_batches (id),
    happened_at     integer,
    kind            text    not null,
    run_id          text    not null,
    source          text    not null,             -- '' = about a run as a whole
    anchor          text    not null,
    account_id      text    not null,
    body            text    not null,             -- audit.Body, without personal values
    personal        text,                         -- audit.Personal; null = forgotten
    salt            blob,                         -- null = forgotten
    personal_digest blob    not null,             -- over salt and personal
    digest          blob    not null,             -- over all of the above but salt and personal
    forget_mac      blob                          -- keyed; null = not forgotten
) strict;

create index audit_rows_key on audit_rows (source, anchor);
create index audit_rows_run on audit_rows (run_id);
create index audit_rows_batch on audit_rows (batch);
-- +goose StatementEnd
