package edge

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/carom-dev/carom/edge/wire"
)

// httpLog takes the HTTP server's messages. A stranger can cause them at will, so one a second goes through, with the number
// of those that did not.
type httpLog struct {
	log      *slog.Logger
	throttle wire.Throttle
}

// Printf implements fasthttp.Logger.
func (l *httpLog) Printf(format string, args ...any) {
	if ok, swallowed := l.throttle.Allow(time.Now()); ok {
		l.log.Warn("http server", "message", fmt.Sprintf(format, args...), "swallowed", swallowed)
	}
}
