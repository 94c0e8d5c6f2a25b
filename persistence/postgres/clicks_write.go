package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/deltas"
)

// Checkpoints reads how far the node's lanes are stored. It asks by the writer's pool, and so sees whatever a WriteClicks before
// it came to: a batch whose connection was lost is rolled back by the server before or after, but its move can't be done twice.
func (s *Store) Checkpoints(ctx context.Context, node engine.NodeID) (map[int]engine.Position, error) {
	var lanes map[int]engine.Position
	err := s.readFrom(ctx, s.writers, "read the checkpoints", func(ctx context.Context, conn *pgx.Conn) error {
		lanes = map[int]engine.Position{}
		return scan(ctx, conn, func(rows pgx.Rows) error {
			var lane int32
			var pos int64
			err := rows.Scan(&lane, &pos)
			lanes[int(lane)] = engine.Position(pos)
			return err
		}, "SELECT lane, position FROM journal_checkpoints WHERE node = $1", string(node))
	})
	if err != nil {
		return nil, err
	}
	return lanes, nil
}

// WriteClicks stores a batch in one transaction of three round trips: everything but the clicks as one pipeline, the COPY, the
// COMMIT. Locks are taken in one order by all instances: own checkpoints, rollups, totals and leases each sorted by key, and at last
// the counter that the clicks' ids come from. The counter's row stays locked until the commit, so ids become visible in their order, without
// gaps, and a reader with a cursor misses nothing. The price is that the COPYs of all instances go one after the other; they
// would queue up at the rollups of popular links anyway, and one COPY at a time takes more clicks than a machine can answer. The
// alternative, a reader that stops below the oldest transaction under way, would let any long transaction of the whole server hide
// all clicks after it.
func (s *Store) WriteClicks(ctx context.Context, b *engine.ClickBatch) error {
	if len(b.Moves) == 0 && len(b.Clicks) == 0 {
		return nil
	}
	clicks, err := storable(b.Clicks)
	if err != nil {
		return err
	}
	ctx, leave := s.enter(ctx, s.cfg.WriteTimeout)
	defer leave()
	conn, err := s.writers.Acquire(ctx)
	if err != nil {
		return s.wrap("store clicks", fmt.Errorf("connect: %w", err))
	}
	defer conn.Release()
	packed, err := s.writeBatch(ctx, conn, b, clicks)
	if err != nil {
		// A fresh connection for the next batch, whatever it was: this one may have an answer under way that nobody waits for.
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		_ = conn.Conn().Close(bye)                                                      // it is given up; the server rolls back what it finds
		if sqlState(err) == queryCanceled || errors.Is(err, context.DeadlineExceeded) { // the latter where the URL has a timeout of its own
			s.endStalledCopies(ctx)
		}
		if refusedContent(err) {
			return fmt.Errorf("store clicks: %w", &engine.RejectedError{Err: err})
		}
		if errors.Is(err, engine.ErrFenced) {
			return err
		}
		return s.wrap("store clicks", err)
	}
	if packed != nil {
		s.foldAfter(ctx, conn, s.backlog.add(packed))
	}
	return nil
}

// foldAfter folds buckets behind a batch that is stored. What fails is logged and waits for the next fold: the batch is not touched by it.
func (s *Store) foldAfter(ctx context.Context, conn *pgxpool.Conn, buckets []int) {
	ctx, cancel := context.WithTimeout(ctx, foldTimeout)
	defer cancel()
	for _, bucket := range buckets {
		if err := s.fold(ctx, conn.Conn(), bucket); err != nil {
			s.log.Warn("rollups were not folded; they wait as deltas", "bucket", bucket, "err", err)
			return
		}
	}
}

