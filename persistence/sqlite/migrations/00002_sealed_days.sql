-- What click_rollups adds up to, for days and months that are over, so that figures are read from few rows. Nothing here is of its own:
-- it can all be made again from the hours. Days and months are the Unix seconds of their starts.

-- +goose Up
CREATE TABLE click_days (
    link_id INTEGER NOT NULL,
    day     INTEGER NOT NULL,
    clicks  INTEGER NOT NULL,
    visits  INTEGER NOT NULL,
    hours   BLOB    NOT NULL, -- the clicks of each hour, in the program's own encoding
    PRIMARY KEY (link_id, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE click_day_rollups (
    link_id   INTEGER NOT NULL,
    dimension TEXT    NOT NULL,
    day       INTEGER NOT NULL,
    value     TEXT    NOT NULL,
    clicks    INTEGER NOT NULL,
    PRIMARY KEY (link_id, dimension, day, value)
) STRICT, WITHOUT ROWID;

CREATE TABLE click_month_rollups (
    link_id   INTEGER NOT NULL,
    dimension TEXT    NOT NULL,
    month     INTEGER NOT NULL,
    value     TEXT    NOT NULL,
    clicks    INTEGER NOT NULL,
    PRIMARY KEY (link_id, dimension, month, value)
) STRICT, WITHOUT ROWID;

-- A link's days before until are sealed, and have so many clicks. With the clicks of the hours since then that is the link's total, unless
-- clicks came to a sealed day after it was sealed: then it is not believed.
CREATE TABLE click_seals (
    link_id INTEGER PRIMARY KEY,
    until   INTEGER NOT NULL,
    clicks  INTEGER NOT NULL
) STRICT;
