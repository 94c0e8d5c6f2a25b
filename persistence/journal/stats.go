package journal

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/carom-dev/carom/engine"
)

// Bounds of what Health finds worth a warning.
const (
	healthFullPercent  = 80
	healthDropMemory   = 5 * time.Minute // a drop is told for so long
	healthSyncLagBeats = 10              // so many intervals without a sync
)

// Stats are a journal's figures since it was opened. Segments and bytes are those of now.
type Stats struct {
	Segments        int
	BytesUsed       int64 // segment files, those that wait for their next use included
	BytesMax        int64
	Appended        uint64            // records
	Dropped         uint64            // clicks that were not recorded
	Drops           map[string]uint64 // the same by reason: full, disk, error, closed
	Holes           uint64            // rows of slots that a process reserved and died before it committed them; those clicks were never acknowledged
	DamagedRecords  uint64            // rows of slots that held records once
	DamagedSegments uint64            // put aside, or cut short
	LostUserAgents  uint64            // clicks that were read without, as the record they refer to does not hold
	Gaps            uint64            // places where segments are missing
	Unread          []uint64          // bytes that the lane's reader has not read, in whole slots
	OldestUnread    time.Time         // of the oldest record that was not read; of a recovered segment, when that was made; zero: none
	SyncLag         time.Duration     // since the last sync, when there are records it did not cover
	SyncErrors      uint64
}

// Stats reads the figures. It walks over the records since the last look, so it is for a scrape and not for a request.
func (j *Journal) Stats() Stats {
	s := Stats{
		BytesUsed: j.bytes.Load(), BytesMax: j.cfg.BytesMax,
		Holes: j.holes.Load(), DamagedRecords: j.damagedRecords.Load(), DamagedSegments: j.damagedSegments.Load(),
		LostUserAgents: j.lostUserAgents.Load(),
		Gaps:           j.gaps.Load(), SyncErrors: j.syncErrors.Load(),
		Unread: make([]uint64, len(j.lanes)), Drops: map[string]uint64{},
	}
	for r := range dropReasons {
		s.Drops[r.String()] = j.drops[r].Load()
	}
	dirty := false
	for i, l := range j.lanes {
		s.Dropped += l.dropped.Load()
		s.Appended += l.retired.Load()
		pos := l.position()
		for _, seg := range l.all() {
			s.Segments++
			s.Appended += seg.recorded()
			dirty = dirty || seg.dirty()
			unread, oldest := seg.unread(pos)
			s.Unread[i] += unread * seg.slotBytes()
			if oldest.IsZero() {
				oldest = j.cfg.Now() // it is being written at this moment
			}
			if unread > 0 && (s.OldestUnread.IsZero() || oldest.Before(s.OldestUnread)) {
				s.OldestUnread = oldest
			}
			j.unref(l, seg)
		}
	}
	if dirty && j.cfg.Sync != SyncOff {
		s.SyncLag = max(0, j.cfg.Now().Sub(time.Unix(0, j.syncedAt.Load())))
	}
	return s
}

// slotBytes is how large the slots are, which recovered segments of an older version have larger.
func (s *segment) slotBytes() uint64 {
	if s.archive != nil {
		return uint64(s.archive.slotBytes)
	}
	return slotSize
}

// unread is how many slots lie behind pos, and when the first of them was recorded; zero when its appender is still writing it.
// In a recovered segment the slots that were never used count too: only reading tells.
func (s *segment) unread(pos engine.Position) (slots uint64, oldest time.Time) {
	from := s.first()
	if s.seq < pos.Segment() {
		return 0, oldest
	}
	if s.seq == pos.Segment() {
		from = max(from, uint64(pos.Slot()))
	}
	to, _ := s.limit()
	if from >= to {
		return 0, oldest
	}
	if s.live() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.gone {
			r, word, ok := s.record(from)
			if ok {
				return to - from, r.click.Time()
			}
			if word == 0 {
				return to - from, time.Time{}
			}
		}
	}
	return to - from, s.created
}

// Blocked says why clicks are not recorded at present, in one lane at least; nil when all are.
func (j *Journal) Blocked() error {
	for _, l := range j.lanes {
		if b := l.blocked.Load(); b != nil {
			return b.cause
		}
	}
	return nil
}

// Health says how the journal does. It never fails while the journal is open: redirects go on without it.
func (j *Journal) Health(context.Context) engine.Health {
	if j.closed.Load() {
		return engine.Health{Status: engine.HealthFail, Reason: "journal is closed"}
	}
	var reasons []string
	warn := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }
	s := j.Stats()
	if err := j.Blocked(); err != nil {
		warn("clicks are not recorded: %v", err)
	}
	if at := j.lastDrop.Load(); at != 0 && j.cfg.Now().Sub(time.Unix(0, at)) < healthDropMemory {
		warn("%d clicks were not recorded, the last at %s", s.Dropped, time.Unix(0, at).UTC().Format(time.RFC3339))
	}
	if used := j.unreadBytes(s); used*100 > s.BytesMax*healthFullPercent {
		warn("journal is %d %% full", used*100/s.BytesMax)
	}
	if err := j.syncErr.Load(); err != nil {
		warn("last sync did not work: %v", *err)
	} else if s.SyncLag > healthSyncLagBeats*j.cfg.Sync.interval() {
		warn("last sync was %s ago", s.SyncLag.Round(time.Second))
	}
	if s.DamagedSegments > 0 || s.DamagedRecords > 0 || s.LostUserAgents > 0 || s.Gaps > 0 {
		warn("damage was found: %d segments, %d records, %d user agents, %d gaps", s.DamagedSegments, s.DamagedRecords, s.LostUserAgents, s.Gaps)
	}
	if len(reasons) > 0 {
		return engine.Health{Status: engine.HealthWarn, Reason: strings.Join(reasons, "; ")}
	}
	return engine.Health{Status: engine.HealthPass}
}

// unreadBytes is what the bound has no way to get back now: segment files that are in use.
func (j *Journal) unreadBytes(s Stats) int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return s.BytesUsed - int64(len(j.free))*int64(j.cfg.SegmentBytes)
}
