-- Clicks in runs: of one link, with ids that follow each other, in one row. What was in clicks is taken over by migration 4, which is in Go.

-- +goose Up
-- No foreign key: a click outlives whatever becomes of its link. The bounds refuse what no journal of ours writes.
CREATE TABLE click_runs (
    last_id  INTEGER PRIMARY KEY AUTOINCREMENT, -- of its clicks; the ones before count down from it
    link_id  INTEGER NOT NULL CHECK (link_id > 0),
    clicks   INTEGER NOT NULL CHECK (clicks > 0),
    first_at INTEGER NOT NULL CHECK (first_at >= 0), -- the earliest time of a click
    last_at  INTEGER NOT NULL CHECK (last_at BETWEEN first_at AND 253402300799999999), -- the latest; to the end of the year 9999
    data     BLOB    NOT NULL -- in the program's own encoding
) STRICT;
CREATE INDEX click_runs_link ON click_runs (link_id);
