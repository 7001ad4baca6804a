package observe

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/internal/testing/otlptest"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
)

const (
	parentTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	sampled     = "00-" + parentTrace + "-00f067aa0ba902b7-01"
	unsampled   = "00-" + parentTrace + "-00f067aa0ba902b7-00"
)

func TestSpansAreExported(t *testing.T) {
	for name, start := range map[string]func(*otlptest.Collector, testing.TB) string{
		"http": (*otlptest.Collector).OverHTTP, "grpc": (*otlptest.Collector).OverGRPC,
	} {
		t.Run(name, func(t *testing.T) {
			var collector otlptest.Collector
			off := false
			telemetry := setup(t, &transomv1.Telemetry{
				Log:  &transomv1.Log{Access: &off},
				Otlp: &transomv1.Otlp{Endpoint: start(&collector, t)},
			}, t.Output())
			set := policy.NewSet(nil, telemetry.Policies(routes(telemetry))...)
			q := request("/v1/shelves/1/books/2?access_token=hunter2")
			q.HTTP.Header.Set("Traceparent", sampled)
			q.HTTP.Header.Add("Tracestate", "a=1")
			q.HTTP.Header.Add("Tracestate", "b=2")
			q.Metadata = proxy.Metadata{"traceparent", sampled, "tracestate", "a=1"}
			ctx := play(t, set, q, &policy.Outcome{Code: codes.Unavailable, HTTPStatus: 503})
			if err := telemetry.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			spans := collector.Spans()
			if len(spans) != 1 {
				t.Fatalf("%d spans arrived, want 1", len(spans))
			}
			checkSpan(t, ctx, q, spans[0])
		})
	}
}

func checkSpan(t *testing.T, ctx context.Context, q *policy.Request, span *tracev1.Span) {
	t.Helper()
	own := trace.SpanContextFromContext(ctx)
	if got := own.TraceID().String(); got != parentTrace {
		t.Errorf("the span is of trace %s, want the client's %s", got, parentTrace)
	}
	if got, want := q.Metadata.Get("traceparent"), "00-"+parentTrace+"-"+own.SpanID().String()+"-01"; got != want {
		t.Errorf("the backend gets traceparent %q, want %q", got, want)
	}
	if got := q.Metadata.Get("tracestate"); got != "a=1,b=2" {
		t.Errorf("the backend gets tracestate %q, want a=1,b=2", got)
	}
	if len(q.Metadata) != 4 {
		t.Errorf("metadata twice: %q", q.Metadata)
	}
	if span.Name != testRPC || span.Status.GetCode() != tracev1.Status_STATUS_CODE_ERROR || len(span.ParentSpanId) == 0 {
		t.Errorf("got %v, want a failed %s with a parent", span, testRPC)
	}
	want := map[string]string{
		"http.route": testRoute, "url.path": "/v1/shelves/1/books/2", "rpc.method": testRPC,
		"rpc.response.status_code": "UNAVAILABLE", "client.address": "192.0.2.7",
		"rpc.system.name": "grpc", "url.scheme": "http", "error.type": "UNAVAILABLE", "http.request.method": "GET",
	}
	for _, a := range span.Attributes {
		if a.Key == "rpc.system" || a.Key == "rpc.service" {
			t.Errorf("%s is a name of older conventions", a.Key)
		}
		if v, ok := want[a.Key]; ok && v == a.Value.GetStringValue() {
			delete(want, a.Key)
		}
		if strings.Contains(a.Value.GetStringValue(), "hunter2") {
			t.Errorf("a secret is in the span: %v", a)
		}
	}
	if len(want) > 0 {
		t.Errorf("attributes are missing: %v", want)
	}
}

