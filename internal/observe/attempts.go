package observe

import (
	"context"
	"net"
	"slices"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
)

// Attempts is what sees each attempt that is made of a call, for traces: it belongs
// behind all others.
func Attempts(t *Telemetry) policy.Kind {
	return policy.Kind{Compile: func(s *policy.Scope) policy.Part {
		if t.tracer == nil {
			return nil
		}
		return &attempts{tracer: t.tracer, rpc: valid(s.RPC), plain: s.PlainHTTP()}
	}}
}

// attempts makes a span of each attempt, which the backend's own are the children of.
type attempts struct {
	tracer trace.Tracer
	rpc    string
	plain  bool // it is the name of a route to plain HTTP servers
}

var (
	_ policy.Wrapper = (*attempts)(nil)
	_ proxy.Watcher  = (*attempts)(nil)
)

// Name implements policy.Part.
func (*attempts) Name() string { return "attempts" }

// Decides implements policy.Wrapper.
func (*attempts) Decides() bool { return false }

// Wrap implements policy.Wrapper. Services of the gateway's own are not called over a
// network.
func (a *attempts) Wrap(backend proxy.Backend) proxy.Backend {
	if watched, ok := backend.(interface {
		Watched(proxy.Watcher) proxy.Backend
	}); ok {
		return watched.Watched(a)
	}
	return backend
}

// Attempt implements attempt.Watcher.
func (a *attempts) Attempt(ctx context.Context, n int, header proxy.Metadata) (proxy.Metadata, func(proxy.AttemptEnd)) {
	ctx, span := a.tracer.Start(ctx, a.rpc, trace.WithSpanKind(trace.SpanKindClient))
	header = slices.Clone(header)
	w3c.Inject(ctx, (*outgoing)(&header))
	if !span.IsRecording() {
		span.End()
		return header, nil
	}
	if !a.plain {
		span.SetAttributes(attribute.String("rpc.system.name", "grpc"), attribute.String("rpc.method", a.rpc))
	}
	if n > 1 {
		span.SetAttributes(attribute.Int("transom.attempt", n))
	}
	return header, func(end proxy.AttemptEnd) { a.end(span, end) }
}

// end ends the span of an attempt.
func (a *attempts) end(span trace.Span, end proxy.AttemptEnd) {
	if host, port, err := net.SplitHostPort(end.Endpoint); err == nil {
		span.SetAttributes(attribute.String("server.address", host))
		if n, err := strconv.Atoi(port); err == nil {
			span.SetAttributes(attribute.Int("server.port", n))
		}
	} else if end.Endpoint != "" {
		span.SetAttributes(attribute.String("server.address", end.Endpoint))
	}
	said := codeName(status.Code(end.Err))
	switch {
	case !a.plain:
		span.SetAttributes(attribute.String("rpc.response.status_code", said))
	case end.HTTPStatus != 0:
		span.SetAttributes(attribute.Int("http.response.status_code", end.HTTPStatus))
		said = strconv.Itoa(end.HTTPStatus)
	}
	if end.Err != nil && !proxy.NotModified(end.Err) {
		span.SetAttributes(attribute.String("error.type", said))
		span.SetStatus(otelcodes.Error, said)
	}
	span.End()
}
