package actors

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/dchest/siphash"

	"github.com/carom-dev/carom/engine"
)

// visitors makes visitor ids: SipHash-2-4 (Aumasson and Bernstein, 2012) of the truncated address and the user agent, under a
// salt that the store keeps for one UTC day and then destroys, so that a visitor can be recognised within a day and never
// across two. Safe for concurrent use.
type visitors struct {
	cfg  *Config
	days atomic.Pointer[salts]
}

// salts are those of two days, as hits around midnight fall on both.
type salts struct{ today, tomorrow salt }

type salt struct {
	day    int64 // since the epoch
	k0, k1 uint64
	stored bool // the store's; else one of our own, as the store was away
}

const microsPerDay = 24 * 60 * 60 * 1e6

// usualUserAgent is as long as the user agents of browsers are at most.
const usualUserAgent = 185

// saltTimeout bounds one question to the store.
const saltTimeout = 2 * time.Second

func newVisitors(cfg *Config) *visitors {
	v := &visitors{cfg: cfg}
	day := cfg.Now().UnixMicro() / microsPerDay
	v.days.Store(&salts{today: ownSalt(day), tomorrow: ownSalt(day + 1)})
	return v
}

// ownSalt is a random salt, for a day whose stored one is not known: the ids of this instance's visitors then differ from those
// of the others until it is.
func ownSalt(day int64) salt {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return saltOf(day, b, false)
}

func saltOf(day int64, b [16]byte, stored bool) salt {
	return salt{day: day, k0: binary.LittleEndian.Uint64(b[:8]), k1: binary.LittleEndian.Uint64(b[8:]), stored: stored}
}

// Visitor implements engine.VisitorHasher. 0 allocs: TestVisitorAllocs.
func (v *visitors) Visitor(at int64, addr engine.TruncatedAddr, userAgent []byte) uint64 {
	days := v.days.Load()
	s := &days.today
	if at/microsPerDay > s.day {
		s = &days.tomorrow
	}
	if len(userAgent) > usualUserAgent {
		return s.longVisitor(addr, userAgent)
	}
	var buf [len(addr) + usualUserAgent]byte
	n := copy(buf[:], addr[:])
	n += copy(buf[n:], userAgent)
	return siphash.Hash(s.k0, s.k1, buf[:n])
}

// longVisitor is Visitor for a user agent of any length up to the bound; clearing that much would cost each hit a twelfth of the hash.
func (s *salt) longVisitor(addr engine.TruncatedAddr, userAgent []byte) uint64 {
	var buf [len(addr) + engine.UserAgentMaxLen]byte
	n := copy(buf[:], addr[:])
	n += copy(buf[n:], userAgent)
	return siphash.Hash(s.k0, s.k1, buf[:n])
}

// renew brings the salts up to the day, and replaces our own by the store's. It talks to the store: call it on a worker, one
// at a time.
func (v *visitors) renew(ctx context.Context) {
	day := v.cfg.Now().UnixMicro() / microsPerDay
	was := v.days.Load()
	v.days.Store(&salts{today: v.salt(ctx, day, was), tomorrow: v.salt(ctx, day+1, was)})
}

func (v *visitors) salt(ctx context.Context, day int64, was *salts) salt {
	known := ownSalt(day)
	for _, s := range []salt{was.today, was.tomorrow} {
		if s.day == day {
			known = s
		}
	}
	if known.stored {
		return known
	}
	ctx, cancel := context.WithTimeout(ctx, saltTimeout)
	defer cancel()
	b, err := v.cfg.Clicks.VisitorSalt(ctx, time.UnixMicro(day*microsPerDay).UTC())
	if err != nil {
		v.cfg.Logger.Warn("no salt for visitor ids from the store; using one of this instance", "err", err)
		return known
	}
	return saltOf(day, b, true)
}