// TestPlainHTTPSpan: the span of a plain HTTP route is named by method and template,
// and says nothing of RPCs.
func TestPlainHTTPSpan(t *testing.T) {
	var collector otlptest.Collector
	off := false
	telemetry := setup(t, &transomv1.Telemetry{Log: &transomv1.Log{Access: &off}, Otlp: &transomv1.Otlp{Endpoint: collector.OverHTTP(t)}}, t.Output())
	q := request("/legacy/orders")
	q.RPC, q.Route, q.Protocol, q.PlainHTTP = "legacy", "/legacy/", "http", true
	play(t, policy.NewSet(nil, telemetry.Policies(Method{RPC: q.RPC})...), q, &policy.Outcome{Code: codes.Unavailable, HTTPStatus: 503})
	if err := telemetry.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	spans := collector.Spans()
	if len(spans) != 1 || spans[0].Name != "GET /legacy/" {
		t.Fatalf("got %v, want one span GET /legacy/", spans)
	}
	if spans[0].Status.GetCode() != tracev1.Status_STATUS_CODE_ERROR || spans[0].Status.GetMessage() != "503" {
		t.Errorf("status %v, want an error 503", spans[0].Status)
	}
	for _, a := range spans[0].Attributes {
		if strings.HasPrefix(a.Key, "rpc.") {
			t.Errorf("%s in the span of a plain HTTP route", a.Key)
		}
	}
}

