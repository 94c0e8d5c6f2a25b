package main

import (
	"testing"
	"time"
)

func TestSoakRate(t *testing.T) {
	for name, c := range map[string]struct {
		saturation float64
		requests   int
		d          time.Duration
		want       int
	}{
		"half of what is answered":          {80_000, soakRequestsMax, 4 * time.Minute, 40_000},
		"two hours":                         {80_000, soakRequestsMax, 2 * time.Hour, 13_888},
		"eight hours":                       {80_000, soakRequestsMax, 8 * time.Hour, 3_472},
		"eight hours of a slow machine":     {3_000, soakRequestsMax, 8 * time.Hour, 1_500},
		"the short form":                    {200_000, soakRequestsShort, 2 * time.Minute, 20_000},
		"nothing is answered, or no room":   {0, 0, time.Minute, 1},
		"a soak that is over before it is":  {1_000, soakRequestsMax, time.Nanosecond, 500},
		"as many requests as half would be": {2_000, 60_000, time.Minute, 1_000},
	} {
		if got := soakRate(c.saturation, c.requests, c.d); got != c.want {
			t.Errorf("%s: soakRate(%v, %d, %v) = %d, want %d", name, c.saturation, c.requests, c.d, got, c.want)
		}
	}
}

func TestReadTimeGrowsWithClicks(t *testing.T) {
	for clicks, want := range map[int]time.Duration{0: patience, soakReadMin: patience + time.Second, soakRequestsMax: patience + 5000*time.Second} {
		if got := readTime(clicks); got != want {
			t.Errorf("readTime(%d) = %v, want %v", clicks, got, want)
		}
	}
}
