package journal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

func TestJournalGivesClicksBack(t *testing.T) {
	for name, d := range disks {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t.TempDir())
			cfg.disk = d
			j := open(t, cfg)
			appendClicks(t, j, 0, 0, 300, testClick)
			got, pos := readAll(t, j, 0)
			wantClicks(t, got, 0, 300, testClick)
			if s := j.Stats(); s.Appended != 300 || s.Dropped != 0 || s.Unread[0] != 0 || !s.OldestUnread.IsZero() || s.Segments < 10 {
				t.Errorf("Stats = %+v", s)
			}
			if err := j.Release(0, pos); err != nil {
				t.Fatal(err)
			}
			appendClicks(t, j, 0, 300, 400, testClick)
			if s := j.Stats(); s.Appended != 400 || s.Unread[0] == 0 || !s.OldestUnread.Equal(new(testClick(300)).Time()) {
				t.Errorf("Stats = %+v", s)
			}
			closeJournal(t, j)

			j = open(t, cfg)
			if err := j.Seek(0, pos); err != nil {
				t.Fatal(err)
			}
			got, end := readAll(t, j, 0)
			wantClicks(t, got, 300, 400, testClick)
			if end < j.Recovered(0) || pos >= j.Recovered(0) {
				t.Errorf("read from %d to %d, Recovered = %d", pos, end, j.Recovered(0))
			}
			if s := j.Stats(); s.Holes+s.DamagedRecords+s.DamagedSegments+s.Gaps != 0 {
				t.Errorf("damage in Stats = %+v", s)
			}
			if h := j.Health(t.Context()); h.Status != engine.HealthPass {
				t.Errorf("Health = %+v", h)
			}
			closeJournal(t, j)
		})
	}
}

func TestAClickThatIsBeingWrittenIsNotOld(t *testing.T) {
	for name, d := range disks {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t.TempDir())
			cfg.disk = d
			later := time.Now().Add(time.Hour) // far from the time when the segment was made
			cfg.Now = func() time.Time { return later }
			j := open(t, cfg)
			appendClicks(t, j, 0, 0, 3, testClick)
			readAll(t, j, 0)
			last := j.lanes[0].last()
			defer j.unref(j.lanes[0], last)
			last.created = later.Add(-time.Minute)
			if last.tail.Add(1) > last.slots {
				t.Fatalf("the segment of %d slots is full", last.slots)
			}
			defer last.tail.Add(^uint64(0)) // Close waits for appenders
			if s := j.Stats(); s.Unread[0] != slotSize || !s.OldestUnread.Equal(later) {
				t.Errorf("with a slot that is reserved and empty, Stats = %+v, want 1 unread slot of this moment, %s", s, later)
			}
		})
	}
}

func TestAppendCutsLongStrings(t *testing.T) {
	j := open(t, testConfig(t.TempDir()))
	long := strings.Repeat("a", engine.UserAgentMaxLen-1) + "é" + "tail"
	c := engine.Click{UserAgent: []byte(long), Referrer: []byte(strings.Repeat("r", 9000)), Language: []byte(strings.Repeat("\x80", 100))}
	if err := j.Append(0, c); err != nil {
		t.Fatal(err)
	}
	got, _ := readAll(t, j, 0)
	if len(got) != 1 {
		t.Fatalf("read %d clicks, want 1", len(got))
	}
	if want := long[:engine.UserAgentMaxLen-1]; string(got[0].UserAgent) != want {
		t.Errorf("user agent = %q, want it cut before the é", got[0].UserAgent)
	}
	if len(got[0].Referrer) != engine.ReferrerMaxLen {
		t.Errorf("referrer has %d bytes, want %d", len(got[0].Referrer), engine.ReferrerMaxLen)
	}
	if n := len(got[0].Language); n > engine.LanguageMaxLen || n < engine.LanguageMaxLen-4 {
		t.Errorf("language has %d bytes, want about %d", n, engine.LanguageMaxLen)
	}
}

