package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/carom-dev/carom/engine"
)

// The migrations that take the clicks over that were stored with a row for each. The second does what is left where an early build, whose
// first one only made the table, could not go on behind it.
const (
	clicksToRunsVersion      = 3
	clicksToRunsAgainVersion = 4
)

// makeRuns makes the table of clicks in runs: of one link, with ids that follow each other, in one row. It has no foreign key, as a click
// outlives whatever becomes of its link. The bounds refuse what no journal of ours writes: last_at goes to the end of the year 9999.
const makeRuns = `CREATE TABLE IF NOT EXISTS click_runs (
    last_id  INTEGER PRIMARY KEY AUTOINCREMENT, -- of its clicks; the ones before count down from it
    link_id  INTEGER NOT NULL CHECK (link_id > 0),
    clicks   INTEGER NOT NULL CHECK (clicks > 0),
    first_at INTEGER NOT NULL CHECK (first_at >= 0), -- the earliest time of a click
    last_at  INTEGER NOT NULL CHECK (last_at BETWEEN first_at AND 253402300799999999), -- the latest
    data     BLOB    NOT NULL -- in the program's own encoding
) STRICT`

// clicksToRuns moves all rows of clicks into click_runs. Ids stay, so that a cursor from before goes on where it was: only what stood side by
// side already becomes a run.
func clicksToRuns(ctx context.Context, tx *sql.Tx) error {
	var left bool
	if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'clicks')").Scan(&left); err != nil {
		return fmt.Errorf("look for the old rows: %w", err)
	}
	if !left {
		return nil
	}
	for _, text := range []string{makeRuns, "CREATE INDEX IF NOT EXISTS click_runs_link ON click_runs (link_id)"} {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("make the table of runs: %w", err)
		}
	}
	// Ids that were given once are not given again, whatever was deleted by hand.
	_, err := tx.ExecContext(ctx, "INSERT INTO sqlite_sequence (name, seq) SELECT 'click_runs', seq FROM sqlite_sequence WHERE name = 'clicks'")
	if err != nil {
		return fmt.Errorf("take over the last id: %w", err)
	}
	insert, err := tx.PrepareContext(ctx, "INSERT INTO click_runs (last_id, link_id, clicks, first_at, last_at, data) VALUES (?, ?, ?, ?, ?, ?)") //nolint:sqlclosecheck // the transaction closes it
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	var encoder runEncoder
	for last, done := int64(0), false; !done; {
		var ids []int64
		var clicks []engine.Click
		err := query(ctx, tx, func(rows *sql.Rows) error {
			var c engine.Click
			var id, visitor, address int64
			err := rows.Scan(&id, &c.Link, &c.At, &visitor, &address, &c.Status, &c.Flags, &c.UserAgent, &c.Referrer, &c.Language)
			c.Visitor, c.Address = uint64(visitor), unpackAddress(address)
			ids, clicks = append(ids, id), append(clicks, c)
			return err
		}, "SELECT id, link_id, at, visitor, address, status, flags, user_agent, referrer, language FROM clicks WHERE id > ? ORDER BY id LIMIT 10000", last)
		if err != nil {
			return fmt.Errorf("read the clicks behind %d: %w", last, err)
		}
		done = len(clicks) == 0
		for len(clicks) > 0 {
			n := 1
			for n < len(clicks) && ids[n] == ids[0]+int64(n) && clicks[n].Link == clicks[0].Link {
				n++
			}
			for _, r := range runsOf(clicks[:n], ids[0]-1) {
				if _, err := insert.ExecContext(ctx, r.last, int64(r.link), len(r.order), r.firstAt, r.lastAt, encoder.append(nil, clicks, r.order)); err != nil {
					return fmt.Errorf("store the clicks up to %d: %w", r.last, err)
				}
			}
			last, ids, clicks = ids[n-1], ids[n:], clicks[n:]
		}
	}
	if _, err := tx.ExecContext(ctx, "DROP TABLE clicks"); err != nil {
		return fmt.Errorf("drop the old rows: %w", err)
	}
	return nil
}

// unpackAddress takes a network out of the integer that a row of clicks has for it: byte 0 of the address is the highest.
func unpackAddress(n int64) (a engine.TruncatedAddr) {
	for i := len(a) - 1; i >= 0; i-- {
		a[i] = byte(n)
		n >>= 8
	}
	return a
}
