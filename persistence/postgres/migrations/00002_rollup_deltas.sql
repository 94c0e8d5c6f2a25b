-- +goose Up

-- What large batches of clicks add to click_hours and click_rollups, and was not added yet: some rows a batch instead of thousands. A
-- reader adds what it finds here for its link; folding a bucket takes its rows away and adds their sums, in one transaction.
-- The program before this one reads figures without them, so they lag behind there until they are folded.
CREATE TABLE rollup_deltas (
    bucket  integer NOT NULL, -- of the links: link_id modulo 64
    id      bigint GENERATED ALWAYS AS IDENTITY,
    payload bytea NOT NULL, -- in the program's own encoding; rows are kept small enough not to be compressed
    PRIMARY KEY (bucket, id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
ALTER TABLE rollup_deltas ALTER COLUMN payload SET STORAGE EXTERNAL;
