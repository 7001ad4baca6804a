package observe

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
)

// Consume begins the trace of a call that an event leads to, with a link to the event's own, and
// writes it to the call's header. parent and state are the event's traceparent and
// tracestate. The function that it returns is told how the call ended.
func (t *Telemetry) Consume(header http.Header, topic, subscription, parent, state string) (end func(codes.Code)) {
	if t.tracer == nil {
		header.Set("Traceparent", newTraceparent())
		return func(codes.Code) {}
	}
	event := http.Header{}
	event.Set("Traceparent", parent)
	event.Set("Tracestate", state)
	options := []trace.SpanStartOption{trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		attribute.String("messaging.system", "transom"), attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.destination.name", topic), attribute.String("messaging.consumer.group.name", subscription))}
	if of := trace.SpanContextFromContext(w3c.Extract(context.Background(), incoming(event))); of.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: of}))
	}
	ctx, span := t.tracer.Start(context.Background(), "process "+topic, options...)
	w3c.Inject(ctx, incoming(header))
	return func(code codes.Code) {
		if serverFault(code) {
			span.SetStatus(otelcodes.Error, codeName(code))
		}
		span.End()
	}
}

// newTraceparent is the beginning of a trace that is not recorded here.
func newTraceparent() string {
	var id [24]byte
	_, _ = rand.Read(id[:]) // it does not fail
	text := hex.EncodeToString(id[:])
	return "00-" + text[:32] + "-" + text[32:] + "-00"
}
