package sqlite_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/sqlite"
)

// childEnv names the store that this test program, run again, writes to until it is killed.
const childEnv = "CAROM_SQLITE_TEST_CHILD"

const (
	killNode  = engine.NodeID("00000000000000000000000000000001")
	killBatch = 300 // of so many links that rollups are written as deltas
)

// writeUntilKilled is the child: it writes batch after batch and says where each ended, once it is stored.
func writeUntilKilled(path string) int {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Config{Path: path})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	positions, err := s.Checkpoints(ctx, killNode)
	for at := positions[0]; err == nil; at += killBatch {
		clicks := make([]engine.Click, killBatch)
		for i := range clicks {
			clicks[i] = engine.Click{At: 1, Link: engine.LinkID(1 + i%197), Status: 302, UserAgent: []byte("agent"), Flags: engine.ClickBudgeted}
		}
		err = s.WriteClicks(ctx, &engine.ClickBatch{
			Node: killNode, Moves: []engine.LaneMove{{Lane: 0, From: at, To: at + killBatch}}, Clicks: clicks,
		})
		fmt.Fprintln(os.Stdout, uint64(at+killBatch))
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// TestKill kills a writer between two answers, so in the middle of a batch, again and again: what is stored is what the
// checkpoint says, all of what was answered, and nothing by half.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "carom.db")
	if err := openAt(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	var last uint64
	for round := range 5 {
		answered := writeAndKill(t, path, 2+round)
		s := openAt(t, path)
		positions, err := s.Checkpoints(t.Context(), killNode)
		if err != nil {
			t.Fatal(err)
		}
		stored := uint64(positions[0])
		if stored < answered || stored <= last {
			t.Errorf("round %d: the checkpoint is %d after %d was answered and %d was there before", round, stored, answered, last)
		}
		last = stored
		wantDeltas(t, path)
		if err := s.SealDays(t.Context(), time.Unix(0, 0), 1); err != nil { // folds all of them
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		wantSums(t, path, int64(stored))
	}
}

// writeAndKill runs a child, kills it after some answers, and returns the last one.
func writeAndKill(t *testing.T, path string, answers int) (last uint64) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), exe)
	child.Env = append(os.Environ(), childEnv+"="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for range answers {
		if !lines.Scan() {
			t.Fatalf("the child ended early: %v", lines.Err())
		}
		if last, err = strconv.ParseUint(lines.Text(), 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sqlite.Open(t.Context(), sqlite.Config{Path: path}); !errors.Is(err, sqlite.ErrLocked) {
		t.Errorf("Open beside another process = %v, want ErrLocked", err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // what it answered before it died
		if last, err = strconv.ParseUint(lines.Text(), 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	if err := child.Wait(); err == nil {
		t.Error("the child ended by itself, want killed")
	}
	return last
}

// wantDeltas wants some to wait: a writer that is killed has no time to fold them all.
func wantDeltas(t *testing.T, path string) {
	t.Helper()
	var n int
	if err := raw(t, path).QueryRowContext(t.Context(), "SELECT count(*) FROM deltas WHERE kind = 1").Scan(&n); err != nil || n == 0 {
		t.Errorf("%d rollup deltas wait, %v, want some", n, err)
	}
}

func wantSums(t *testing.T, path string, want int64) {
	t.Helper()
	db := raw(t, path)
	for _, query := range []string{
		"SELECT sum(clicks) FROM click_runs", "SELECT sum(clicks) FROM link_runs JOIN click_runs USING (link_id, last_id)", "SELECT sum(clicks) FROM link_totals", "SELECT sum(visits) FROM link_totals",
		"SELECT sum(clicks) FROM click_hours", "SELECT sum(visits) FROM click_hours",
		"SELECT sum(direct) + (SELECT coalesce(sum(clicks), 0) FROM click_rollups) FROM click_hours",
	} {
		var got int64
		if err := db.QueryRowContext(t.Context(), query).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %d, %v, want %d", query, got, err, want)
		}
	}
	var verdict string
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity_check = %q, %v, want ok", verdict, err)
	}
}

// raw opens the file past the store.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}
