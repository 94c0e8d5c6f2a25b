package limit_test

import (
	"testing"
	"time"

	"github.com/carom-dev/carom/engine/limit"
)

func TestStatsCountRefusalsAndKeys(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano()
	l := limit.New(perMinute(2))
	for range 5 {
		l.Take(7, now, 1)
	}
	l.Take(8, now, 1)
	l.Peek(7, now, 1)
	if s := l.Stats(); s != (limit.Stats{Keys: 2, Refused: 4}) {
		t.Errorf("Stats() = %+v, want 2 keys and 4 refusals", s)
	}
}

func TestStatsCountKeysThatWereForgotten(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano()
	l := limit.New(perMinute(1))
	const more = 1000
	// Keys of one stripe after the other, so that each is filled to its bound and no further.
	for key := range uint64(limit.KeysMax + more) {
		l.Take(key, now, 1)
	}
	if s := l.Stats(); s != (limit.Stats{Keys: limit.KeysMax, Forgotten: more}) {
		t.Errorf("Stats() = %+v, want %d keys and %d forgotten", s, limit.KeysMax, more)
	}
}
