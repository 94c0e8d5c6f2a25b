package limit_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine/limit"
)

// start is some moment; the limiter has no clock of its own.
const start = int64(1_700_000_000_000_000_000)

func perMinute(n int) limit.Rate { return limit.Rate{Requests: n, Period: time.Minute} }

// drain takes units until the first refusal and returns how many were given, and the refusal.
func drain(l *limit.Limiter, key uint64, now int64, share float64) (int, limit.Decision) {
	for n := 0; ; n++ {
		if d := l.Take(key, now, share); !d.Allowed {
			return n, d
		}
	}
}

func TestBurstIsTheWholeLimitAndNoMore(t *testing.T) {
	for _, r := range []limit.Rate{
		perMinute(1), perMinute(30), perMinute(200), perMinute(7), {Requests: 1, Period: time.Second}, {Requests: 1e5, Period: time.Hour},
	} {
		l := limit.New(r)
		got, d := drain(l, 1, start, 1)
		if got != r.Requests || d.Limit != r.Requests || d.Remaining != 0 {
			t.Errorf("%v: %d at once and then %+v, want %d and none remaining", r, got, d, r.Requests)
		}
		if l.Rate() != r {
			t.Errorf("Rate() = %v, want %v", l.Rate(), r)
		}
	}
}

func TestRefusedUntilRetryAfterAndAllowedAtIt(t *testing.T) {
	for _, r := range []limit.Rate{perMinute(1), perMinute(7), perMinute(200), {Requests: 3, Period: time.Second}} {
		l := limit.New(r)
		_, d := drain(l, 1, start, 1)
		for i := range 20 {
			at := start + int64(d.RetryAfter)
			if early := l.Take(1, at-1, 1); early.Allowed || early.RetryAfter != 1 {
				t.Fatalf("%v, round %d: a nanosecond before RetryAfter: %+v, want a refusal for one more nanosecond", r, i, early)
			}
			if on := l.Take(1, at, 1); !on.Allowed {
				t.Fatalf("%v, round %d: at RetryAfter: %+v, want it allowed", r, i, on)
			}
			d = l.Take(1, at, 1)
			if d.Allowed {
				t.Fatalf("%v, round %d: a second unit at RetryAfter was allowed", r, i)
			}
			d.RetryAfter += time.Duration(at - start)
		}
	}
}

func TestUnitsComeBackEvenly(t *testing.T) {
	for _, seconds := range []int64{0, 1, 10, 59, 60, 600} {
		l := limit.New(perMinute(60)) // one a second
		drain(l, 1, start, 1)
		got, _ := drain(l, 1, start+seconds*int64(time.Second), 1)
		if want := int(min(seconds, 60)); got != want {
			t.Errorf("%d s after a burst: %d units, want %d", seconds, got, want)
		}
	}
}

func TestNeverMoreThanTheLimitPlusRefillInAnyWindow(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	rate := limit.Rate{Requests: 10, Period: time.Second}
	l := limit.New(rate)
	var allowed []int64
	now := start
	for range 20_000 {
		now += r.Int64N(int64(40 * time.Millisecond))
		if l.Take(1, now, 1).Allowed {
			allowed = append(allowed, now)
		}
	}
	// From any allowed request on, the burst and what flows back are the most there can be.
	interval := int64(rate.Period) / int64(rate.Requests)
	for i := range allowed {
		for j := i; j < len(allowed) && j < i+100; j++ {
			if n, most := int64(j-i+1), int64(rate.Requests)+(allowed[j]-allowed[i])/interval; n > most {
				t.Fatalf("%d allowed within %v, want at most %d", n, time.Duration(allowed[j]-allowed[i]), most)
			}
		}
	}
	if seconds := (now - start) / int64(time.Second); int64(len(allowed)) < seconds*9 {
		t.Errorf("%d allowed in %d s of steady demand, want about 10 a second", len(allowed), seconds)
	}
}

func TestDecisionCountsDown(t *testing.T) {
	l := limit.New(perMinute(3))
	for i, want := range []limit.Decision{
		{Allowed: true, Limit: 3, Remaining: 2, ResetAfter: 20 * time.Second},
		{Allowed: true, Limit: 3, Remaining: 1, ResetAfter: 40 * time.Second},
		{Allowed: true, Limit: 3, Remaining: 0, ResetAfter: 60 * time.Second},
		{Allowed: false, Limit: 3, Remaining: 0, ResetAfter: 60 * time.Second, RetryAfter: 20 * time.Second},
	} {
		if got := l.Take(1, start, 1); got != want {
			t.Errorf("request %d: %+v, want %+v", i+1, got, want)
		}
	}
}

