package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

const (
	crashSeedsVar = "CAROM_CRASH_SEEDS" // how many seeds TestCrashModel tries; 1,000 unless it is set
	crashSeedVar  = "CAROM_CRASH_SEED"  // the first of them; 1 unless it is set

	crashLanes = 2
	crashSteps = 60
)

func countFromEnvironment(t testing.TB, name string, otherwise int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		t.Fatalf("%s is %q; a count is required", name, s)
	}
	return n
}

// TestCrashModel does random things to a journal on a disk that loses what was not synced, with kills and power losses in
// between. Whatever is lost, kept or torn, the journal opens again; each click that was safe is read once, in its lane's order;
// no click is stored twice; none is read that was not appended. A failure says its seed.
func TestCrashModel(t *testing.T) {
	seeds := countFromEnvironment(t, crashSeedsVar, 1000)
	first := countFromEnvironment(t, crashSeedVar, 1)
	var total crashFigures
	for seed := first; seed < first+seeds; seed++ {
		m := newCrashModel(uint64(seed))
		err := m.run()
		if err != nil {
			t.Fatalf("seed %d, step %d: %v\n(again: %s=%d %s=1 go test -run TestCrashModel ./persistence/journal)", seed, m.step, err, crashSeedVar, seed, crashSeedsVar)
		}
		total.add(m.figures)
	}
	if seeds >= 100 && (total.kills == 0 || total.losses == 0 || total.torn == 0 || total.bare == 0 || total.recycled == 0) {
		t.Errorf("figures are %+v: something was never tried", total)
	}
	t.Logf("%d seeds from %d: %d kills, %d power losses, %d clicks appended, %d stored, %d torn or lost before any sync, %d of them read without their user agent, %d segments in recycled files",
		seeds, first, total.kills, total.losses, total.appended, total.stored, total.torn, total.bare, total.recycled)
}

type crashFigures struct{ kills, losses, appended, stored, torn, bare, recycled int }

func (f *crashFigures) add(o crashFigures) {
	f.kills += o.kills
	f.losses += o.losses
	f.appended += o.appended
	f.stored += o.stored
	f.torn += o.torn
	f.bare += o.bare
	f.recycled += o.recycled
}

// safety is what an appended click survives.
type safety uint8

const (
	atRisk  safety = iota // written behind, and not yet with the operating system
	cached                // the death of the process
	durable               // power loss
	maybe                 // may be there or not, since a crash
)

// crashModel is one seed's journal, disk and store, and what must be true of them.
type crashModel struct {
	rng  *rand.Rand
	disk *simDisk
	cfg  Config
	now  time.Time
	step int

	j          *Journal
	clicks     []safety // by number
	lane       []int    // of each click
	early      []bool   // appended before the checkpoints were known: they may come a little later
	stored     []bool
	lastStored [crashLanes]int
	checkpoint [crashLanes]engine.Position
	opening    bool
	figures    crashFigures
}

func newCrashModel(seed uint64) *crashModel {
	rng := rand.New(rand.NewPCG(seed, 0x0ca70))
	m := &crashModel{rng: rng, disk: newSimDisk(rng), now: time.UnixMilli(1_700_000_000_000)}
	m.disk.behind = rng.IntN(4) == 0
	m.lastStored = [crashLanes]int{-1, -1}
	m.cfg = Config{
		Dir: "/journal", Lanes: crashLanes, SegmentBytes: SegmentBytesMin * (1 + rng.IntN(2)), Sync: SyncIntervalMax,
		Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return m.now }, disk: m.disk,
	}
	m.cfg.BytesMax = int64(m.cfg.SegmentBytes) * int64(2*crashLanes+rng.IntN(20))
	if rng.IntN(5) == 0 {
		m.disk.spaceBytes = m.cfg.SegmentBytes * (2 + rng.IntN(8))
	}
	return m
}

func (m *crashModel) run() error {
	if err := m.open(); err != nil {
		return err
	}
	for m.step = range crashSteps {
		if err := m.act(); err != nil {
			return err
		}
	}
	m.disk.spaceBytes = 0
	if err := m.crash(); err != nil {
		return err
	}
	return m.settleUp()
}

// act does one random thing.
func (m *crashModel) act() error {
	m.now = m.now.Add(time.Duration(m.rng.IntN(200)) * time.Millisecond)
	lane := m.rng.IntN(crashLanes)
	switch m.rng.IntN(20) {
	case 0, 1, 2, 3, 4:
		return m.append(lane, 1+m.rng.IntN(30))
	case 5, 6, 7:
		return m.store(lane, 1+m.rng.IntN(60), m.rng.IntN(4) > 0)
	case 8, 9:
		m.j.prepareAll(context.Background())
	case 10, 11:
		return m.sync()
	case 12:
		m.flush()
	case 13:
		m.j.lanes[lane].current.Load().seal()
	case 14:
		return m.j.Release(lane, m.checkpoint[lane])
	case 15:
		m.j.disposeZombies()
	case 16:
		m.disk.writeBack()
	case 17:
		for _, l := range m.j.lanes {
			m.j.sweepUnused(l)
		}
	default:
		return m.crash()
	}
	return nil
}

// append adds clicks to the lane, as long as there is room.
func (m *crashModel) append(lane, n int) error {
	for range n {
		c := mixedClick(len(m.clicks))
		err := m.j.Append(lane, c)
		if errors.Is(err, engine.ErrJournalFull) {
			return nil
		}
		if err != nil {
			return err
		}
		how := cached
		if m.disk.behind {
			how = atRisk
		}
		m.clicks, m.lane, m.early = append(m.clicks, how), append(m.lane, lane), append(m.early, m.opening)
		m.stored = append(m.stored, false)
		m.figures.appended++
	}
	return nil
}