func TestLanesAreSeparate(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Lanes = 4
	j := open(t, cfg)
	for lane := range 4 {
		appendClicks(t, j, lane, lane*100, lane*100+20, smallClick)
	}
	closeJournal(t, j)
	cfg.Lanes = 2 // fewer than before: the old ones are still read
	j = open(t, cfg)
	if j.Lanes() != 4 {
		t.Fatalf("Lanes = %d, want 4", j.Lanes())
	}
	for lane := range 4 {
		got, _ := readAll(t, j, lane)
		wantClicks(t, got, lane*100, lane*100+20, smallClick)
	}
}

func TestUncommittedSlotIsAwaited(t *testing.T) {
	j := open(t, testConfig(t.TempDir()))
	appendClicks(t, j, 0, 0, 1, smallClick)
	s := j.lanes[0].current.Load()
	start := s.tail.Add(1) - 1 // an appender that is stopped between reservation and commit
	appendClicks(t, j, 0, 2, 100, smallClick)
	got, _ := readAll(t, j, 0)
	wantClicks(t, got, 0, 1, smallClick)
	c := smallClick(1)
	b := s.mem[start*slotSize : (start+1)*slotSize]
	storeWord(b, 0, putWhole(b, &c, s.seed, uint32(start)))
	got, _ = readAll(t, j, 0)
	wantClicks(t, got, 1, 100, smallClick)
}

func TestReleasedSegmentStaysWhileAnAppenderIsInIt(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Sync = SyncIntervalMin
	j := open(t, cfg)
	appendClicks(t, j, 0, 0, 1, smallClick)
	s := j.lanes[0].current.Load()
	start := s.tail.Add(1) - 1
	appendClicks(t, j, 0, 2, 100, smallClick)
	if err := j.Seek(0, j.lanes[0].behind()); err != nil {
		t.Fatal(err)
	}
	b := s.mem[start*slotSize : (start+1)*slotSize] // would be fatal if it had been unmapped
	storeWord(b, 0, putWhole(b, new(smallClick(1)), s.seed, uint32(start)))
	eventually(t, "the segment is disposed of", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.gone
	})
}

func TestDamageInMemoryIsSkipped(t *testing.T) {
	j := open(t, testConfig(t.TempDir()))
	appendClicks(t, j, 0, 0, 3, smallClick)
	s := j.lanes[0].current.Load()
	s.mem[(firstSlot+1)*slotSize+20] ^= 1
	got, _ := readAll(t, j, 0)
	if len(got) != 2 || got[1].Link != 3 {
		t.Errorf("read %v, want 1 and 3", links(got))
	}
	s.mem[(firstSlot+3)*slotSize+20] ^= 1
	appendClicks(t, j, 0, 3, 4, smallClick)
	s.mem[(firstSlot+3)*slotSize+20] ^= 1
	if got, _ := readAll(t, j, 0); len(got) != 0 {
		t.Errorf("read %v behind damage at the end, want nothing yet", links(got))
	}
	appendClicks(t, j, 0, 4, 200, smallClick)
	got, _ = readAll(t, j, 0)
	wantClicks(t, got, 4, 200, smallClick)
	if s := j.Stats(); s.DamagedRecords != 2 {
		t.Errorf("DamagedRecords = %d, want 2", s.DamagedRecords)
	}
	if h := j.Health(t.Context()); h.Status != engine.HealthWarn {
		t.Errorf("Health = %+v, want a warning", h)
	}
}