func TestPeekTakesNothing(t *testing.T) {
	l := limit.New(perMinute(2))
	for range 10 {
		if d := l.Peek(1, start, 1); !d.Allowed || d.Remaining != 2 {
			t.Fatalf("Peek = %+v, want 2 remaining", d)
		}
	}
	drain(l, 1, start, 1)
	peek, take := l.Peek(1, start, 1), l.Take(1, start, 1)
	if peek != take || peek.Allowed {
		t.Errorf("Peek = %+v, want the refusal of Take %+v", peek, take)
	}
}

func TestKeysDoNotTouchEachOther(t *testing.T) {
	l := limit.New(perMinute(5))
	for key := range uint64(200) {
		if got, _ := drain(l, key, start, 1); got != 5 {
			t.Errorf("key %d got %d, want 5", key, got)
		}
	}
}

func TestZeroRateLimitsNothing(t *testing.T) {
	l := limit.New(limit.Rate{})
	for range 1000 {
		if d := l.Take(1, start, 1); !d.Allowed || d.Limit != 0 {
			t.Fatalf("Take = %+v, want it allowed without a limit", d)
		}
	}
	l.Absorb(1, start, 1e6)
	if d := l.Peek(1, start, 1); !d.Allowed {
		t.Errorf("after Absorb: %+v, want it allowed", d)
	}
	l.Spent(start, func(key uint64, units int64) { t.Errorf("Spent tells of %d units of key %d", units, key) })
}

func TestAClockThatGoesBackGivesNothingAway(t *testing.T) {
	l := limit.New(perMinute(10))
	drain(l, 1, start, 1)
	earlier := start - int64(time.Hour)
	got, d := drain(l, 1, earlier, 1)
	if got != 0 || d.RetryAfter > time.Minute {
		t.Errorf("an hour earlier: %d more units, %+v, want none, and one within the minute", got, d)
	}
	if got, _ := drain(l, 1, earlier+int64(d.RetryAfter), 1); got != 1 {
		t.Errorf("after RetryAfter: %d more units, want 1", got)
	}
}

// TestKeysAtRestAreNotForgottenTooEarly has more clients come than are remembered, a minute after those before them, where nobody is told of them.
func TestKeysAtRestAreNotForgottenTooEarly(t *testing.T) {
	l := limit.New(perMinute(10))
	for key := range uint64(limit.KeysMax + limit.KeysMax/16) {
		at := start
		if key >= limit.KeysMax {
			at += int64(time.Hour)
		}
		l.Take(key, at, 1)
	}
	if st := l.Stats(); st.Forgotten != 0 {
		t.Errorf("%d keys were forgotten before their time, want none: all had rested for an hour", st.Forgotten)
	}
}

func TestShareIsAPartOfTheLimit(t *testing.T) {
	for _, tt := range []struct {
		share float64
		want  int
	}{{1, 12}, {0.5, 6}, {1.0 / 3, 4}, {0.25, 3}, {0.01, 1}} {
		l := limit.New(perMinute(12))
		got, d := drain(l, 1, start, tt.share)
		if got != tt.want || d.Limit != 12 {
			t.Errorf("share %v: %d at once of a limit told as %d, want %d of 12", tt.share, got, d.Limit, tt.want)
		}
		if d := l.Take(1, start+int64(d.RetryAfter)-1, tt.share); d.Allowed {
			t.Errorf("share %v: allowed before RetryAfter", tt.share)
		}
		if d := l.Take(1, start+int64(d.RetryAfter), tt.share); !d.Allowed {
			t.Errorf("share %v: refused at RetryAfter: %+v", tt.share, d)
		}
	}
}

func TestAbsorbCountsWhatOthersTook(t *testing.T) {
	l := limit.New(perMinute(10))
	l.Absorb(1, start, 4)
	if got, _ := drain(l, 1, start, 1); got != 6 {
		t.Errorf("%d units after 4 were taken elsewhere, want 6", got)
	}
	l.Absorb(2, start, 0)
	l.Absorb(2, start, -5)
	if got, _ := drain(l, 2, start, 1); got != 10 {
		t.Errorf("%d units after nothing was taken elsewhere, want 10", got)
	}
	l.Absorb(3, start, 25)
	if d := l.Peek(3, start, 1); d.Allowed || d.Remaining != 0 || d.RetryAfter != 96*time.Second {
		t.Errorf("after 25 elsewhere: %+v, want a refusal until 16 units have flowed back", d)
	}
	l.Spent(start, func(key uint64, units int64) {
		if want := map[uint64]int64{1: 6, 2: 10}[key]; units != want {
			t.Errorf("Spent tells of %d units of key %d, want %d: what others took is theirs to tell", units, key, want)
		}
	})
}

