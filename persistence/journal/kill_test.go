package journal

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"testing"
)

const (
	childDirVar    = "CAROM_JOURNAL_TEST_DIR"
	childRoundVar  = "CAROM_JOURNAL_TEST_ROUND"
	childAppenders = 4
	childLanes     = 2
)

func childConfig(dir string) Config {
	return Config{Dir: dir, Lanes: childLanes, SegmentBytes: 64 << 10, BytesMax: 256 << 20, Logger: slog.New(slog.DiscardHandler)}
}

// runChild appends until it is killed. Each click is acknowledged by a write to standard output after Append returned.
func runChild(dir string) int {
	var round uint64
	if _, err := fmt.Sscan(os.Getenv(childRoundVar), &round); err != nil {
		return 2
	}
	j, err := Open(childConfig(dir))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	var wg sync.WaitGroup
	for p := range uint64(childAppenders) {
		wg.Go(func() {
			var ack [8]byte
			for n := uint64(0); ; n++ {
				id := round<<48 | p<<40 | n
				c := mixedClick(int(n % 1000))
				c.Visitor = id
				if j.Append(int(p)%childLanes, c) != nil {
					return
				}
				binary.LittleEndian.PutUint64(ack[:], id)
				if _, err := os.Stdout.Write(ack[:]); err != nil { // a write of 8 bytes to a pipe is whole or not at all
					return
				}
			}
		})
	}
	wg.Wait()
	return 1
}

// TestKilledProcessLosesNothing kills a process with SIGKILL while it appends, several times over one directory, and reads
// everything afterwards: each acknowledged click is there, and none is there twice.
func TestKilledProcessLosesNothing(t *testing.T) {
	dir := t.TempDir()
	const rounds, acksPerRound = 5, 4000
	acked := map[uint64]bool{}
	for round := range rounds {
		cmd := exec.Command(os.Args[0]) //nolint:noctx // it is killed by hand, that is the point
		cmd.Env = append(os.Environ(), childDirVar+"="+dir, fmt.Sprintf("%s=%d", childRoundVar, round))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var ack [8]byte
		r := bufio.NewReader(out)
		for n := 0; ; n++ {
			if _, err := io.ReadFull(r, ack[:]); err != nil {
				break
			}
			acked[binary.LittleEndian.Uint64(ack[:])] = true
			if n == acksPerRound { // go on reading: what was acknowledged in the meantime counts too
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // it was killed
	}
	if len(acked) < rounds*acksPerRound {
		t.Fatalf("only %d clicks were acknowledged, want at least %d", len(acked), rounds*acksPerRound)
	}
	j := open(t, childConfig(dir))
	seen := map[uint64]bool{}
	for lane := range childLanes {
		var last [rounds * childAppenders]int64
		clicks, end := readAll(t, j, lane)
		for _, c := range clicks {
			if seen[c.Visitor] {
				t.Fatalf("click %x is there twice", c.Visitor)
			}
			seen[c.Visitor] = true
			n := int64(c.Visitor & (1<<40 - 1))
			want := mixedClick(int(n % 1000))
			want.Visitor = c.Visitor
			if err := sameClick(c, want); err != nil {
				t.Fatal(err)
			}
			producer := c.Visitor>>48*childAppenders + c.Visitor>>40&0xff
			if n != last[producer] {
				t.Fatalf("producer %d: click %d follows %d", producer, n, last[producer]-1)
			}
			last[producer] = n + 1
		}
		if end < j.Recovered(lane) {
			t.Errorf("lane %d: read to %d, Recovered = %d", lane, end, j.Recovered(lane))
		}
	}
	for id := range acked {
		if !seen[id] {
			t.Errorf("acknowledged click %x is lost", id)
		}
	}
	s := j.Stats()
	if s.DamagedRecords+s.DamagedSegments+s.Gaps != 0 {
		t.Errorf("Stats = %+v, want no damage", s)
	}
	t.Logf("%d acknowledged, %d recorded, %d holes", len(acked), len(seen), s.Holes)
}
