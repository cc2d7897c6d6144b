-- What clients push into a source, who has to be worked on for it, and the tokens
-- by which they are known.

-- +goose Up

-- Rises for ever, with every mark in scim_due.
create sequence scim_revisions;

-- A resource that was taken away stays as a row without values: its id is not
-- given again.
create table scim_resources (
    source      text collate "C" not null,
    type        text collate "C" not null,
    id          text collate "C" not null, -- unique over all types, as RFC 7643 section 3.1 wants it
    version     bigint           not null,
    body        text             not null, -- JSON, without a group's members
    created_at  timestamptz      not null,
    modified_at timestamptz      not null,
    deleted_at  timestamptz,               -- null = it exists
    primary key (source, id)
) with (fillfactor = 80);

create index scim_resources_listed on scim_resources (source, type, created_at, id) where deleted_at is null;

-- By what resources are found, folded by whoever wrote it.
create table scim_values (
    source    text collate "C" not null,
    type      text collate "C" not null,
    id        text collate "C" not null,
    attr      text collate "C" not null,
    value     text collate "C" not null,
    is_unique boolean          not null,
    primary key (source, id, attr, value)
);

create unique index scim_values_once on scim_values (source, type, attr, value) where is_unique;
create index scim_values_found on scim_values (source, type, attr, value);

-- A member need not exist.
create table scim_members (
    source    text collate "C" not null,
    group_id  text collate "C" not null,
    member_id text collate "C" not null,
    type      text             not null, -- '' = the client did not say
    display   text             not null,
    primary key (source, group_id, member_id)
);

create index scim_members_member on scim_members (source, member_id, group_id);

-- People to be worked on.
create table scim_due (
    revision  bigint           not null,
    source    text collate "C" not null,
    anchor    text collate "C" not null,
    is_leaver boolean          not null,
    since_at  timestamptz      not null,
    after_at  timestamptz,               -- null = not put off
    attempts  integer          not null,
    note      text             not null,
    primary key (source, anchor)
) with (fillfactor = 80);

create index scim_due_next on scim_due (is_leaver desc, since_at, source, anchor);

create table scim_tokens (
    id         text collate "C" not null primary key,
    source     text collate "C" not null,
    name       text collate "C" not null,
    hash       bytea            not null, -- SHA-256 of the secret
    scopes     json             not null, -- []string
    networks   json             not null, -- []string
    created_at timestamptz      not null,
    created_by text             not null,
    expires_at timestamptz,               -- null = never
    revoked_at timestamptz,
    used_at    timestamptz,
    used_from  text             not null
);

create unique index scim_tokens_name on scim_tokens (source, name) where revoked_at is null;
