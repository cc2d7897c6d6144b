-- What each receiver of notices was told.

-- +goose Up
-- +goose StatementBegin

create table notices (
    sink     text collate "C" not null,
    key      text collate "C" not null, -- what it is about
    kind     text             not null,
    severity text             not null,
    text     text             not null,
    people   bigint           not null, -- how many it was about
    since_at timestamptz,               -- when it was told first
    told_at  timestamptz,               -- when it was told last
    primary key (sink, key)
);

-- Who waits for a long time, whatever for.
create index scim_due_since on scim_due (since_at);
-- +goose StatementEnd
