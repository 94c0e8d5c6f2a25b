package edge

import (
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/carom-dev/carom/edge/wire"
	"github.com/carom-dev/carom/engine"
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
		l.log.Warn("http server", "message", withoutAddrs(fmt.Sprintf(format, args...)), "swallowed", swallowed)
	}
}

// addrLike is what may be an address, with or without a port.
var addrLike = regexp.MustCompile(`[0-9A-Fa-f:.\[\]%]{3,}`)

// withoutAddrs truncates the addresses in text: the server's messages name both ends of a connection, and no visitor's whole address
// is kept anywhere.
func withoutAddrs(text string) string {
	return addrLike.ReplaceAllStringFunc(text, func(s string) string {
		s, colon := strings.CutSuffix(s, ":")
		end := ""
		if colon {
			end = ":"
		}
		addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
		if err != nil {
			port, err := netip.ParseAddrPort(s)
			if err != nil {
				return s + end
			}
			addr = port.Addr()
		}
		return engine.TruncateAddr(addr).String() + end
	})
}
