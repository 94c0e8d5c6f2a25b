package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

func openInside(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "carom.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestPragmas holds what the promises on clicks rest on: an answered write is on the disk, and readers can't write.
func TestPragmas(t *testing.T) {
	s := openInside(t)
	for _, c := range []struct {
		db     *sql.DB
		pragma string
		want   string
	}{
		{s.writer, "synchronous", "2"},
		{s.writer, "journal_mode", "wal"},
		{s.writer, "foreign_keys", "1"},
		{s.writer, "busy_timeout", "5000"},
		{s.writer, "secure_delete", "1"},
		{s.reader, "journal_mode", "wal"},
		{s.reader, "query_only", "1"},
		{s.reader, "busy_timeout", "5000"},
	} {
		var got string
		if err := c.db.QueryRowContext(t.Context(), "PRAGMA "+c.pragma).Scan(&got); err != nil || got != c.want {
			t.Errorf("PRAGMA %s = %q, %v, want %q", c.pragma, got, err, c.want)
		}
	}
	if _, err := s.reader.ExecContext(t.Context(), "DELETE FROM links"); err == nil {
		t.Error("a reader could write")
	}
	if open := s.writer.Stats().MaxOpenConnections; open != 1 {
		t.Errorf("the writer may open %d connections, want 1", open)
	}
}

// TestQueriesUseIndexes asks SQLite how it would read: no page may cost a sort or a scan of all rows.
func TestQueriesUseIndexes(t *testing.T) {
	s := openInside(t)
	type read struct {
		text string
		args []any
		want string // in the plan
	}
	var reads []read
	for sort, index := range map[engine.LinkSort]string{
		engine.SortNewest: "links_created", engine.SortOldest: "links_created", engine.SortUpdated: "links_updated", engine.SortCode: "sqlite_autoindex_links",
	} {
		by, _ := orderOf(sort)
		where, args := linkFilter(&engine.LinkQuery{Domain: 1, Active: new(true), Search: "x"})
		reads = append(reads, read{selectLinks + where + " ORDER BY " + by.by + " LIMIT 5", args, index})
		first := any(int64(1))
		if sort == engine.SortCode {
			first = "a"
		}
		reads = append(reads, read{selectLinks + where + " AND " + by.after + " ORDER BY " + by.by + " LIMIT 5", append(args, first, int64(1)), index})
	}
	ofLink := &engine.ClickQuery{Link: 1, After: 5, From: time.Unix(1, 0), To: time.Unix(2, 0), Limit: 5}
	for want, q := range map[string]runQuery{
		"x USING PRIMARY KEY (link_id=? AND last_id>? AND last_id<?)": runsOfLink(ofLink, idRange{5, 9}),
		"r USING INTEGER PRIMARY KEY (rowid=?)":                       runsByID(ofLink, "[6]"),
		"PRIMARY KEY (rowid>? AND rowid<?)":                           runsOfAll(&engine.ClickQuery{After: 5, Limit: 5}, idRange{5, 9}),
	} {
		reads = append(reads, read{q.text(), q.args, want})
	}
	reads = append(reads, read{selectByCodes, []any{int64(1), `["a"]`}, "sqlite_autoindex_links_1 (domain_id=? AND code=?)"})
	reads = append(reads, read{readDeltas, []any{deltaRuns, "[7]"}, "deltas_bucket (bucket=?)"})
	reads = append(reads, read{readBucket, []any{7}, "deltas_bucket (bucket=?)"})
	for _, r := range reads {
		var plan strings.Builder
		err := query(t.Context(), s.reader, func(rows *sql.Rows) error {
			var id, parent, unused int
			var detail string
			err := rows.Scan(&id, &parent, &unused, &detail)
			fmt.Fprintln(&plan, detail)
			return err
		}, "EXPLAIN QUERY PLAN "+r.text, r.args...)
		if err != nil {
			t.Fatal(err)
		}
		if got := plan.String(); !strings.Contains(got, r.want) || strings.Contains(got, "TEMP B-TREE") || strings.Contains(got, "SCAN r") || strings.Contains(got, "SCAN l") {
			t.Errorf("%s\n%s\nwant %s, no scan and no sort", r.text, got, r.want)
		}
	}
}

// TestCloseMeetsACall closes the store while an edit is under way in its transaction.
func TestCloseMeetsACall(t *testing.T) {
	s := openInside(t)
	l, _, err := s.CreateLink(t.Context(), engine.Link{Domain: 1, Code: "a", Target: "https://example.com/", RedirectStatus: 302}, engine.Author{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	started, closed := make(chan struct{}), make(chan error)
	go func() {
		<-started
		closed <- s.Close()
	}()
	_, _, err = s.UpdateLink(t.Context(), l.ID, engine.ActionUpdated, engine.Author{}, func(l *engine.Link) error {
		close(started)
		<-s.closing.Done()
		l.Title = "late"
		return nil
	})
	if !errors.Is(err, ErrClosed) {
		t.Errorf("UpdateLink under way = %v, want ErrClosed", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("Close = %v", err)
	}
	if _, err := s.Link(t.Context(), l.ID); !errors.Is(err, ErrClosed) {
		t.Errorf("Link after Close = %v, want ErrClosed", err)
	}
}

// TestAPanicLeavesTheStoreUsable: the one writing connection must come back.
func TestAPanicLeavesTheStoreUsable(t *testing.T) {
	s := openInside(t)
	link := engine.Link{Domain: 1, Code: "a", Target: "https://example.com/", RedirectStatus: 302}
	l, _, err := s.CreateLink(t.Context(), link, engine.Author{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the edit's panic did not come through")
			}
		}()
		_, _, _ = s.UpdateLink(t.Context(), l.ID, engine.ActionUpdated, engine.Author{}, func(*engine.Link) error { panic("edit") })
	}()
	link.Code = "b"
	if _, _, err := s.CreateLink(t.Context(), link, engine.Author{}, nil); err != nil {
		t.Errorf("CreateLink after a panic = %v", err)
	}
}

// TestLookUpsDoNotWaitBehindSearches has as many searches under way as there are readers for them.
func TestLookUpsDoNotWaitBehindSearches(t *testing.T) {
	s := openInside(t)
	key := engine.Key{Domain: engine.DefaultDomain, Code: "abc"}
	if _, _, err := s.CreateLink(t.Context(), engine.Link{Domain: key.Domain, Code: key.Code, Target: "https://example.com/", Active: true, RedirectStatus: 302}, engine.Author{At: time.Now()}, nil); err != nil {
		t.Fatal(err)
	}
	for range s.reader.Stats().MaxOpenConnections {
		conn, err := s.reader.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	links, err := s.LoadLinks(ctx, []engine.Key{key})
	if err != nil || len(links) != 1 {
		t.Errorf("LoadLinks beside searches = %d links, %v, want 1", len(links), err)
	}
	if _, err := s.KeyByHash(ctx, engine.HashSecret("x")); engine.ErrorCodeOf(err) != engine.CodeNotFound {
		t.Errorf("KeyByHash beside searches = %v, want that there is no such key", err)
	}
	if err := s.Ping(ctx); err != nil {
		t.Errorf("Ping beside searches = %v", err)
	}
}

// TestWriteAheadLogIsCutOff has readers keep the log from beginning anew, each from before the last one's end.
func TestWriteAheadLogIsCutOff(t *testing.T) {
	s := openInside(t)
	s.walMax = 1 << 20
	var at engine.Position
	batch := func() {
		b := &engine.ClickBatch{Node: "00112233445566778899aabbccddeeff", Moves: []engine.LaneMove{{From: at, To: at + 1}}}
		at++
		for i := range 2000 {
			b.Clicks = append(b.Clicks, engine.Click{At: time.Now().UnixMicro(), Link: engine.LinkID(i + 1), UserAgent: bytes.Repeat([]byte("x"), 200), Status: 302})
		}
		if err := s.WriteClicks(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	reading := func() *sql.Tx {
		tx, err := s.reader.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if err := tx.QueryRowContext(t.Context(), "SELECT count(*) FROM click_runs").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return tx
	}
	before := reading()
	for range 10 {
		batch()
		next := reading()
		if err := before.Rollback(); err != nil {
			t.Fatal(err)
		}
		before = next
	}
	if u, err := s.Usage(); err != nil || u.WAL <= s.walMax {
		t.Fatalf("the log has %d bytes (%v), so nothing is shown", u.WAL, err)
	}
	if err := before.Rollback(); err != nil {
		t.Fatal(err)
	}
	s.walTried = time.Time{}
	batch()
	if u, err := s.Usage(); err != nil || u.WAL > s.walMax {
		t.Errorf("the log has %d bytes (%v) once nobody reads, want at most %d", u.WAL, err, s.walMax)
	}
}
