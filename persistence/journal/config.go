package journal

import (
	"fmt"
	"log/slog"
	"time"
)

// Defaults and bounds of a Config.
const (
	LanesDefault        = 16
	LanesMax            = 4096
	BytesMaxDefault     = 2 << 30
	SegmentBytesDefault = 4 << 20
	SegmentBytesMin     = 4 << 10 // one page: the header, and two records of the largest size
	SegmentBytesMax     = slotsMax * slotSize
	SyncDefault         = Sync(time.Second)

	segmentsPerLaneMin = 2 // one in use, one prepared
	pageBytes          = 4096
)

// Config is how a journal is opened. With Dir set, the zero value of everything else works. Journal keeps a copy.
type Config struct {
	Dir          string           // the journal's own directory, made when it is missing; required
	Lanes        int              // a power of two up to LanesMax; 0: LanesDefault
	BytesMax     int64            // bound on what the segments take on the disk; 0: BytesMaxDefault
	SegmentBytes int              // one segment file, a multiple of 4096; 0: SegmentBytesDefault, less when BytesMax is small
	Sync         Sync             // when clicks are made safe against power loss; 0: SyncDefault
	Logger       *slog.Logger     // nil: slog.Default
	Now          func() time.Time // nil: time.Now

	disk disk // nil: the operating system's; tests put faults here
}

// withDefaults fills what is zero.
func (c Config) withDefaults() Config {
	if c.Lanes == 0 {
		c.Lanes = LanesDefault
	}
	if c.BytesMax == 0 {
		c.BytesMax = BytesMaxDefault
	}
	if c.SegmentBytes == 0 && c.Lanes > 0 {
		// At least four segments a lane, so that the bound is met in steps and not by one segment that does not fit.
		c.SegmentBytes = int(min(SegmentBytesDefault, c.BytesMax/int64(4*c.Lanes)/pageBytes*pageBytes))
		c.SegmentBytes = max(c.SegmentBytes, SegmentBytesMin)
	}
	if c.Sync == 0 {
		c.Sync = SyncDefault
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.disk == nil {
		c.disk = newDisk()
	}
	return c
}

// Validate says which field is out of its bounds.
func (c Config) Validate() error {
	c = c.withDefaults()
	if c.Dir == "" {
		return fmt.Errorf("journal: Dir is empty; a directory is required")
	}
	if c.Lanes < 1 || c.Lanes > LanesMax || c.Lanes&(c.Lanes-1) != 0 {
		return fmt.Errorf("journal: Lanes is %d; a power of two from 1 to %d is required", c.Lanes, LanesMax)
	}
	if c.SegmentBytes < SegmentBytesMin || c.SegmentBytes > SegmentBytesMax || c.SegmentBytes%pageBytes != 0 {
		return fmt.Errorf("journal: SegmentBytes is %d; a multiple of %d from %d to %d is required",
			c.SegmentBytes, pageBytes, SegmentBytesMin, SegmentBytesMax)
	}
	if least := int64(segmentsPerLaneMin) * int64(c.Lanes) * int64(c.SegmentBytes); c.BytesMax < least {
		return fmt.Errorf("journal: BytesMax is %d; at least %d is required (%d lanes, %d segments of %d bytes each)",
			c.BytesMax, least, c.Lanes, segmentsPerLaneMin, c.SegmentBytes)
	}
	return c.Sync.validate()
}

// Sync says when clicks are made safe against power loss. They are safe against the death of the process whatever it says.
// A positive value is the interval between two syncs in the background; 0 stands for SyncDefault.
type Sync time.Duration

// The special values, and the bounds of an interval.
const (
	SyncAlways Sync = -1 // Append returns when the click is on stable storage
	SyncOff    Sync = -2 // the operating system writes when it likes

	SyncIntervalMin = Sync(time.Millisecond)
	SyncIntervalMax = Sync(time.Hour)
)

// ParseSync reads "always", "off" or a duration such as "1s".
func ParseSync(s string) (Sync, error) {
	switch s {
	case "always":
		return SyncAlways, nil
	case "off":
		return SyncOff, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("journal: sync is %q; \"always\", \"off\" or a duration such as \"1s\" is accepted", s)
	}
	if d == 0 {
		return 0, fmt.Errorf("journal: sync is %q; %v to %v is accepted, or \"always\", or \"off\"", s, SyncIntervalMin, SyncIntervalMax)
	}
	v := Sync(d)
	if d < 0 { // -1ns is not another way to say "always"
		v = SyncOff - 1
	}
	return v, v.validate()
}

// String is what ParseSync reads.
func (s Sync) String() string {
	switch s {
	case SyncAlways:
		return "always"
	case SyncOff:
		return "off"
	}
	return time.Duration(s).String()
}

func (s Sync) validate() error {
	if s == SyncAlways || s == SyncOff || s >= SyncIntervalMin && s <= SyncIntervalMax {
		return nil
	}
	return fmt.Errorf("journal: Sync is %v; %v to %v is accepted, or \"always\", or \"off\"", s, SyncIntervalMin, SyncIntervalMax)
}

// interval is the beat of the background work; without syncs it still counts records and retries what failed.
func (s Sync) interval() time.Duration {
	if s > 0 {
		return time.Duration(s)
	}
	return time.Duration(SyncDefault)
}
