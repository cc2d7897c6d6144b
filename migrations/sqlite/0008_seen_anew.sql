-- Time zones and pictures are read from now on, which accounts seen before lack: the
-- next pass reads every linked account whole.

-- +goose Up
-- +goose StatementBegin

delete from marks where name = 'observe';
-- +goose StatementEnd
