package journal

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

// disks are the two kinds of memory; the race detector sees only the buffered one.
var disks = map[string]disk{"default": newDisk(), "buffered": bufferedDisk{}}

func testConfig(dir string) Config {
	return Config{Dir: dir, Lanes: 1, SegmentBytes: 8 << 10, BytesMax: 1 << 20, Logger: slog.New(slog.DiscardHandler)}
}

func open(t *testing.T, cfg Config) *Journal {
	t.Helper()
	j, err := Open(cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = j.Close() }) // a test that cares closes it itself and looks
	return j
}

func closeJournal(t *testing.T, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// testClick makes the n-th click; its strings take 0 to many slots and are told by n.
func testClick(n int) engine.Click {
	return engine.Click{
		At: int64(1_700_000_000_000_000 + n), Link: engine.LinkID(n + 1), Visitor: uint64(n) * 7, Status: 302,
		Flags: engine.ClickFlags(n % 8), Address: engine.TruncatedAddr{4, 203, 0, byte(n)},
		UserAgent: bytes.Repeat([]byte{byte('a' + n%26)}, n*37%513),
		Referrer:  bytes.Repeat([]byte{byte('A' + n%26)}, n*11%1025),
		Language:  []byte(strings.Repeat("l", n%65)),
	}
}

// mixedClick is a testClick, or one of a visitor with one of few user agents, some of which need many slots.
func mixedClick(n int) engine.Click {
	c := testClick(n)
	if n%4 == 0 {
		return c
	}
	browser := n * n % 7
	c.UserAgent = bytes.Repeat([]byte{byte('0' + browser)}, 30+60*browser)
	c.Language = []byte("en-GB,en;q=0.8")[:5+browser]
	if n%3 > 0 {
		c.Referrer = c.Referrer[:min(len(c.Referrer), 90*(n%3-1))]
	}
	return c
}

// withoutUserAgent is what is left of a click when the record that it refers to is lost.
func withoutUserAgent(c engine.Click) engine.Click {
	c.UserAgent, c.Language = nil, nil
	return c
}

// smallClick takes one slot.
func smallClick(n int) engine.Click {
	return engine.Click{At: int64(1_700_000_000_000_000 + n), Link: engine.LinkID(n + 1), Status: 302, UserAgent: []byte("Mozilla/5.0")}
}

func sameClick(a, b engine.Click) error {
	if a.At != b.At || a.Link != b.Link || a.Visitor != b.Visitor || a.Address != b.Address || a.Status != b.Status || a.Flags != b.Flags ||
		!bytes.Equal(a.UserAgent, b.UserAgent) || !bytes.Equal(a.Referrer, b.Referrer) || !bytes.Equal(a.Language, b.Language) {
		return fmt.Errorf("click is %+v, want %+v", a, b)
	}
	return nil
}

func appendClicks(t *testing.T, j *Journal, lane, from, to int, make func(int) engine.Click) {
	t.Helper()
	for n := from; n < to; n++ {
		if err := j.Append(lane, make(n)); err != nil {
			t.Fatalf("Append(%d): %v", n, err)
		}
	}
}

// readAll reads the lane to its end in small batches and releases nothing.
func readAll(t *testing.T, j *Journal, lane int) ([]engine.Click, engine.Position) {
	t.Helper()
	var out []engine.Click
	for {
		before := len(out)
		var pos engine.Position
		var err error
		out, pos, err = j.Read(lane, 7, out)
		if err != nil {
			t.Fatalf("Read: %v", err)
		}
		if len(out) == before {
			return out, pos
		}
	}
}

func wantClicks(t *testing.T, got []engine.Click, from, to int, make func(int) engine.Click) {
	t.Helper()
	if len(got) != to-from {
		t.Fatalf("read %d clicks, want %d", len(got), to-from)
	}
	for i, c := range got {
		if err := sameClick(c, make(from+i)); err != nil {
			t.Fatalf("click %d: %v", from+i, err)
		}
	}
}

// links are the ids of clicks, which testClick and smallClick number from 1.
func links(clicks []engine.Click) (out []int) {
	for _, c := range clicks {
		out = append(out, int(c.Link))
	}
	return out
}

// eventually waits for the background to have done something.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// segmentFiles lists the lane's segment files, oldest first.
func segmentFiles(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func glob(t *testing.T, dir, pattern string) int {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// change rewrites a file's bytes.
func change(t *testing.T, path string, edit func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, edit(b), 0o600); err != nil {
		t.Fatal(err)
	}
}
