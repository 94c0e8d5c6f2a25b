package edge

import (
	"context"

	"github.com/carom-dev/carom/engine"
)

// load looks a code up that is not published here. It is the first place of a redirect that may have a span: a hit never has one.
func (s *Server) load(r engine.Resolution, v *visit, now int64) engine.Resolution {
	if s.cfg.Tracer == nil {
		return s.cfg.Resolver.Load(r, s.cfg.Domain, v.code, now, v.kind())
	}
	trace := context.Background()
	// A visitor's own word would let anybody choose what is traced.
	if s.clients.Trusts(v.peer) {
		trace = s.cfg.Tracer.Join(trace, string(v.traceparent))
	}
	_, span := s.cfg.Tracer.Start(trace, "look up")
	span.Set("carom.shard", r.Shard)
	r = s.cfg.Resolver.Load(r, s.cfg.Domain, v.code, now, v.kind())
	span.Set("carom.outcome", r.Outcome.String())
	span.End(nil)
	return r
}
