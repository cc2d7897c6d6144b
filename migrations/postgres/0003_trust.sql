-- What an operator says about plans and people, and a history that shows whether
-- somebody changed it.

-- +goose Up
-- +goose StatementBegin

-- What a hold keeps back, and the verdict that lets a decision past the guards.
alter table decisions add column withheld json; -- []plan.Op
alter table decisions add column approval text not null default '';
-- What a plan that was saved would do; null for runs that write.
alter table decisions add column planned json; -- []plan.Op

-- The guards' classes that an op counts in, blank-separated and sorted.
alter table ops add column classes text not null default '';
-- The batch of the audit that an op or a run was sealed in; null = not yet.
alter table ops add column sealed_in bigint;
alter table runs add column sealed_in bigint;

update ops set classes = 'deactivations'
from decisions d
where d.run_id = ops.run_id and d.position = ops.decision
    and (ops.kind, d.action) in (('set_active', 'deactivate'), ('revoke_sessions', 'hold'));

create index ops_counted on ops (closed_at) where classes <> '';
create index ops_unsealed on ops (closed_at) where sealed_in is null;
create index runs_unsealed on runs (finished_at) where sealed_in is null and kind <> 'plan' and kind <> 'sync';
drop index ops_active;

-- Approvals and rejections of what a run held back.
create table verdicts (
    id         text collate "C" not null primary key,
    run_id     text collate "C" not null, -- whose held items it is about
    approves   boolean          not null,
    reason     text             not null,
    made_by    text             not null,
    server     text             not null, -- plan.Facts.ServerID
    policy     text             not null, -- digest of the configuration in force
    made_at    timestamptz,
    expires_at timestamptz,               -- null = never
    closed_at  timestamptz,               -- used, expired or taken back; null = in force
    closed_by  text             not null  -- the run or the person that closed it
);

create index verdicts_open on verdicts (made_at) where closed_at is null;

create table verdict_items (
    verdict_id text collate "C" not null references verdicts (id) on delete cascade,
    position   bigint           not null,
    source     text collate "C" not null,
    anchor     text collate "C" not null,
    account_id text collate "C" not null,
    username   text             not null,
    action     text             not null,
    ops        json             not null, -- []plan.Op
    used_by    text             not null, -- the run that carried it out; '' = none
    primary key (verdict_id, position)
);

-- What an operator stopped (kind hold) or switched off (kind off): everything, a
-- source, or a person.
create table stops (
    id         text collate "C" not null primary key,
    kind       text             not null check (kind in ('hold', 'off')),
    source     text collate "C" not null, -- '' = all
    anchor     text collate "C" not null, -- '' = all of the source
    reason     text             not null,
    made_by    text             not null,
    run_id     text collate "C" not null, -- the run that made it; '' = a person
    made_at    timestamptz,
    expires_at timestamptz,               -- null = never
    ended_at   timestamptz,               -- null = in force
    ended_by   text             not null
);

create index stops_open on stops (source, anchor) where ended_at is null;
create index stops_run on stops (run_id) where run_id <> '';

-- Matches that an operator said are not the same person.
create table refused_matches (
    source     text collate "C" not null,
    anchor     text collate "C" not null,
    account_id text collate "C" not null,
    reason     text             not null,
    made_by    text             not null,
    made_at    timestamptz,
    primary key (source, anchor, account_id)
);

-- What the guards hold of people until somebody decides about it.
create table held (
    source text collate "C" not null,
    anchor text collate "C" not null,
    run_id text collate "C" not null, -- in which it was first held
    ops    text             not null, -- []plan.Op
    primary key (source, anchor)
);

-- What was done, in order, sealed in batches.
create table audit_batches (
    id        bigint           not null primary key, -- from 1 on, without gaps
    run_id    text collate "C" not null,
    first_row bigint           not null,
    rows      bigint           not null,
    root      bytea            not null,             -- over the rows' digests
    previous  bytea            not null,             -- seal of the batch before; empty for the first
    seal      bytea            not null,             -- keyed, over all of the above
    sealed_at timestamptz,
    pruned_at timestamptz,                           -- null = its rows are there
    prune_mac bytea                                  -- keyed, over seal and pruned_at
);

create table audit_rows (
    id              bigint           not null primary key, -- from 1 on, without gaps
    batch           bigint           not null references audit_batches (id),
    happened_at     timestamptz,
    kind            text             not null,
    run_id          text collate "C" not null,
    source          text collate "C" not null,             -- '' = about a run as a whole
    anchor          text collate "C" not null,
    account_id      text collate "C" not null,
    body            text             not null,             -- audit.Body, without personal values
    personal        text,                                  -- audit.Personal; null = forgotten
    salt            bytea,                                 -- null = forgotten
    personal_digest bytea            not null,             -- over salt and personal
    digest          bytea            not null,             -- over all of the above but salt and personal
    forget_mac      bytea                                  -- keyed; null = not forgotten
);

create index audit_rows_key on audit_rows (source, anchor);
create index audit_rows_run on audit_rows (run_id);
create index audit_rows_batch on audit_rows (batch);
-- +goose StatementEnd
