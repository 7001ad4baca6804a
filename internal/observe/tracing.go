package observe

import (
	"context"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/transom-gateway/transom/internal/problem"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
)

// w3c reads and writes traceparent and tracestate.
var w3c propagation.TraceContext

// startSpan continues the client's trace, or begins one, and tells the backend.
// Without a tracer nobody comes here: the client's traceparent then reaches the
// backend as any other header does.
func (t *Telemetry) startSpan(ctx context.Context, r *policy.Request, route *observed) (context.Context, trace.Span) {
	ctx = w3c.Extract(ctx, incoming(r.HTTP.Header))
	name := r.RPC
	if name == "" || r.PlainHTTP {
		name = r.HTTP.Method + " " + route.template
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer))
	if span.IsRecording() {
		span.SetAttributes(startAttributes(r, route)...)
	}
	w3c.Inject(ctx, (*outgoing)(&r.Metadata))
	return ctx, span
}

// startAttributes follow OpenTelemetry's semantic conventions for HTTP and RPC
// servers. The query is left out: it may hold tokens.
func startAttributes(r *policy.Request, route *observed) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 13)
	attrs = append(attrs, requestMethod(r.HTTP.Method)...)
	attrs = append(attrs,
		attribute.String("http.route", route.template),
		attribute.String("url.path", route.path(r)),
		attribute.String("url.scheme", scheme(r)),
		attribute.String("client.address", clientIP(r)),
		attribute.String("network.protocol.version", httpVersion(r.HTTP)),
		attribute.String("transom.protocol", r.Protocol),
		attribute.String("transom.request_id", r.RequestID),
	)
	if r.RPC != "" && !r.PlainHTTP {
		attrs = append(attrs, attribute.String("rpc.system.name", "grpc"), attribute.String("rpc.method", r.RPC))
	}
	if agent := r.HTTP.Header["User-Agent"]; len(agent) > 0 {
		attrs = append(attrs, attribute.String("user_agent.original", problem.Clip(agent[0], maxLoggedAgent)))
	}
	return attrs
}

// requestMethod has the methods that HTTP knows stand for themselves, so that no
// client invents values, and others beside "_OTHER".
func requestMethod(method string) []attribute.KeyValue {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace, "QUERY":
		return []attribute.KeyValue{attribute.String("http.request.method", method)}
	}
	return []attribute.KeyValue{
		attribute.String("http.request.method", "_OTHER"),
		attribute.String("http.request.method_original", problem.Clip(method, maxLoggedAgent)),
	}
}

// scheme is that of the connection.
func scheme(r *policy.Request) string {
	if r.HTTP.TLS != nil {
		return "https"
	}
	return "http"
}

// endSpan says how the call ended.
func endSpan(span trace.Span, r *policy.Request, o *policy.Outcome) {
	if span.IsRecording() {
		failed, kind := serverFault(o.Code), codeName(o.Code)
		if r.PlainHTTP {
			failed, kind = o.HTTPStatus >= http.StatusInternalServerError, strconv.Itoa(o.HTTPStatus)
		} else {
			span.SetAttributes(attribute.String("rpc.response.status_code", kind))
		}
		span.SetAttributes(
			attribute.Int("http.response.status_code", o.HTTPStatus),
			attribute.Int64("transom.request_bytes", o.RequestBytes),
			attribute.Int64("transom.response_bytes", o.ResponseBytes),
		)
		if r.Branch != "" {
			span.SetAttributes(attribute.String("transom.branch", r.Branch))
		}
		if r.RefusedBy != "" {
			span.SetAttributes(attribute.String("transom.refused_by", r.RefusedBy))
		}
		if failed {
			span.SetAttributes(attribute.String("error.type", kind))
			span.SetStatus(otelcodes.Error, kind)
		}
	}
	span.End()
}

// incoming is the client's header as a carrier.
type incoming http.Header

var _ propagation.TextMapCarrier = incoming(nil)

// Get implements propagation.TextMapCarrier. Several tracestate headers are one
// list (W3C Trace Context, 3.3.1); several traceparents are none.
func (h incoming) Get(key string) string {
	values := http.Header(h).Values(key)
	switch {
	case len(values) == 1:
		return values[0]
	case key == "tracestate" && len(values) > 1:
		joined := values[0]
		for _, v := range values[1:] {
			joined += "," + v
		}
		return joined
	}
	return ""
}

// Set implements propagation.TextMapCarrier.
func (h incoming) Set(key, value string) { http.Header(h).Set(key, value) }

// Keys implements propagation.TextMapCarrier.
func (h incoming) Keys() []string {
	keys := make([]string, 0, len(h))
	for k := range h {
		keys = append(keys, k)
	}
	return keys
}

// outgoing is the backend's metadata as a carrier. Its keys are lower-case, as
// those of W3C Trace Context are.
type outgoing proxy.Metadata

var _ propagation.TextMapCarrier = (*outgoing)(nil)

// Get implements propagation.TextMapCarrier.
func (m *outgoing) Get(key string) string { return proxy.Metadata(*m).Get(key) }

// Set implements propagation.TextMapCarrier.
func (m *outgoing) Set(key, value string) { (*proxy.Metadata)(m).Set(key, value) }

// Keys implements propagation.TextMapCarrier.
func (m *outgoing) Keys() []string {
	var keys []string
	for i := 0; i < len(*m); i += 2 {
		keys = append(keys, (*m)[i])
	}
	return keys
}
