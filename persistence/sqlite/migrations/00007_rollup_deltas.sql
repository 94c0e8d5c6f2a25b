-- What is not added to the hours, the rollups and the totals yet, of links whose id modulo 64 is the bucket. Readers add it to what they find.
-- A row that can't be read goes to the bucket -1.

-- +goose Up
CREATE TABLE rollup_deltas (
    id      INTEGER PRIMARY KEY, -- in the order of storing
    bucket  INTEGER NOT NULL,
    payload BLOB    NOT NULL -- in the program's own encoding
) STRICT;
CREATE INDEX rollup_deltas_bucket ON rollup_deltas (bucket);
