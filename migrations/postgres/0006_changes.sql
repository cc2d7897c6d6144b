-- From where each source can be asked for what changed.

-- +goose Up
-- +goose StatementBegin

create table read_marks (
    source  text collate "C" primary key,
    mark    text        not null, -- the source's own words
    full_at timestamptz not null, -- when everybody was read last
    rules   bytea       not null, -- under which that was decided
    linked  bigint      not null, -- active accounts at that time
    again   text,                 -- anchors of whom something is left to do
    set_at  timestamptz not null
);
-- +goose StatementEnd