func TestSampling(t *testing.T) {
	for _, test := range []struct {
		name   string
		ratio  *float64
		env    string // OTEL_TRACES_SAMPLER
		parent string
		want   int
	}{
		{name: "everything by default", want: 1},
		{name: "nothing", ratio: proto.Float64(0), want: 0},
		{name: "the client decides to", ratio: proto.Float64(0), parent: sampled, want: 1},
		{name: "the client decides not to", ratio: proto.Float64(1), parent: unsampled, want: 0},
		{name: "the environment", env: "always_off", want: 0},
		{name: "the configuration before the environment", ratio: proto.Float64(1), env: "always_off", want: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("OTEL_TRACES_SAMPLER", test.env)
			var collector otlptest.Collector
			telemetry := setup(t, &transomv1.Telemetry{Otlp: &transomv1.Otlp{Endpoint: collector.OverHTTP(t), SampleRatio: test.ratio}}, io.Discard)
			q := request("/v1/x")
			if test.parent != "" {
				q.HTTP.Header.Set("Traceparent", test.parent)
			}
			play(t, policy.NewSet(nil, telemetry.Policies(routes(telemetry))...), q, &policy.Outcome{})
			if err := telemetry.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := len(collector.Spans()); got != test.want {
				t.Errorf("%d spans arrived, want %d", got, test.want)
			}
			if got := q.Metadata.Get("traceparent"); got == "" || strings.HasSuffix(got, "-01") != (test.want == 1) {
				t.Errorf("the backend gets traceparent %q, want the decision in it", got)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	for _, test := range []struct {
		name    string
		env     map[string]string
		tracing bool
		err     string
	}{
		{"nothing", nil, false, ""},
		{"an endpoint", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, true, ""},
		{"an endpoint for traces", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, true, ""},
		{"grpc", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, true, ""},
		{"disabled", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"}, false, ""},
		{"no exporter", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"}, false, ""},
		{"another exporter", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "zipkin"}, false, `OTEL_TRACES_EXPORTER is "zipkin"; expected otlp or none`},
		{"another protocol", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, false, `OTEL_EXPORTER_OTLP_PROTOCOL is "http/json"; expected http/protobuf or grpc`},
	} {
		t.Run(test.name, func(t *testing.T) {
			for k, v := range test.env {
				t.Setenv(k, v)
			}
			telemetry, err := Setup(nil, "", io.Discard)
			if test.err != "" {
				if err == nil || err.Error() != test.err {
					t.Errorf("got %v, want %s", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := telemetry.tracer != nil; got != test.tracing {
				t.Errorf("tracing is %t, want %t", got, test.tracing)
			}
			if err := telemetry.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOTelCanBeDisabledWhole(t *testing.T) {
	t.Setenv("OTEL_SDK_DISABLED", "true")
	telemetry := setup(t, &transomv1.Telemetry{Otlp: &transomv1.Otlp{Endpoint: "grpc://127.0.0.1:1"}}, io.Discard)
	if telemetry.tracer != nil {
		t.Error("tracing is on")
	}
}

func TestLostSpansAreLogged(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	off := false
	var out bytes.Buffer
	telemetry := setup(t, &transomv1.Telemetry{
		Log: &transomv1.Log{Access: &off}, Otlp: &transomv1.Otlp{Endpoint: server.URL},
	}, &out)
	play(t, policy.NewSet(nil, telemetry.Policies(routes(telemetry))...), request("/v1/x"), &policy.Outcome{})
	_ = telemetry.Shutdown(t.Context()) // the error is in the log, too
	if !strings.Contains(out.String(), "spans are lost") {
		t.Errorf("got %q, want a line that says so", out.String())
	}
}

func TestTraceparentPassesUntouchedWithoutTracing(t *testing.T) {
	telemetry := quiet(t)
	q := request("/v1/x")
	q.HTTP.Header.Set("Traceparent", unsampled)
	q.Metadata = proxy.Metadata{"traceparent", unsampled}
	ctx := play(t, policy.NewSet(nil, telemetry.Policies(routes(telemetry))...), q, &policy.Outcome{})
	if want := []string{"traceparent", unsampled}; !slices.Equal(q.Metadata, want) {
		t.Errorf("metadata is %q, want %q", q.Metadata, want)
	}
	if ctx != t.Context() {
		t.Error("the context is not the one that came in")
	}
}

func TestCarriers(t *testing.T) {
	h := incoming{}
	h.Set("traceparent", "x")
	if got := h.Keys(); h.Get("traceparent") != "x" || !slices.Equal(got, []string{"Traceparent"}) {
		t.Errorf("got %v", h)
	}
	m := outgoing{"a", "1"}
	m.Set("b", "2")
	if got := m.Keys(); m.Get("b") != "2" || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("got %v", m)
	}
}

// TestRequestMethod follows the semantic conventions for HTTP: a method that HTTP
// does not know is "_OTHER".
func TestRequestMethod(t *testing.T) {
	for method, want := range map[string]string{"GET": "GET", "PATCH": "PATCH", "QUERY": "QUERY", "get": "_OTHER", "BREW": "_OTHER"} {
		attributes := requestMethod(method)
		if got := attributes[0].Value.AsString(); string(attributes[0].Key) != "http.request.method" || got != want {
			t.Errorf("%s is told as %v", method, attributes)
		}
		if want == "_OTHER" && (len(attributes) != 2 || attributes[1].Value.AsString() != method) {
			t.Errorf("%s is told as %v", method, attributes)
		}
	}
}

// TestConsume: Events 162: the call that an event leads to has a span of its own, the root of a trace, with a link to the event's.
func TestConsume(t *testing.T) {
	for name, test := range map[string]struct {
		parent string
		links  int
	}{"an event with a trace": {sampled, 1}, "without one": {"", 0}, "with another text": {"x", 0}} {
		t.Run(name, func(t *testing.T) {
			var collector otlptest.Collector
			off := false
			telemetry := setup(t, &transomv1.Telemetry{Log: &transomv1.Log{Access: &off}, Otlp: &transomv1.Otlp{Endpoint: collector.OverHTTP(t)}}, t.Output())
			header := http.Header{}
			telemetry.Consume(header, "books", "counts", test.parent, "")(codes.Unavailable)
			if err := telemetry.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			spans := collector.Spans()
			if len(spans) != 1 {
				t.Fatalf("%d spans arrived, want 1", len(spans))
			}
			span := spans[0]
			own := "00-" + hex.EncodeToString(span.TraceId) + "-" + hex.EncodeToString(span.SpanId) + "-01"
			if header.Get("Traceparent") != own || strings.Contains(own, parentTrace) || len(span.ParentSpanId) != 0 || span.Name != "process books" || span.Status.GetCode() != tracev1.Status_STATUS_CODE_ERROR {
				t.Errorf("the call has %s, and the span is %v", header.Get("Traceparent"), span)
			}
			if len(span.Links) != test.links || test.links > 0 && hex.EncodeToString(span.Links[0].TraceId) != parentTrace {
				t.Errorf("the links are %v", span.Links)
			}
		})
	}
	header := http.Header{}
	quiet(t).Consume(header, "books", "counts", sampled, "")(codes.OK)
	if got := header.Get("Traceparent"); len(got) != 55 || strings.Contains(got, parentTrace) {
		t.Errorf("without spans the call has %q", got)
	}
}
