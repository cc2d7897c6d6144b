-- Names, keys and ids compare byte by byte (collate "C"), whatever the
-- database's own collation is. Times are UTC; null means never.
-- Columns of type json hold the Go types named beside them; json and not jsonb,
-- because what is read must be what was written.

-- +goose Up
-- +goose StatementBegin

-- Rises for ever, over all leases.
create sequence lease_tokens;

-- Who may plan and write. Rows stay for ever, so that tokens only rise.
create table leases (
    name       text collate "C" not null primary key,
    holder     text             not null,
    token      bigint           not null unique,
    expires_at timestamptz      not null
);

-- The server and the directories this store was made with.
create table bindings (
    name     text collate "C" not null primary key,
    id       text             not null,
    note     text             not null,
    bound_at timestamptz
);

-- Ownership: this key is this account.
create table links (
    source         text collate "C" not null,
    anchor         text collate "C" not null,
    account_id     text collate "C" not null,
    part           text             not null check (part in ('owner', 'contributor')),
    origin         text             not null,
    ref            text             not null,
    applied        json             not null, -- identity.Applied
    observed       json,                      -- identity.Account
    deactivated_at bigint           not null, -- the server's milliseconds; 0 = not by us
    written_at     timestamptz,
    created_at     timestamptz,
    updated_at     timestamptz,
    primary key (source, anchor)
);

create unique index links_one_owner on links (account_id) where part = 'owner';
create index links_account on links (account_id);

-- Every key an account was ever linked to; rows outlive their links.
create table past_links (
    account_id text collate "C" not null,
    source     text collate "C" not null,
    anchor     text collate "C" not null,
    since      timestamptz,
    primary key (account_id, source, anchor)
);

create table runs (
    id           text collate "C" not null primary key,
    kind         text             not null,
    triggered_by text             not null,
    requested_by text             not null,
    reason       text             not null,
    options      text             not null,
    status       text             not null,
    token        bigint           not null,
    digest       text             not null,
    policy       text             not null,
    requested_at timestamptz,
    started_at   timestamptz,
    planned_at   timestamptz,
    finished_at  timestamptz,
    counts       json             not null, -- state.Counts
    message      text             not null,
    sources      json             not null, -- []plan.SourceSummary
    target       json             not null  -- plan.TargetSummary
);

create index runs_open on runs (status) where status in ('requested', 'planning', 'applying');

create table decisions (
    run_id     text collate "C" not null references runs (id) on delete cascade,
    position   integer          not null,
    source     text collate "C" not null,
    anchor     text collate "C" not null,
    ref        text             not null,
    action     text             not null,
    reason     text             not null,
    account_id text collate "C" not null,
    username   text             not null,
    detail     text             not null,
    due_at     timestamptz,
    held       text             not null,
    notes      json,                      -- []plan.Note
    chain      integer          not null,
    primary key (run_id, position)
);

create index decisions_key on decisions (source, anchor);

-- The journal of calls: pending, then sent before the call, then closed.
create table ops (
    run_id       text collate "C" not null,
    decision     integer          not null,
    position     integer          not null,
    kind         text             not null,
    op           json             not null, -- plan.Op
    account_id   text collate "C" not null,
    status       text             not null,
    token        bigint           not null, -- of the lease it was sent under
    planned_at   timestamptz,
    sent_at      timestamptz,
    closed_at    timestamptz,
    before_image json,                      -- identity.Account
    after_image  json,                      -- identity.Account
    error        text             not null,
    primary key (run_id, decision, position),
    foreign key (run_id, decision) references decisions (run_id, position) on delete cascade
);

create index ops_unclosed on ops (status) where status in ('pending', 'sent');
create index ops_account on ops (account_id);
create index ops_planned on ops (planned_at);
create index ops_active on ops (closed_at) where kind in ('set_active', 'revoke_sessions');

-- Keys that complete reads miss.
create table sightings (
    source       text collate "C" not null,
    anchor       text collate "C" not null,
    missed_since timestamptz,
    reads        bigint           not null,
    last_read_at timestamptz,
    primary key (source, anchor)
);

create table reads (
    id       bigint generated always as identity primary key,
    source   text collate "C" not null,
    read_at  timestamptz,
    entries  bigint           not null,
    faults   bigint           not null,
    complete boolean          not null,
    doubt    text             not null,
    took_ns  bigint           not null
);

create index reads_recent on reads (source, read_at);

create table marks (
    name        text collate "C" not null primary key,
    value       bigint           not null, -- the server's milliseconds
    server_date timestamptz,
    set_at      timestamptz
);

-- All accounts as the last audit saw them, linked or not.
create table account_index (
    id           text collate "C" not null primary key,
    username     text             not null,
    email        text             not null,
    auth_service text             not null,
    auth_data    text             not null,
    active       boolean          not null,
    bot          boolean          not null,
    remote       boolean          not null,
    admin        boolean          not null,
    owner_id     text             not null, -- of a bot
    seen_at      timestamptz
);

create index account_index_auth on account_index (auth_service, auth_data);

create table protected_accounts (
    id              text collate "C" not null primary key,
    pattern         text             not null,
    protected_since timestamptz
);
-- +goose StatementEnd
