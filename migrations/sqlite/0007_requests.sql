-- Runs that somebody asks whoever has the lease for.

-- +goose Up
-- +goose StatementBegin

create table run_requests (
    id         text    not null primary key, -- in the order in which they were asked for
    policy     text    not null, -- digest of the configuration it is asked under
    asked      text    not null, -- JSON: what is asked
    asked_at   integer not null,
    expires_at integer not null, -- nobody begins it any more from then on
    token      integer not null, -- of the lease it was taken under; 0 = it waits
    run_id     text    not null, -- of the run that is made for it; '' = none yet
    closed_at  integer,          -- null = the run has not ended
    outcome    text    not null  -- JSON: what became of it
) strict, without rowid;
-- +goose StatementEnd