func TestFullJournalDropsAndComesBack(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.BytesMax = 4 * int64(cfg.SegmentBytes)
	j := open(t, cfg)
	n := 0
	for ; ; n++ {
		if err := j.Append(0, smallClick(n)); err != nil {
			if !errors.Is(err, engine.ErrJournalFull) {
				t.Fatalf("Append: %v, want ErrJournalFull", err)
			}
			break
		}
	}
	if want := 4 * (cfg.SegmentBytes/slotSize - firstSlot); n != want {
		t.Errorf("%d clicks fitted, want %d", n, want)
	}
	if err := j.Append(0, smallClick(n)); !errors.Is(err, engine.ErrJournalFull) {
		t.Errorf("Append: %v, want ErrJournalFull", err)
	}
	if s := j.Stats(); s.Dropped != 2 || s.Drops["full"] != 2 || s.BytesUsed != s.BytesMax {
		t.Errorf("Stats = %+v, want 2 dropped", s)
	}
	if h := j.Health(t.Context()); h.Status != engine.HealthWarn || !strings.Contains(h.Reason, "not recorded") || !strings.Contains(h.Reason, "full") {
		t.Errorf("Health = %+v, want a warning", h)
	}
	got, pos := readAll(t, j, 0)
	wantClicks(t, got, 0, n, smallClick)
	if err := j.Release(0, pos); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the lane has room again", func() bool { return j.Append(0, smallClick(n)) == nil })
	got, _ = readAll(t, j, 0)
	wantClicks(t, got, n, n+1, smallClick)
	if used := j.Stats().BytesUsed; used > cfg.BytesMax {
		t.Errorf("journal takes %d bytes, bound is %d", used, cfg.BytesMax)
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	cfg := testConfig(t.TempDir())
	j := open(t, cfg)
	if _, err := Open(cfg); !errors.Is(err, errLocked) || !strings.Contains(err.Error(), "stop it") {
		t.Fatalf("second Open: %v, want errLocked and what to do", err)
	}
	closeJournal(t, j)
	closeJournal(t, open(t, cfg))
}

func TestClosedJournal(t *testing.T) {
	j := open(t, testConfig(t.TempDir()))
	appendClicks(t, j, 0, 0, 1, smallClick)
	closeJournal(t, j)
	closeJournal(t, j)
	_, _, readErr := j.Read(0, 1, nil)
	for what, err := range map[string]error{
		"Append": j.Append(0, smallClick(0)), "Read": readErr, "Seek": j.Seek(0, 0), "Release": j.Release(0, 0),
	} {
		if !errors.Is(err, engine.ErrJournalClosed) {
			t.Errorf("%s after Close: %v, want ErrJournalClosed", what, err)
		}
	}
	if h := j.Health(t.Context()); h.Status != engine.HealthFail {
		t.Errorf("Health after Close = %+v, want fail", h)
	}
	if s := j.Stats(); s.Appended != 1 || s.Dropped != 1 || s.Drops["closed"] != 1 {
		t.Errorf("Stats after Close = %+v, want 1 appended, 1 dropped", s)
	}
}

func TestDrainedJournalLeavesNothing(t *testing.T) {
	cfg := testConfig(t.TempDir())
	j := open(t, cfg)
	appendClicks(t, j, 0, 0, 200, smallClick)
	_, pos := readAll(t, j, 0)
	if err := j.Release(0, pos); err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
	if names := segmentFiles(t, cfg.Dir); len(names) != 0 {
		t.Errorf("%v are left, want none", names)
	}
	j = open(t, cfg)
	if j.Recovered(0) != 0 {
		t.Errorf("Recovered = %d, want 0", j.Recovered(0))
	}
	if err := j.Seek(0, pos); err != nil {
		t.Fatal(err)
	}
	appendClicks(t, j, 0, 200, 201, smallClick)
	got, next := readAll(t, j, 0)
	wantClicks(t, got, 200, 201, smallClick)
	if next <= pos {
		t.Errorf("position %d is not above the checkpoint %d", next, pos)
	}
}

// Prepared segments that a killed process never used must not fill the disk, however often it dies.
func TestUnusedSegmentsAreSwept(t *testing.T) {
	cfg := testConfig(t.TempDir())
	src := open(t, cfg)
	appendClicks(t, src, 0, 0, 3, smallClick)
	closeJournal(t, src)
	used := segmentFiles(t, cfg.Dir)
	if len(used) != 1 {
		t.Fatalf("segments are %v, want one", used)
	}
	j := &Journal{cfg: cfg.withDefaults(), disk: newDisk(), log: cfg.Logger, node: src.node}
	l := &lane{lastSeq: src.lanes[0].lastSeq + 1}
	l.current.Store(newSentinel(0, src.lanes[0].lastSeq))
	for range 2 {
		s, err := j.create(l)
		if err != nil {
			t.Fatal(err)
		}
		l.current.Store(s)
		if err := s.memory.close(); err != nil {
			t.Fatal(err)
		}
	}
	j = open(t, cfg)
	eventually(t, "the unused ones are free, one is in use", func() bool { return len(segmentFiles(t, cfg.Dir)) == 2 })
	got, _ := readAll(t, j, 0)
	wantClicks(t, got, 0, 3, smallClick)
	appendClicks(t, j, 0, 3, 200, smallClick)
	got, _ = readAll(t, j, 0)
	wantClicks(t, got, 3, 200, smallClick)
	if s := j.Stats(); s.Gaps != 0 {
		t.Errorf("Gaps = %d, want 0", s.Gaps)
	}
	closeJournal(t, j)
	if s := open(t, cfg).Stats(); s.Gaps != 0 {
		t.Errorf("Gaps after another start = %d, want 0", s.Gaps)
	}
}

func TestNodeIsMadeOnce(t *testing.T) {
	cfg := testConfig(t.TempDir())
	j := open(t, cfg)
	node := j.Node()
	if _, ok := parseNodeID(string(node)); !ok {
		t.Fatalf("Node = %q, want 32 hex digits", node)
	}
	appendClicks(t, j, 0, 0, 1, smallClick)
	closeJournal(t, j)
	for _, damage := range []func(string) error{
		func(string) error { return nil },
		os.Remove,
		func(path string) error { return os.WriteFile(path, []byte("rubbish"), 0o600) },
	} {
		if err := damage(filepath.Join(cfg.Dir, nodeName)); err != nil {
			t.Fatal(err)
		}
		j = open(t, cfg)
		if j.Node() != node {
			t.Errorf("Node = %q, want %q from the segments", j.Node(), node)
		}
		closeJournal(t, j)
	}
}

func TestSyncAlwaysIsDurableWhenAppendReturns(t *testing.T) {
	for name, d := range disks {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t.TempDir())
			cfg.disk, cfg.Sync = d, SyncAlways
			j := open(t, cfg)
			done := make(chan error)
			for p := range 4 {
				go func() {
					var err error
					for n := 0; n < 60 && err == nil; n++ {
						s := j.lanes[0].current.Load()
						err = j.Append(0, smallClick(p*1000+n))
						if err == nil && s == j.lanes[0].current.Load() && s.synced.Load() < 2 {
							err = errors.New("returned before a sync")
						}
					}
					done <- err
				}()
			}
			for range 4 {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			if s := j.Stats(); s.Appended != 240 || s.SyncLag != 0 {
				t.Errorf("Stats = %+v, want 240 appended and nothing to sync", s)
			}
			closeJournal(t, j)
		})
	}
}

