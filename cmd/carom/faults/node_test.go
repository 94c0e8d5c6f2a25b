package faults_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// nodeFile holds a data directory's identity.
var nodeFile = filepath.Join("journal", "NODE")

// TestCopiedNodeTakesAnotherName starts an instance with the identity of another one, which is running. The checkpoints of the two can't
// both be right, so the one that finds them moved goes on under another name, says why, and no click is lost or counted twice.
func TestCopiedNodeTakesAnotherName(t *testing.T) {
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
	visitors := startLoad(t)
	visitors.names.Store(1 << 40)
	visitors.hot(copied, hot)
	_, reason := waitHealth(t, copied, "writer", "warn")
	t.Logf("health says: %s", reason)
	if !strings.Contains(reason, "node") || !strings.Contains(reason, "data directory") {
		t.Errorf("the reason %q does not say what to do", reason)
	}
	waitStoring(t, copied)
	// It keeps the name over a crash.
	kill(t, copied)
	copied = again(t, copied)
	visitors.hot(copied, hot)
	waitStoring(t, copied)
	waitHealth(t, copied, "writer", "pass")
	// The other one has noticed nothing.
	waitStoring(t, own)
	waitHealth(t, own, "writer", "pass")
	visitors.stop()
	l.stop()
	l.wantHits()
	l.wantStoredOnce(own, copied)
	visitors.wantStoredOnce(own, copied)
	stop(t, copied)
	stop(t, own)
}
