package edge

import (
	"bytes"
	"net/netip"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/edge/wire"
	"github.com/carom-dev/carom/engine"
)

// visit is what the redirect path reads from a request. Its slices are valid until the request is answered.
type visit struct {
	at      time.Time // when it was read
	code    []byte
	query   []byte
	peer    netip.Addr
	network engine.TruncatedAddr // the client's

	userAgent   []byte
	referrer    []byte
	language    []byte
	accept      []byte
	requestID   []byte
	traceparent []byte
	forwarded   []byte // X-Forwarded-For; read by parse alone
	prefetch    bool
	head        bool
}

// kind is how the visit counts against a budget.
func (v *visit) kind() engine.Visit {
	if v.head || v.prefetch {
		return engine.VisitFree
	}
	return engine.VisitCounted
}

// html reports whether a page is wanted, as by a browser, and not a line of text.
func (v *visit) html() bool { return bytes.Contains(v.accept, textHTML) }

var textHTML = []byte("text/html")

// visitOf reads what the redirect path needs out of a request that the HTTP server has read, in one walk over its fields.
func (s *Server) visitOf(ctx *fasthttp.RequestCtx, code []byte) visit {
	v := visit{
		at: ctx.Time(), code: code, query: ctx.URI().QueryString(), head: ctx.IsHead(), userAgent: ctx.Request.Header.UserAgent(),
		peer: wire.Peer(ctx), network: engine.TruncateAddr(s.clients.Addr(ctx)),
	}
	for name, value := range ctx.Request.Header.All() {
		v.field(name, value)
	}
	return v
}

// field notes a header field that the redirect path needs, whatever it is. The first Accept counts, and of the others the last.
func (v *visit) field(name, value []byte) field {
	switch len(name) {
	case len("x-moz"):
		if wire.Is(name, "x-moz") {
			v.purpose(value)
		}
	case len("accept"):
		if wire.Is(name, "accept") {
			if v.accept == nil {
				v.accept = value
			}
			return fieldAccept
		}
	case len("referer"): // and purpose
		if wire.Is(name, "referer") {
			v.referrer = value
			return fieldReferrer
		}
		if wire.Is(name, "purpose") {
			v.purpose(value)
		}
	case len("sec-purpose"): // and traceparent
		if wire.Is(name, "sec-purpose") {
			v.purpose(value)
		} else if wire.Is(name, "traceparent") {
			v.traceparent = value
			return fieldTraceparent
		}
	case len("x-request-id"):
		if wire.Is(name, "x-request-id") {
			v.requestID = value
			return fieldRequestID
		}
	case len("accept-language"):
		if wire.Is(name, "accept-language") {
			v.language = value
			return fieldLanguage
		}
	}
	return 0
}

// purpose notes that a browser fetches ahead of its user.
func (v *visit) purpose(value []byte) {
	v.prefetch = v.prefetch || wire.HasFoldPrefix(value, "prefetch")
}
