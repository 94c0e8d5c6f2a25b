-- +goose Up

-- What click_hours and click_rollups add up to, for days and months that are over, so that figures are read from few rows. Nothing here is
-- of its own: it can all be made again from the hours. The program before this one neither reads nor writes it, and adds to hours of sealed days;
-- a reader finds that out by the totals (see click_seals) and then does not believe the day.
CREATE TABLE click_days (
    link_id bigint NOT NULL,
    day     timestamptz NOT NULL,
    clicks  bigint NOT NULL,
    visits  bigint NOT NULL,
    hours   bytea NOT NULL, -- the clicks of each hour, in the program's own encoding
    PRIMARY KEY (link_id, day)
);

CREATE TABLE click_day_rollups (
    link_id   bigint NOT NULL,
    dimension text COLLATE "C" NOT NULL,
    day       timestamptz NOT NULL,
    value     text COLLATE "C" NOT NULL,
    clicks    bigint NOT NULL,
    PRIMARY KEY (link_id, dimension, day, value)
);

CREATE TABLE click_month_rollups (
    link_id   bigint NOT NULL,
    dimension text COLLATE "C" NOT NULL,
    month     timestamptz NOT NULL,
    value     text COLLATE "C" NOT NULL,
    clicks    bigint NOT NULL,
    PRIMARY KEY (link_id, dimension, month, value)
);

-- A link's days before until are sealed, and have so many clicks. With the clicks of the hours since then, and of the deltas, that is the link's
-- total, unless clicks came to a sealed day after it was sealed.
CREATE TABLE click_seals (
    link_id bigint PRIMARY KEY,
    until   timestamptz NOT NULL,
    clicks  bigint NOT NULL
) WITH (fillfactor = 50);