// store reads some of the lane's clicks and keeps them with the checkpoint, in one transaction; it tells the journal, or dies
// before it does.
func (m *crashModel) store(lane, limit int, release bool) error {
	clicks, pos, err := m.j.Read(lane, limit, nil)
	if err != nil {
		return err
	}
	if pos < m.checkpoint[lane] {
		return fmt.Errorf("lane %d: read to %x, which is before the checkpoint %x", lane, pos, m.checkpoint[lane])
	}
	if len(clicks) > limit {
		return fmt.Errorf("lane %d: read %d clicks, want %d at most", lane, len(clicks), limit)
	}
	for _, c := range clicks {
		n := int(c.Link) - 1
		if n < 0 || n >= len(m.clicks) || m.lane[n] != lane {
			return fmt.Errorf("lane %d: click %d was never appended to it", lane, n)
		}
		err := sameClick(c, mixedClick(n))
		if err != nil && m.clicks[n] == maybe && sameClick(c, withoutUserAgent(mixedClick(n))) == nil {
			m.figures.bare++ // the record that it refers to was lost with the power
			err = nil
		}
		if err != nil {
			return fmt.Errorf("lane %d: %w", lane, err)
		}
		if m.stored[n] {
			return fmt.Errorf("lane %d: click %d is stored twice", lane, n)
		}
		if n < m.lastStored[lane] && !m.early[n] {
			return fmt.Errorf("lane %d: click %d follows %d", lane, n, m.lastStored[lane])
		}
		m.stored[n] = true
		m.lastStored[lane] = max(m.lastStored[lane], n)
		m.figures.stored++
	}
	m.checkpoint[lane] = pos
	if !release {
		return nil
	}
	return m.j.Release(lane, pos)
}

// sync makes everything durable.
func (m *crashModel) sync() error {
	m.j.syncAll()
	m.j.noteEnds()
	if err := m.j.syncErr.Load(); err != nil {
		if errors.Is(*err, syscall.ENOSPC) {
			return nil
		}
		return *err
	}
	m.raise(durable)
	return nil
}

func (m *crashModel) flush() {
	m.j.flushAll()
	if m.j.syncErr.Load() == nil {
		m.raise(cached)
	}
}

// raise says that every click that is there is now at least so safe.
func (m *crashModel) raise(to safety) {
	for n, s := range m.clicks {
		if s < to {
			m.clicks[n] = to
		}
	}
}

// crash ends the process, one way or another, and starts the next.
func (m *crashModel) crash() error {
	switch m.rng.IntN(5) {
	case 0:
		if err := m.j.Close(); err != nil {
			return err
		}
		m.raise(durable)
	case 1, 2:
		m.tearAppend()
		m.disk.kill()
		m.figures.kills++
		m.lose(cached)
	default:
		m.tearAppend()
		m.disk.powerLoss()
		m.figures.losses++
		m.lose(durable)
	}
	return m.open()
}

// tearAppend leaves an append unfinished, as it is when the process dies in it.
func (m *crashModel) tearAppend() {
	for _, l := range m.j.lanes {
		if s := l.current.Load(); m.rng.IntN(2) == 0 && s.slots > 0 {
			reserveTorn(s, m.rng.IntN(1000), m.rng)
		}
	}
	for _, l := range m.j.lanes {
		for _, s := range l.segments {
			if s.live() && !s.failed.Load() && len(m.j.free) > 0 {
				m.figures.recycled++
			}
		}
	}
}

// lose gives up the clicks that are less safe than what happened asks for.
func (m *crashModel) lose(least safety) {
	for n, s := range m.clicks {
		if s < least {
			m.clicks[n] = maybe
			m.figures.torn++
		}
	}
}

// open starts a process. Now and then there are clicks before the store's checkpoints are known.
func (m *crashModel) open() error {
	m.now = m.now.Add(time.Duration(m.rng.IntN(100)-10) * time.Millisecond) // it may go back
	m.opening = true
	defer func() { m.opening = false }()
	m.j = newJournal(m.cfg)
	if err := m.j.takeOver(); err != nil {
		return err
	}
	for _, l := range m.j.lanes {
		m.j.sweepUnused(l)
	}
	before := len(m.clicks)
	if m.rng.IntN(3) == 0 {
		if err := m.append(m.rng.IntN(crashLanes), 1+m.rng.IntN(30)); err != nil {
			return err
		}
	}
	for lane := range crashLanes {
		dropped := m.j.lanes[lane].dropped.Load()
		if err := m.j.Seek(lane, m.checkpoint[lane]); err != nil {
			return err
		}
		if m.j.lanes[lane].dropped.Load() > dropped { // there was no room to carry the early ones, and that was counted
			m.giveUp(lane, before)
		}
	}
	return nil
}

// giveUp stops asking for the lane's clicks from the given one on.
func (m *crashModel) giveUp(lane, from int) {
	for n := from; n < len(m.clicks); n++ {
		if m.lane[n] == lane {
			m.clicks[n] = maybe
		}
	}
}

// settleUp stores everything that is left, and finds what is missing.
func (m *crashModel) settleUp() error {
	for lane := range crashLanes {
		for reads := 0; ; reads++ {
			before := m.figures.stored
			if err := m.store(lane, 50, true); err != nil {
				return err
			}
			if m.figures.stored == before {
				break
			}
			if reads > len(m.clicks) {
				return fmt.Errorf("lane %d: reading has no end", lane)
			}
		}
	}
	for n, s := range m.clicks {
		if s != maybe && !m.stored[n] {
			return fmt.Errorf("click %d of lane %d is lost, which was %s", n, m.lane[n], [...]string{"appended", "safe from kills", "synced"}[s])
		}
	}
	return m.j.Close()
}