// writeBatch returns the rollups that were written as deltas; nil when none were.
func (s *Store) writeBatch(ctx context.Context, conn *pgxpool.Conn, b *engine.ClickBatch, clicks []engine.Click) (*deltas.Rows, error) {
	var moved, last int64
	var packed *deltas.Rows
	batch := &pgx.Batch{}
	batch.Queue("BEGIN")
	if s.local != "" {
		batch.Queue(s.local)
	}
	queueMoves(batch, b, &moved)
	if len(clicks) > 0 {
		hours, rollups := engine.Aggregate(clicks)
		if len(hours)+len(rollups) >= s.deltasFrom {
			packed = deltas.Pack(hours, rollups, deltas.ByLink)
			batch.Queue("INSERT INTO rollup_deltas (bucket, payload) SELECT * FROM unnest($1::integer[], $2::bytea[])", packed.Buckets, packed.Payloads)
		} else {
			queueHours(batch, hours)
			queueRollups(batch, rollups)
		}
		queueTotals(batch, hours)
		queueUsed(batch, b.Node, engine.UsedVisits(clicks))
		batch.Queue("UPDATE counters SET value = value + $1 WHERE name = 'clicks' RETURNING value", int64(len(clicks))).
			QueryRow(func(row pgx.Row) error { return row.Scan(&last) })
	}
	answers := conn.SendBatch(ctx, batch)
	rows := encodeClicks(clicks) // while the server is at it
	if err := answers.Close(); err != nil {
		return nil, fmt.Errorf("move checkpoints and count: %w", err)
	}
	if moved != int64(len(b.Moves)) {
		return nil, fmt.Errorf("store clicks of node %s: %d of %d lanes stand where the batch begins: %w", b.Node, moved, len(b.Moves), engine.ErrFenced)
	}
	if len(clicks) > 0 {
		tag, err := conn.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(rows.numbered(last-int64(len(clicks))+1)), copyClicks)
		if err != nil {
			return nil, fmt.Errorf("copy: %w", err)
		}
		if tag.RowsAffected() != int64(len(clicks)) {
			return nil, fmt.Errorf("copy: %d of %d clicks were taken", tag.RowsAffected(), len(clicks))
		}
	}
	tag, err := conn.Exec(ctx, "COMMIT")
	if err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	if tag.String() != "COMMIT" {
		return nil, fmt.Errorf("commit: %w", pgx.ErrTxCommitRollback)
	}
	return packed, nil
}

// queueMoves moves all lanes in one statement and counts those that stood where they should. A lane that was never moved has no
// row and stands at 0; when two writers insert it at once, the second waits for the first and then inserts nothing.
func queueMoves(batch *pgx.Batch, b *engine.ClickBatch, moved *int64) {
	lanes, from, to := make([]int32, len(b.Moves)), make([]int64, len(b.Moves)), make([]int64, len(b.Moves))
	for i, m := range b.Moves {
		lanes[i], from[i], to[i] = int32(m.Lane), int64(m.From), int64(m.To)
	}
	batch.Queue(`WITH moves AS (SELECT * FROM unnest($2::integer[], $3::bigint[], $4::bigint[]) AS m (lane, old, new)),
		moved AS (
			UPDATE journal_checkpoints c SET position = m.new FROM moves m WHERE c.node = $1::text AND c.lane = m.lane AND c.position = m.old RETURNING 1
		), made AS (
			INSERT INTO journal_checkpoints (node, lane, position) SELECT $1::text, lane, new FROM moves WHERE old = 0
			ON CONFLICT (node, lane) DO NOTHING RETURNING 1
		)
		SELECT (SELECT count(*) FROM moved) + (SELECT count(*) FROM made)`, string(b.Node), lanes, from, to).
		QueryRow(func(row pgx.Row) error { return row.Scan(moved) })
}

// queueHours adds to the hours, in the order of their keys, which Aggregate gave them.
func queueHours(batch *pgx.Batch, hours []engine.HourRollup) {
	n := len(hours)
	links, clicks, visits, starts := make([]int64, n), make([]int64, n), make([]int64, n), make([]time.Time, n)
	for i, h := range hours {
		links[i], starts[i], clicks[i], visits[i] = int64(h.Link), time.Unix(h.Hour, 0), h.Clicks, h.Visits
	}
	batch.Queue(`INSERT INTO click_hours AS h (link_id, hour, clicks, visits) SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[], $4::bigint[])
		ON CONFLICT (link_id, hour) DO UPDATE SET clicks = h.clicks + excluded.clicks, visits = h.visits + excluded.visits`, links, starts, clicks, visits)
}