func TestIntervalSyncsInTheBackground(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Sync = SyncIntervalMin
	j := open(t, cfg)
	appendClicks(t, j, 0, 0, 10, smallClick)
	s := j.lanes[0].current.Load()
	eventually(t, "the records are synced", func() bool { return s.synced.Load() == firstSlot+10 && !s.fresh.Load() })
}

func TestSyncLagIsToldAndWarned(t *testing.T) {
	cfg := testConfig(t.TempDir())
	now := time.Unix(1_700_000_000, 0)
	cfg.Now = func() time.Time { return now }
	cfg.Sync = SyncIntervalMax
	j := open(t, cfg)
	appendClicks(t, j, 0, 0, 1, smallClick)
	j.syncedAt.Store(now.Add(-11 * time.Hour).UnixNano())
	if s := j.Stats(); s.SyncLag != 11*time.Hour {
		t.Errorf("SyncLag = %v, want 11h", s.SyncLag)
	}
	if h := j.Health(context.Background()); h.Status != engine.HealthWarn || !strings.Contains(h.Reason, "11h") {
		t.Errorf("Health = %+v, want a warning", h)
	}
	j.syncAll()
	if s := j.Stats(); s.SyncLag != 0 {
		t.Errorf("SyncLag = %v, want 0", s.SyncLag)
	}
}

func TestPromiseNamesTheSetting(t *testing.T) {
	for sync, want := range map[Sync]string{SyncAlways: "costs none", SyncOff: "has not written", 0: "last 1s"} {
		cfg := testConfig(t.TempDir())
		cfg.Sync = sync
		j := open(t, cfg)
		if got := j.Promise(); !strings.Contains(got, want) {
			t.Errorf("Promise with %v = %q, want %q in it", sync, got, want)
		}
		appendClicks(t, j, 0, 0, 1, smallClick)
		closeJournal(t, j)
	}
}
