-- Times are Unix microseconds, hours of rollups Unix seconds, all UTC; NULL is unset.

-- +goose Up
CREATE TABLE domains (
    id   INTEGER PRIMARY KEY,
    host TEXT NOT NULL UNIQUE -- '' answers for every Host
) STRICT;
INSERT INTO domains (id, host) VALUES (1, '');

CREATE TABLE links (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    domain_id       INTEGER NOT NULL REFERENCES domains (id),
    code            TEXT    NOT NULL,
    target          TEXT    NOT NULL,
    title           TEXT    NOT NULL,
    title_folded    TEXT, -- in lower case, only where LIKE's folding of A-Z does not do it
    active          INTEGER NOT NULL CHECK (active IN (0, 1)),
    redirect_status INTEGER NOT NULL,
    valid_since     INTEGER,
    valid_until     INTEGER,
    max_visits      INTEGER,
    visits_leased   INTEGER NOT NULL DEFAULT 0 CHECK (visits_leased >= 0), -- what all nodes were granted and did not give back
    forward_query   INTEGER NOT NULL CHECK (forward_query IN (0, 1)),
    version         INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    UNIQUE (domain_id, code)
) STRICT;
-- The id, as the rowid, is the last column of each index.
CREATE INDEX links_created ON links (domain_id, created_at);
CREATE INDEX links_updated ON links (domain_id, updated_at);

CREATE TABLE audit_events (
    id           INTEGER PRIMARY KEY AUTOINCREMENT, -- the place in the change log
    link_id      INTEGER NOT NULL REFERENCES links (id),
    domain_id    INTEGER NOT NULL,
    code         TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    action       TEXT    NOT NULL,
    actor_key_id INTEGER NOT NULL, -- 0: the command line
    request_id   TEXT    NOT NULL,
    origin       TEXT    NOT NULL, -- the node that took the change
    before       TEXT, -- JSON
    after        TEXT    NOT NULL,
    at           INTEGER NOT NULL
) STRICT;
CREATE INDEX audit_events_link ON audit_events (link_id);
-- +goose StatementBegin
CREATE TRIGGER audit_events_no_update BEFORE UPDATE ON audit_events
BEGIN
    SELECT RAISE(ABORT, 'audit events are never altered');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events
BEGIN
    SELECT RAISE(ABORT, 'audit events are never deleted');
END;
-- +goose StatementEnd

CREATE TABLE idempotency (
    actor_key_id INTEGER NOT NULL,
    key          TEXT    NOT NULL,
    digest       BLOB    NOT NULL,
    link_id      INTEGER NOT NULL REFERENCES links (id),
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (actor_key_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_created ON idempotency (created_at);

CREATE TABLE api_keys (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT    NOT NULL,
    prefix       TEXT    NOT NULL,
    hash         BLOB    NOT NULL UNIQUE, -- SHA-256 of the secret
    scopes       TEXT    NOT NULL, -- separated by spaces
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT;

-- No foreign key: a click outlives whatever becomes of its link. The bounds refuse what no journal of ours writes.
CREATE TABLE clicks (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    link_id    INTEGER NOT NULL CHECK (link_id > 0),
    at         INTEGER NOT NULL CHECK (at BETWEEN 0 AND 253402300799999999), -- to the end of the year 9999
    visitor    INTEGER NOT NULL, -- 64 bits, taken as signed
    address    INTEGER NOT NULL, -- 4 or 6 in bits 48 to 55, the network's first 48 bits below; 0 is not known
    status     INTEGER NOT NULL,
    flags      INTEGER NOT NULL,
    user_agent TEXT,
    referrer   TEXT,
    language   TEXT
) STRICT;
CREATE INDEX clicks_link ON clicks (link_id);

CREATE TABLE click_rollups (
    link_id   INTEGER NOT NULL,
    hour      INTEGER NOT NULL,
    dimension TEXT    NOT NULL,
    value     TEXT    NOT NULL,
    clicks    INTEGER NOT NULL,
    PRIMARY KEY (link_id, hour, dimension, value)
) STRICT, WITHOUT ROWID;

CREATE TABLE link_totals (
    link_id INTEGER PRIMARY KEY,
    clicks  INTEGER NOT NULL,
    visits  INTEGER NOT NULL
) STRICT;

CREATE TABLE journal_checkpoints (
    node     TEXT    NOT NULL,
    lane     INTEGER NOT NULL,
    position INTEGER NOT NULL, -- 64 bits, taken as signed
    PRIMARY KEY (node, lane)
) STRICT, WITHOUT ROWID;

CREATE TABLE visit_leases (
    node    TEXT    NOT NULL,
    link_id INTEGER NOT NULL,
    granted INTEGER NOT NULL,
    used    INTEGER NOT NULL DEFAULT 0, -- by stored clicks
    PRIMARY KEY (node, link_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE visitor_salts (
    day  INTEGER PRIMARY KEY, -- days since 1970-01-01
    salt BLOB NOT NULL
) STRICT;