func TestSpentTellsEachUnitOnce(t *testing.T) {
	l := limit.New(perMinute(100))
	want := map[uint64]int64{}
	for key := range uint64(300) {
		for range key%5 + 1 {
			l.Take(key, start, 1)
			want[key]++
		}
	}
	got := map[uint64]int64{}
	collect := func(key uint64, units int64) { got[key] += units }
	l.Spent(start, collect)
	l.Spent(start, collect)
	if len(got) != len(want) {
		t.Errorf("%d keys, want %d", len(got), len(want))
	}
	for key, n := range want {
		if got[key] != n {
			t.Errorf("key %d: %d units, want %d", key, got[key], n)
		}
	}
}

func TestSpentMayTakeFromTheLimiter(t *testing.T) {
	l := limit.New(perMinute(100))
	l.Take(1, start, 1)
	l.Spent(start, func(key uint64, _ int64) { l.Absorb(key, start, 1) }) // would wait for itself under a lock
	if d := l.Peek(1, start, 1); d.Remaining != 98 {
		t.Errorf("%d remaining, want 98", d.Remaining)
	}
}

func TestAFloodOfKeysForgetsThoseThatSpentLeast(t *testing.T) {
	l := limit.New(perMinute(50))
	const heavy = 64 // keys 0 to 63: one in each stripe
	for key := range uint64(heavy) {
		drain(l, key, start, 1)
	}
	for key := uint64(heavy); key < 4*limit.KeysMax; key++ {
		l.Take(key, start, 1)
	}
	forgotten := 0
	for key := range uint64(heavy) {
		if l.Peek(key, start, 1).Allowed {
			forgotten++
		}
	}
	if forgotten > 0 {
		t.Errorf("%d of %d clients at their limit were forgotten by a flood of others", forgotten, heavy)
	}
	known := 0
	l.Spent(start, func(uint64, int64) { known++ })
	if known > limit.KeysMax || known < limit.KeysMax/2 {
		t.Errorf("%d keys remembered, want at most %d and about as many", known, limit.KeysMax)
	}
}

func TestKeysAtRestMakeRoomFirst(t *testing.T) {
	l := limit.New(perMinute(60))
	for key := range uint64(limit.KeysMax) {
		l.Take(key, start, 1)
	}
	l.Spent(start, func(uint64, int64) {})
	later := start + int64(time.Minute) // all are at rest
	for key := uint64(limit.KeysMax); key < 2*limit.KeysMax; key++ {
		l.Take(key, later, 1)
	}
	known := 0
	l.Spent(later, func(uint64, int64) { known++ })
	// Dropping any key at random would keep 1-1/e of the new ones, 63 %; sampling for those at rest keeps nine of ten.
	if known > limit.KeysMax || known < limit.KeysMax*3/4 {
		t.Errorf("%d of %d new keys remembered, want most of them", known, limit.KeysMax)
	}
}

func TestConcurrentTakersGetTheLimitExactly(t *testing.T) {
	const takers, keys = 8, 16
	l := limit.New(perMinute(500))
	var allowed [keys]atomic.Int64
	var spent atomic.Int64
	var wg sync.WaitGroup
	for range takers {
		wg.Go(func() {
			for i := range 500 * keys {
				if l.Take(uint64(i%keys), start, 1).Allowed {
					allowed[i%keys].Add(1)
				}
				if i%1000 == 0 {
					l.Spent(start, func(_ uint64, units int64) { spent.Add(units) })
				}
			}
		})
	}
	wg.Wait()
	l.Spent(start, func(_ uint64, units int64) { spent.Add(units) })
	for key := range allowed {
		if got := allowed[key].Load(); got != 500 {
			t.Errorf("key %d got %d, want 500", key, got)
		}
	}
	if got := spent.Load(); got != 500*keys {
		t.Errorf("Spent told of %d units, want %d", got, 500*keys)
	}
}
