-- From where each source can be asked for what changed.

-- +goose Up
-- +goose StatementBegin

create table read_marks (
    source  text primary key,
    mark    text    not null, -- the source's own words
    full_at integer not null, -- when everybody was read last
    rules   blob    not null, -- under which that was decided
    linked  integer not null, -- active accounts at that time
    again   text,             -- anchors of whom something is left to do
    set_at  integer not null
) strict, without rowid;
-- +goose StatementEnd
