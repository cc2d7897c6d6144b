-- What clients push into a source, who has to be worked on for it, and the tokens
-- by which they are known.

-- +goose Up
-- +goose StatementBegin

-- A resource that was taken away stays as a row without values: its id is not
-- given again.
create table scim_resources (
    source      text    not null,
    type        text    not null,
    id          text    not null, -- unique over all types, as RFC 7643 section 3.1 wants it
    version     integer not null,
    body        text    not null, -- JSON, without a group's members
    created_at  integer not null,
    modified_at integer not null,
    deleted_at  integer,          -- null = it exists
    primary key (source, id)
) strict;

create index scim_resources_listed on scim_resources (source, type, created_at, id) where deleted_at is null;

-- By what resources are found, folded by whoever wrote it.
create table scim_values (
    source    text    not null,
    type      text    not null,
    id        text    not null,
    attr      text    not null,
    value     text    not null,
    is_unique integer not null check (is_unique in (0, 1)),
    primary key (source, id, attr, value)
) strict, without rowid;

create unique index scim_values_once on scim_values (source, type, attr, value) where is_unique = 1;
create index scim_values_found on scim_values (source, type, attr, value);

-- A member need not exist.
create table scim_members (
    source    text not null,
    group_id  text not null,
    member_id text not null,
    type      text not null, -- '' = the client did not say
    display   text not null,
    primary key (source, group_id, member_id)
) strict, without rowid;

create index scim_members_member on scim_members (source, member_id, group_id);

-- People to be worked on. The revision rises for ever, with every mark.
create table scim_due (
    revision  integer primary key autoincrement,
    source    text    not null,
    anchor    text    not null,
    is_leaver integer not null check (is_leaver in (0, 1)),
    since_at  integer not null,
    after_at  integer,          -- null = not put off
    attempts  integer not null,
    is_held   integer not null check (is_held in (0, 1)), -- it waits for a word or another mark
    reason    text    not null,
    note      text    not null,
    unique (source, anchor)
) strict;

create index scim_due_next on scim_due (is_leaver desc, since_at, source, anchor) where not is_held;

create table scim_tokens (
    id         text    not null primary key,
    source     text    not null,
    name       text    not null,
    hash       blob    not null, -- SHA-256 of the secret
    scopes     text    not null, -- []string
    networks   text    not null, -- []string
    created_at integer not null,
    created_by text    not null,
    expires_at integer,          -- null = never
    revoked_at integer,
    used_at    integer,
    used_from  text    not null
) strict;

create unique index scim_tokens_name on scim_tokens (source, name) where revoked_at is null;

-- A push asks what was said about one person.
create index verdict_items_of on verdict_items (source, anchor);
-- +goose StatementEnd