// queueTotals adds the hours to the links' totals, which are their sums, in the order of the links.
func queueTotals(batch *pgx.Batch, hours []engine.HourRollup) {
	var links, clicks, visits []int64
	for _, h := range hours {
		if k := len(links); k == 0 || links[k-1] != int64(h.Link) {
			links, clicks, visits = append(links, int64(h.Link)), append(clicks, 0), append(visits, 0)
		}
		clicks[len(clicks)-1] += h.Clicks
		visits[len(visits)-1] += h.Visits
	}
	batch.Queue(`INSERT INTO link_totals AS t (link_id, clicks, visits) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])
		ON CONFLICT (link_id) DO UPDATE SET clicks = t.clicks + excluded.clicks, visits = t.visits + excluded.visits`, links, clicks, visits)
}

// queueRollups adds to the rollups by a value, in the order of their keys.
func queueRollups(batch *pgx.Batch, rollups []engine.Rollup) {
	n := len(rollups)
	links, counts, hours := make([]int64, n), make([]int64, n), make([]time.Time, n)
	dimensions, values := make([]string, n), make([]string, n)
	for i := range rollups {
		r := &rollups[i]
		links[i], counts[i], hours[i], dimensions[i], values[i] = int64(r.Link), r.Clicks, time.Unix(r.Hour, 0), string(r.Dimension), r.Value
	}
	batch.Queue(`INSERT INTO click_rollups AS r (link_id, hour, dimension, value, clicks)
		SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::text[], $5::bigint[])
		ON CONFLICT (link_id, hour, dimension, value) DO UPDATE SET clicks = r.clicks + excluded.clicks`, links, hours, dimensions, values, counts)
}

// queueUsed takes visits that clicks have used off the node's leases.
func queueUsed(batch *pgx.Batch, node engine.NodeID, used []engine.VisitUse) {
	if len(used) == 0 {
		return
	}
	links, visits := make([]int64, len(used)), make([]int64, len(used))
	for i, u := range used {
		links[i], visits[i] = int64(u.Link), u.Visits
	}
	batch.Queue(`INSERT INTO visit_leases AS l (node, link_id, outstanding) SELECT $1::text, link, -n FROM unnest($2::bigint[], $3::bigint[]) AS u (link, n)
		ON CONFLICT (node, link_id) DO UPDATE SET outstanding = l.outstanding + excluded.outstanding`, string(node), links, visits)
}

// atMax is the end of the year 9999 in Unix microseconds.
const atMax = 253_402_300_799_999_999

// storable gives the clicks in a form that Postgres takes: text without NUL and invalid UTF-8. What no journal of ours writes
// is refused here, before it could wrap around into something that Postgres would take.
func storable(clicks []engine.Click) ([]engine.Click, error) {
	copied := false
	for i := range clicks {
		c := &clicks[i]
		switch {
		case c.Link <= 0:
			return nil, refusedClick(i, "its link is %d", c.Link)
		case c.At < 0 || c.At > atMax:
			return nil, refusedClick(i, "its time is %d", c.At)
		case c.Status > 999:
			return nil, refusedClick(i, "its status is %d", c.Status)
		}
		if engine.IsStoredText(c.UserAgent) && engine.IsStoredText(c.Referrer) && engine.IsStoredText(c.Language) {
			continue
		}
		if !copied { // the caller's clicks stay as they are
			clicks, copied = append([]engine.Click(nil), clicks...), true
			c = &clicks[i]
		}
		for _, text := range []*[]byte{&c.UserAgent, &c.Referrer, &c.Language} {
			*text = []byte(engine.StoredText(*text))
		}
	}
	return clicks, nil
}

func refusedClick(i int, format string, args ...any) error {
	return fmt.Errorf("store clicks: %w", &engine.RejectedError{Err: fmt.Errorf("click %d of the batch: "+format, append([]any{i}, args...)...)})
}
