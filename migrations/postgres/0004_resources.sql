-- What clients push into a source, who has to be worked on for it, and the tokens
-- by which they are known.

-- +goose Up
-- +goose StatementBegin

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
    is_held   boolean          not null, -- it waits for a word or another mark
    reason    text             not null,
    note      text             not null,
    primary key (source, anchor)
) with (fillfactor = 80);

create index scim_due_next on scim_due (is_leaver desc, since_at, source, anchor) where not is_held;

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

-- The three below are what every push waits for. They are functions because the server
-- keeps the plans of a function, and planning took longer than reading and writing.
-- Lists of any length have one plan, and so each statement is one that is fit for long
-- ones. A plan that was made while a table was small is kept while it grows: reading all
-- of it is never the way.

-- scim_read gives what exists of one id or, where that is null, of one value, with what
-- is due of each if p_due is set. The words that hide that only what exists is asked
-- for keep the server from walking over all of it in the order of the answer.
create function scim_read(
    p_source text, p_type text, p_id text, p_attr text, p_value text, p_limit bigint, p_due boolean
) returns table (
    source text, type text, id text, version bigint, body text, created_at timestamptz, modified_at timestamptz, deleted_at timestamptz,
    is_leaver boolean, revision bigint, since_at timestamptz, after_at timestamptz, attempts integer, is_held boolean, reason text, note text
)
language plpgsql stable set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
#variable_conflict use_column
begin
    if p_id is not null then
        return query
        select r.source, r.type, r.id, r.version, r.body, r.created_at, r.modified_at, r.deleted_at,
            coalesce(d.is_leaver, false), coalesce(d.revision, 0), d.since_at, d.after_at,
            coalesce(d.attempts, 0), coalesce(d.is_held, false), coalesce(d.reason, ''), coalesce(d.note, '')
        from scim_resources r left join scim_due d on p_due and d.source = r.source and d.anchor = r.id
        where r.source = p_source and r.type = p_type and coalesce(r.deleted_at, 'infinity') = 'infinity'
            and r.id = p_id;
    else
        return query
        select r.source, r.type, r.id, r.version, r.body, r.created_at, r.modified_at, r.deleted_at,
            coalesce(d.is_leaver, false), coalesce(d.revision, 0), d.since_at, d.after_at,
            coalesce(d.attempts, 0), coalesce(d.is_held, false), coalesce(d.reason, ''), coalesce(d.note, '')
        from scim_resources r left join scim_due d on p_due and d.source = r.source and d.anchor = r.id
        where r.source = p_source and r.type = p_type and coalesce(r.deleted_at, 'infinity') = 'infinity'
            and r.id = any(array(
                select v.id from scim_values v
                where v.source = p_source and v.type = p_type and v.attr = p_attr and v.value = p_value
            ))
        order by r.created_at, r.id limit p_limit;
    end if;
end
$$;

-- scim_mark marks people of a source, who come once each and in order. The revision
-- of whoever is marked already is taken with the row's lock held: one from before a
-- wait could be lower than what somebody has read.
create function scim_mark(p_sources text[], p_anchors text[], p_leavers boolean[]) returns void
language plpgsql as $$
begin
    insert into scim_due (revision, source, anchor, is_leaver, since_at, attempts, is_held, reason, note)
    select nextval('scim_revisions'), n.source, n.anchor, n.is_leaver, statement_timestamp(), 0, false, '', ''
    from unnest(p_sources, p_anchors, p_leavers) as n (source, anchor, is_leaver)
    on conflict (source, anchor) do update set
        revision = nextval('scim_revisions'), is_leaver = scim_due.is_leaver or excluded.is_leaver,
        since_at = case when scim_due.is_held then excluded.since_at else scim_due.since_at end,
        after_at = null, attempts = 0, is_held = false, reason = '', note = '';
end
$$;

-- scim_write makes a resource (p_expect = 0) or replaces its version p_expect; null if
-- there was nothing to replace, or the id is in use. Nobody else can replace that
-- version, so what hangs on it is as it was left with it.
create function scim_write(
    p_source text, p_type text, p_id text, p_expect bigint, p_body text, p_gone boolean,
    p_keep_values boolean, p_attrs text[], p_values text[], p_uniques boolean[],
    p_leave_all boolean, p_leave text[], p_join text[], p_join_types text[], p_join_displays text[],
    p_due text[], p_leavers boolean[]
) returns scim_resources
language plpgsql set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
    written scim_resources;
begin
    if p_expect = 0 then
        insert into scim_resources (source, type, id, version, body, created_at, modified_at, deleted_at)
        values (p_source, p_type, p_id, 1, p_body, statement_timestamp(), statement_timestamp(),
            case when p_gone then statement_timestamp() end)
        on conflict (source, id) do nothing
        returning * into written;
    else
        update scim_resources r set version = r.version + 1, body = p_body, modified_at = statement_timestamp(),
            deleted_at = case when p_gone then statement_timestamp() end
        where r.source = p_source and r.type = p_type and r.id = p_id and r.version = p_expect
            and coalesce(r.deleted_at, 'infinity') = 'infinity' -- not by the index of lists, which may seem as good
        returning r.* into written;
    end if;
    if not found then
        return null;
    end if;

    if p_expect = 0 then
        insert into scim_values (source, type, id, attr, value, is_unique)
        select p_source, p_type, p_id, n.attr, n.value, n.is_unique
        from unnest(p_attrs, p_values, p_uniques) as n (attr, value, is_unique);
    elsif not p_keep_values then
        delete from scim_values v
        where v.source = p_source and v.id = p_id
            and not exists (select from unnest(p_attrs, p_values) as n (attr, value) where n.attr = v.attr and n.value = v.value);
        insert into scim_values (source, type, id, attr, value, is_unique)
        select p_source, p_type, p_id, n.attr, n.value, n.is_unique
        from unnest(p_attrs, p_values, p_uniques) as n (attr, value, is_unique)
        where not exists (
            select from scim_values v where v.source = p_source and v.id = p_id
                and v.attr = n.attr and v.value = n.value and v.is_unique = n.is_unique
        )
        on conflict (source, id, attr, value) do update set is_unique = excluded.is_unique;
    end if;

    if p_leave_all then
        delete from scim_members m
        where m.source = p_source and m.group_id = p_id and m.member_id not in (select unnest(p_join));
        update scim_members m set type = n.type, display = n.display
        from unnest(p_join, p_join_types, p_join_displays) as n (id, type, display)
        where m.source = p_source and m.group_id = p_id and m.member_id = n.id
            and (m.type, m.display) <> (n.type, n.display);
    elsif cardinality(p_leave) > 0 then
        delete from scim_members m using unnest(p_leave) as n (id)
        where m.source = p_source and m.group_id = p_id and m.member_id = n.id;
    end if;
    if cardinality(p_join) > 0 then
        insert into scim_members (source, group_id, member_id, type, display)
        select p_source, p_id, n.id, n.type, n.display
        from unnest(p_join, p_join_types, p_join_displays) as n (id, type, display)
        on conflict (source, group_id, member_id) do nothing;
    end if;

    if cardinality(p_due) > 0 then
        perform scim_mark(array_fill(p_source, array[cardinality(p_due)]), p_due, p_leavers);
    end if;
    return written;
end
$$;

-- A push asks what was said about one person.
create index verdict_items_of on verdict_items (source, anchor);
-- +goose StatementEnd
