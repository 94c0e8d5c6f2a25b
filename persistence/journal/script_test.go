package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"github.com/carom-dev/carom/engine"
)

// TestEachCallFails runs a fixed script over and over, and lets each call that it makes to the disk fail once, in each of the
// ways there are: nothing panics, the failure is told, a file whose sync failed is neither written nor synced again, and each
// click that was taken is read once after a kill, and each that was synced after a power loss.
func TestEachCallFails(t *testing.T) {
	ways := map[string]fault{
		"EIO": {err: syscall.EIO}, "ENOSPC": {err: syscall.ENOSPC}, "short": {err: syscall.ENOSPC, short: true},
	}
	cases := 0
	for _, behind := range []bool{false, true} {
		whole := newScript(behind)
		whole.run(t)
		whole.settleUp(t, "no fault", "", "kill")
		ops := make([]string, 0, len(whole.faults.calls))
		for op := range whole.faults.calls {
			ops = append(ops, op)
		}
		slices.Sort(ops)
		for _, op := range ops {
			for nth := 1; nth <= whole.faults.calls[op]; nth++ {
				for name, way := range ways {
					for _, end := range []string{"kill", "power loss"} {
						s := newScript(behind)
						way.from, way.to = nth, nth
						s.faults.set(op, way)
						s.run(t)
						s.settleUp(t, fmt.Sprintf("%s %d of %d: %s, written behind: %v, %s", op, nth, whole.faults.calls[op], name, behind, end), op, end)
						cases++
					}
				}
			}
		}
	}
	t.Logf("%d cases", cases)
}

// script is one run. Nothing happens in the background, so that the n-th call is always the same one.
type script struct {
	disk   *simDisk
	faults *faultDisk
	cfg    Config
	log    bytes.Buffer

	taken  int
	synced map[int]bool
	risky  map[int]bool // in a file whose sync failed
	seen   map[engine.LinkID]int
	pos    engine.Position
	told   []error
	stats  Stats
}

func newScript(behind bool) *script {
	s := &script{disk: newSimDisk(rand.New(rand.NewPCG(1, 2))), synced: map[int]bool{}, risky: map[int]bool{}, seen: map[engine.LinkID]int{}}
	s.disk.behind = behind
	s.faults = newFaultDisk(s.disk)
	s.cfg = Config{
		Dir: "/journal", Lanes: 1, SegmentBytes: SegmentBytesMin, BytesMax: 8 * SegmentBytesMin, Sync: SyncIntervalMax,
		Logger: slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelWarn})), disk: s.disk,
	}
	return s
}

// run leaves two segments and a prepared one behind, and then does everything that a journal does, with the faults.
func (s *script) run(t *testing.T) {
	t.Helper()
	j := newJournal(s.cfg)
	if err := j.takeOver(); err != nil {
		t.Fatal(err)
	}
	s.append(j, 55)
	j.prepareAll(context.Background())
	j.flushAll()
	s.disk.kill()

	s.log.Reset()
	s.cfg.disk = s.faults
	clear(s.faults.calls)
	j = newJournal(s.cfg)
	if err := j.takeOver(); err != nil {
		s.told = append(s.told, err)
		return
	}
	j.sweepUnused(j.lanes[0])
	s.tell(j.Seek(0, 0))
	for round := range 10 {
		s.append(j, 20)
		j.prepareAll(context.Background())
		j.flushAll()
		if round%3 == 1 {
			s.sync(j)
		}
		if round%2 == 0 {
			s.read(j)
		}
		j.disposeZombies()
	}
	s.stats = j.Stats()
	_ = j.Health(context.Background())
	s.tell(j.Close())
}

func (s *script) tell(err error) {
	if err != nil {
		s.told = append(s.told, err)
	}
}

func (s *script) append(j *Journal, n int) {
	for range n {
		err := j.Append(0, scriptClick(s.taken))
		s.tell(err)
		if err == nil {
			s.taken++
		}
	}
}

// scriptClick takes one slot or two, and four where its strings are not yet in the segment.
func scriptClick(n int) engine.Click {
	if n%3 == 0 {
		return smallClick(n)
	}
	c := browserClick(n)
	c.Referrer = bytes.Repeat([]byte("r"), 60)
	return c
}

func (s *script) sync(j *Journal) {
	before := s.taken
	j.syncAll()
	j.noteEnds()
	if err := j.syncErr.Load(); err != nil {
		s.tell(*err)
		for n := range before {
			if !s.synced[n] {
				s.risky[n] = true // a later sync does not speak of them any more
			}
		}
		return
	}
	for n := range before {
		s.synced[n] = !s.risky[n]
	}
}

func (s *script) read(j *Journal) {
	clicks, pos, err := j.Read(0, 45, nil)
	s.tell(err)
	for _, c := range clicks {
		s.seen[c.Link]++
	}
	s.pos = pos
	s.tell(j.Release(0, pos))
}

// settleUp ends the process as told, and looks at what the next one finds.
func (s *script) settleUp(t *testing.T, name, op, end string) {
	t.Helper()
	for _, again := range s.faults.again {
		t.Errorf("%s: it failed, and is done once more: %s", name, again)
	}
	for what, content := range s.faults.sealed {
		if m, ok := what.(*faultMemory); ok && !bytes.Equal(m.bytes(), content) {
			t.Errorf("%s: the memory is written to after its sync has failed", name)
		}
	}
	damage := s.stats.DamagedRecords + s.stats.DamagedSegments + s.stats.LostUserAgents
	// A read that gives less than was asked for is followed by one for the rest.
	if op != "" && (op != "read" || !s.faults.faults[op].short) && len(s.told) == 0 && s.log.Len() == 0 && damage == 0 {
		t.Errorf("%s: nobody is told", name)
	}
	must := func(int) bool { return true }
	if end == "power loss" {
		must = func(n int) bool { return s.synced[n] }
		s.disk.powerLoss()
	} else {
		s.disk.kill()
	}
	s.cfg.disk = s.disk
	j := newJournal(s.cfg)
	if err := errors.Join(j.takeOver(), j.Seek(0, s.pos)); err != nil {
		t.Fatalf("%s: the next process: %v", name, err)
	}
	clicks, _ := readAll(t, j, 0)
	for _, c := range clicks {
		s.seen[c.Link]++
	}
	lost := 0
	for n := range s.taken {
		switch times := s.seen[engine.LinkID(n+1)]; {
		case times > 1:
			t.Errorf("%s: click %d is read %d times", name, n, times)
		case times == 0 && must(n):
			lost++
		}
	}
	if lost > 0 && (damage == 0 || op != "read") { // what can't be read is put aside, or counted
		t.Errorf("%s: %d of %d clicks are lost", name, lost, s.taken)
	}
}
