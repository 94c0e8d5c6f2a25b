package faults_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// nodeFile holds a data directory's identity.
var nodeFile = filepath.Join("journal", "NODE")

// TestCopiedNodeIsFencedOff starts an instance with the identity of another one, which is running. The checkpoints of the two can't
// both be right, so the one that finds them moved stops writing, says why, and no click is counted twice.
func TestCopiedNodeIsFencedOff(t *testing.T) {
	t.Parallel()
	database, bus := onDatabase(services.Database(t, "", nil)), onBus(services.RedisURL(t))
	own := start(t, t.TempDir(), database, bus, ownBus(t))
	hot := shortenMany(t, own, "hot", 40)
	l := startLoad(t)
	l.hot(own, hot)
	waitStoring(t, own)

	dir := t.TempDir()
	node, err := os.ReadFile(filepath.Join(own.dir, nodeFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "journal"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, nodeFile), node, 0o600); err != nil {
		t.Fatal(err)
	}
	copied := start(t, dir, database, bus, ownBus(t))
	visitors := startLoad(t) // of their own: what the copy answers is not stored while it is fenced off
	visitors.names.Store(1 << 40)
	visitors.hot(copied, hot)
	_, reason := waitHealth(t, copied, "writer", "fail")
	t.Logf("health says: %s", reason)
	if !strings.Contains(reason, "node") || !strings.Contains(reason, "data directory") {
		t.Errorf("the reason %q does not say what to do", reason)
	}
	// The other one goes on.
	waitStoring(t, own)
	waitHealth(t, own, "writer", "pass")
	visitors.stop()
	l.stop()
	kill(t, copied)
	l.wantHits()
	l.wantStoredOnce(own)
	stop(t, own)
}
