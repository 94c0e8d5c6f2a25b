//go:build failpoint && unix

package journal

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// chosenFailpoints reads CAROM_FAILPOINT once: names with commas between them. "name" and "name:n" kill the process where it gets to that
// place for the n-th time, with no chance to do anything more; "name=duration" makes it wait there each time.
var chosenFailpoints = sync.OnceValue(func() map[string]*chosenFailpoint {
	chosen := map[string]*chosenFailpoint{}
	for text := range strings.SplitSeq(os.Getenv("CAROM_FAILPOINT"), ",") {
		if name, duration, ok := strings.Cut(text, "="); ok {
			d, err := time.ParseDuration(duration)
			if err != nil {
				panic("CAROM_FAILPOINT: " + err.Error())
			}
			chosen[name] = &chosenFailpoint{delay: d}
			continue
		}
		name, times, ok := strings.Cut(text, ":")
		n := int64(1)
		if ok {
			var err error
			if n, err = strconv.ParseInt(times, 10, 64); err != nil {
				panic("CAROM_FAILPOINT: " + err.Error())
			}
		}
		point := &chosenFailpoint{}
		point.left.Store(n)
		chosen[name] = point
	}
	return chosen
})

type chosenFailpoint struct {
	delay time.Duration // 0: kill
	left  atomic.Int64
}

// failpoint dies or waits here, if that was asked.
func failpoint(name string) {
	point := chosenFailpoints()[name]
	switch {
	case point == nil:
	case point.delay > 0:
		<-time.After(point.delay)
	case point.left.Add(-1) == 0:
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // there is nobody to tell
		select {}
	}
}
