package engine

import "context"

// Tracer makes spans: named pieces of work with their time, for whoever follows a request through several services. A hit never
// has one. Safe for concurrent use.
type Tracer interface {
	// Join lets spans that are started under the returned context belong to the trace of a W3C traceparent header; what is no valid
	// header changes nothing.
	Join(ctx context.Context, traceparent string) context.Context
	// Start begins a span, below the one in ctx if there is one. It must be ended.
	Start(ctx context.Context, name string) (context.Context, Span)
}

// Span is a piece of work under way. It belongs to one goroutine.
type Span interface {
	// Set notes a fact; value is a string, an int or an int64. No address, no key, no target.
	Set(fact string, value any)
	// TraceID is the trace's id as hexadecimal digits, "" when it is not recorded.
	TraceID() string
	// End ends the span; err is why the work failed, or nil.
	End(err error)
}

// NoTracer records nothing, and costs nothing worth a measurement.
type NoTracer struct{}

// Join implements Tracer.
func (NoTracer) Join(ctx context.Context, _ string) context.Context { return ctx }

// Start implements Tracer.
func (NoTracer) Start(ctx context.Context, _ string) (context.Context, Span) { return ctx, noSpan{} }

type noSpan struct{}

func (noSpan) Set(string, any) {}
func (noSpan) TraceID() string { return "" }
func (noSpan) End(error)       {}
