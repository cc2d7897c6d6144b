-- What each receiver of notices was told.

-- +goose Up
-- +goose StatementBegin

create table notices (
    sink     text not null,
    key      text not null, -- what it is about
    kind     text not null,
    severity text not null,
    text     text not null,
    people   integer not null, -- how many it was about
    since_at integer,       -- when it was told first
    told_at  integer,       -- when it was told last
    primary key (sink, key)
) strict, without rowid;

-- Who waits for a long time, whatever for.
create index scim_due_since on scim_due (since_at);
-- +goose StatementEnd
