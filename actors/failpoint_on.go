//go:build failpoint

package actors

import (
	"os"
	"strings"
	"sync"
	"time"

	"github.com/carom-dev/carom/engine"
)

// chosenStall reads CAROM_FAILPOINT_STALL=code=duration once.
var chosenStall = sync.OnceValues(func() (code string, d time.Duration) {
	code, text, ok := strings.Cut(os.Getenv("CAROM_FAILPOINT_STALL"), "=")
	if !ok {
		return "", 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		panic("CAROM_FAILPOINT_STALL: " + err.Error())
	}
	return code, d
})

// stall stops the actor that looks the chosen code up.
func stall(key engine.Key) {
	if code, d := chosenStall(); d > 0 && key.Code == code {
		<-time.After(d)
	}
}
