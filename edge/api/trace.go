package api

import (
	"context"
	"errors"
	"fmt"

	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/edge/wire"
	"github.com/carom-dev/carom/engine"
)

// startSpan lets the request belong to the caller's trace, if it says one, and begins its span; probes and scrapes have none (nil).
func (r *request) startSpan(rt *route) engine.Span {
	r.trace = context.Background()
	if rt.quiet {
		return nil
	}
	if parent := wire.Header(r.ctx, "traceparent"); parent != "" {
		if id, ok := wire.TraceID(parent); ok {
			r.traceID = id
			r.trace = r.api.cfg.Tracer.Join(r.trace, parent)
		}
	}
	var span engine.Span
	// The route's method, as a stranger may send any word as its own.
	r.trace, span = r.api.cfg.Tracer.Start(r.trace, rt.name()+" "+rt.path)
	span.Set("http.request.method", rt.name())
	span.Set("http.route", rt.path)
	span.Set("carom.request_id", r.id)
	if id := span.TraceID(); id != "" {
		r.traceID = id
	}
	return span
}

// endSpan ends the request's span. It has failed when the service has; a client's mistake is a status.
func endSpan(span engine.Span, status int, err error) {
	span.Set("http.response.status_code", status)
	switch {
	case status < fasthttp.StatusInternalServerError:
		err = nil
	case err == nil:
		err = errors.New(fasthttp.StatusMessage(status))
	default:
		// An answer to the client may name what it sent; the trace has the kind alone.
		err = fmt.Errorf("answer %d: %s", status, engine.ErrorCodeOf(err))
	}
	span.End(err)
}
