package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/carom-dev/carom/engine"
)

// traceStopTimeout bounds the sending of the last spans.
const traceStopTimeout = 3 * time.Second

// tracing says whether the OTEL_ variables ask for traces. Unlike their specification, nothing is sent when none is set.
func tracing(lookup func(name string) string) (bool, error) {
	if strings.EqualFold(lookup("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	on := lookup("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || lookup("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
	switch exporter := lookup("OTEL_TRACES_EXPORTER"); exporter {
	case "":
	case "otlp":
		on = true
	case "none":
		on = false
	default:
		return false, usagef("OTEL_TRACES_EXPORTER is %q; give otlp or none", exporter)
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if protocol := lookup(name); on && protocol != "" && protocol != "http/protobuf" {
			return false, usagef("%s is %q; give http/protobuf", name, protocol)
		}
	}
	return on, nil
}

// tracer is engine.Tracer by OpenTelemetry.
type tracer struct {
	provider *sdktrace.TracerProvider
	spans    trace.Tracer
	format   propagation.TraceContext
}

// startTracer starts sending spans to where the OTEL_ variables say.
func startTracer(ctx context.Context, node engine.NodeID, log *slog.Logger) (*tracer, error) {
	// The library reports by its own global handlers, which would write plain text to standard error.
	otel.SetLogger(logr.FromSlogHandler(log.Handler()))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces can't be sent", "err", err) }))
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("start sending traces: %w", err)
	}
	about, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(
			attribute.String("service.name", "carom"), attribute.String("service.version", buildOf().version), attribute.String("service.instance.id", string(node)),
		),
		resource.WithFromEnv(), // last, so that it wins
	)
	if err != nil {
		return nil, fmt.Errorf("describe this instance to the collector of traces: %w", err)
	}
	t := &tracer{provider: sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))}
	t.spans = t.provider.Tracer("github.com/carom-dev/carom")
	return t, nil
}

// stop sends the spans that wait, for a bounded time.
func (t *tracer) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, traceStopTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last traces: %w", err)
	}
	return nil
}

// Join implements engine.Tracer.
func (t *tracer) Join(ctx context.Context, traceparent string) context.Context {
	return t.format.Extract(ctx, propagation.MapCarrier{"traceparent": traceparent})
}

// Start implements engine.Tracer.
func (t *tracer) Start(ctx context.Context, name string) (context.Context, engine.Span) {
	kind := trace.SpanKindInternal
	if parent := trace.SpanContextFromContext(ctx); !parent.IsValid() || parent.IsRemote() {
		kind = trace.SpanKindServer
	}
	ctx, s := t.spans.Start(ctx, name, trace.WithSpanKind(kind))
	return ctx, span{s}
}

// span is engine.Span by OpenTelemetry.
type span struct{ s trace.Span }

// Set implements engine.Span.
func (s span) Set(fact string, value any) {
	switch v := value.(type) {
	case string:
		s.s.SetAttributes(attribute.String(fact, v))
	case int:
		s.s.SetAttributes(attribute.Int(fact, v))
	case int64:
		s.s.SetAttributes(attribute.Int64(fact, v))
	default:
		panic(fmt.Sprintf("BUG: a span can't take %T", value))
	}
}

// TraceID implements engine.Span.
func (s span) TraceID() string {
	if id := s.s.SpanContext(); id.IsValid() {
		return id.TraceID().String()
	}
	return ""
}

// End implements engine.Span.
func (s span) End(err error) {
	if err != nil {
		s.s.SetStatus(codes.Error, err.Error())
	}
	s.s.End()
}
