-- An hour of a link in one row of numbers. click_rollups had rows for its clicks, its visits and its clicks without a referrer: three upserts
-- by keys with text for a click of a link that is not visited often, which was most of what storing it took.

-- +goose Up
CREATE TABLE click_hours (
    link_id INTEGER NOT NULL,
    hour    INTEGER NOT NULL,
    clicks  INTEGER NOT NULL,
    visits  INTEGER NOT NULL, -- clicks without HEAD and prefetch
    direct  INTEGER NOT NULL, -- clicks without a referrer
    PRIMARY KEY (link_id, hour)
) STRICT, WITHOUT ROWID;
INSERT INTO click_hours (link_id, hour, clicks, visits, direct)
    SELECT link_id, hour, coalesce(sum(clicks) FILTER (WHERE dimension = 'clicks'), 0), coalesce(sum(clicks) FILTER (WHERE dimension = 'visits'), 0),
        coalesce(sum(clicks) FILTER (WHERE dimension = 'referrer'), 0)
    FROM click_rollups WHERE value = '' GROUP BY link_id, hour;
DELETE FROM click_rollups WHERE value = '';
