-- Times are integers: microseconds since 1970, UTC; null means never.
-- Columns with JSON hold the Go types named beside them.

-- +goose Up
-- +goose StatementBegin

-- Who may plan and write. Rows stay for ever, so that tokens only rise.
create table leases (
    name       text    not null primary key,
    holder     text    not null,
    token      integer not null unique,
    expires_at integer not null
) strict;

-- The server and the directories this store was made with.
create table bindings (
    name     text not null primary key,
    id       text not null,
    note     text not null,
    bound_at integer
) strict;

-- Ownership: this key is this account.
create table links (
    source         text    not null,
    anchor         text    not null,
    account_id     text    not null,
    part           text    not null check (part in ('owner', 'contributor')),
    origin         text    not null,
    ref            text    not null,
    applied        text    not null, -- identity.Applied
    observed       text,             -- identity.Account
    deactivated_at integer not null, -- the server's milliseconds; 0 = not by us
    written_at     integer,
    created_at     integer,
    updated_at     integer,
    primary key (source, anchor)
) strict;

create unique index links_one_owner on links (account_id) where part = 'owner';
create index links_account on links (account_id);

-- Every key an account was ever linked to; rows outlive their links.
create table past_links (
    account_id text not null,
    source     text not null,
    anchor     text not null,
    since      integer,
    primary key (account_id, source, anchor)
) strict, without rowid;

create table runs (
    id           text    not null primary key,
    kind         text    not null,
    triggered_by text    not null,
    requested_by text    not null,
    reason       text    not null,
    options      text    not null,
    status       text    not null,
    token        integer not null,
    digest       text    not null,
    policy       text    not null,
    requested_at integer,
    started_at   integer,
    planned_at   integer,
    finished_at  integer,
    counts       text    not null, -- state.Counts
    message      text    not null,
    sources      text    not null, -- []plan.SourceSummary
    target       text    not null  -- plan.TargetSummary
) strict;

create index runs_open on runs (status) where status in ('requested', 'planning', 'applying');

create table decisions (
    run_id     text    not null references runs (id) on delete cascade,
    position   integer not null,
    source     text    not null,
    anchor     text    not null,
    ref        text    not null,
    action     text    not null,
    reason     text    not null,
    account_id text    not null,
    username   text    not null,
    detail     text    not null,
    due_at     integer,
    held       text    not null,
    notes      text,             -- []plan.Note
    chain      integer not null,
    primary key (run_id, position)
) strict, without rowid;

create index decisions_key on decisions (source, anchor);

-- The journal of calls: pending, then sent before the call, then closed.
create table ops (
    run_id       text    not null,
    decision     integer not null,
    position     integer not null,
    kind         text    not null,
    op           text    not null, -- plan.Op
    account_id   text    not null,
    status       text    not null,
    token        integer not null, -- of the lease it was sent under
    planned_at   integer,
    sent_at      integer,
    closed_at    integer,
    before_image text,             -- identity.Account
    after_image  text,             -- identity.Account
    error        text    not null,
    primary key (run_id, decision, position),
    foreign key (run_id, decision) references decisions (run_id, position) on delete cascade
) strict, without rowid;

create index ops_unclosed on ops (status) where status in ('pending', 'sent');
create index ops_account on ops (account_id);
create index ops_planned on ops (planned_at);
create index ops_active on ops (closed_at) where kind in ('set_active', 'revoke_sessions');

-- Keys that complete reads miss.
create table sightings (
    source       text    not null,
    anchor       text    not null,
    missed_since integer,
    reads        integer not null,
    last_read_at integer,
    primary key (source, anchor)
) strict;

create table reads (
    id       integer primary key,
    source   text    not null,
    read_at  integer,
    entries  integer not null,
    faults   integer not null,
    complete integer not null check (complete in (0, 1)),
    doubt    text    not null,
    took_ns  integer not null
) strict;

create index reads_recent on reads (source, read_at);

create table marks (
    name        text    not null primary key,
    value       integer not null, -- the server's milliseconds
    server_date integer,
    set_at      integer
) strict;

-- All accounts as the last audit saw them, linked or not.
create table account_index (
    id           text    not null primary key,
    username     text    not null,
    email        text    not null,
    auth_service text    not null,
    auth_data    text    not null,
    active       integer not null check (active in (0, 1)),
    bot          integer not null check (bot in (0, 1)),
    remote       integer not null check (remote in (0, 1)),
    admin        integer not null check (admin in (0, 1)),
    owner_id     text    not null, -- of a bot
    seen_at      integer
) strict;

create index account_index_auth on account_index (auth_service, auth_data);

create table protected_accounts (
    id              text not null primary key,
    pattern         text not null,
    protected_since integer
) strict;
-- +goose StatementEnd
