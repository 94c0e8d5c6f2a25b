package limit_test

import (
	"testing"
	"time"

	"github.com/carom-dev/carom/engine/limit"
)

// TestInstancesThatTellInTurnHoldTheLimit has a client take as fast as it can from instances that tell each other each 100 ms, but
// none at the same moment as another: what one has told, the others may follow with what they have not told yet.
func TestInstancesThatTellInTurnHoldTheLimit(t *testing.T) {
	const (
		units    = 200
		step     = int64(time.Millisecond)
		interval = 100
	)
	for _, instances := range []int{2, 3, 4} {
		for late := range 10 { // milliseconds until the others hear
			all := make([]*limit.Limiter, instances)
			for i := range all {
				all[i] = limit.New(perMinute(units))
				all[i].SetExchanged(true)
			}
			given := 0
			heard := map[int]func(){}
			for ms := range 3000 {
				now := start + int64(ms)*step
				for i, l := range all {
					for range 10 {
						if l.Take(1, now, 1/float64(instances)).Allowed {
							given++
						}
					}
					if ms%interval != i*interval/instances {
						continue
					}
					l.Spent(now, func(key uint64, units int64) {
						heard[(ms+late)*instances+i] = func() {
							for k, other := range all {
								if k != i {
									other.Absorb(key, now, units)
								}
							}
						}
					})
				}
				for i := range all {
					if hear := heard[ms*instances+i]; hear != nil {
						hear()
					}
				}
			}
			// What comes free in 3 s is part of it.
			if refilled := units * 3 / 60; given < units*9/10 || given > units*11/10+refilled {
				t.Errorf("%d instances, heard %d ms late: %d units given, want %d within 10 %%", instances, late, given, units)
			}
		}
	}
}
