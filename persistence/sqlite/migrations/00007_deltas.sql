-- What lies by link is another page for each link of a batch. A batch with many of them writes it here, by blocks of links (the id divided by 8,
-- modulo 64), and it goes to where it belongs many batches at a time. Readers add what waits to what they find.

-- +goose Up
CREATE TABLE deltas (
    id      INTEGER PRIMARY KEY, -- in the order of storing
    bucket  INTEGER NOT NULL,
    kind    INTEGER NOT NULL, -- 1: hours, rollups and totals; 2: runs of links
    payload BLOB    NOT NULL -- in the program's own encoding, with a checksum
) STRICT;
CREATE INDEX deltas_bucket ON deltas (bucket);
-- Rows that could not be read, as they were.
CREATE TABLE damaged_deltas (
    id      INTEGER NOT NULL,
    bucket  INTEGER NOT NULL,
    kind    INTEGER NOT NULL,
    payload BLOB    NOT NULL
) STRICT;

-- Which runs a link has: what was an index of click_runs, which wrote a page for nearly each run.
CREATE TABLE link_runs (
    link_id INTEGER NOT NULL,
    last_id INTEGER NOT NULL, -- of the run
    PRIMARY KEY (link_id, last_id)
) STRICT, WITHOUT ROWID;
INSERT INTO link_runs (link_id, last_id) SELECT link_id, last_id FROM click_runs ORDER BY link_id, last_id;
DROP INDEX IF EXISTS click_runs_link;
