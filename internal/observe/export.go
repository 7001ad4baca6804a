package observe

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// scope is the instrumentation scope of our spans.
const scope = "github.com/transom-gateway/transom"

// setupTracing starts the export of spans if anything names an endpoint. The
// configuration wins over the environment.
func (t *Telemetry) setupTracing(config *transomv1.Otlp, version string) error {
	if config != nil && config.SampleRatio != nil && !(config.GetSampleRatio() >= 0 && config.GetSampleRatio() <= 1) {
		return fmt.Errorf("telemetry.otlp: sample_ratio is %v; expected a number from 0 to 1", config.GetSampleRatio())
	}
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return nil
	}
	ctx := context.Background()
	exporter, err := newExporter(ctx, config.GetEndpoint())
	if err != nil || exporter == nil {
		return err
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "transom"), attribute.String("service.version", version)),
		resource.WithFromEnv()) // OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES
	if err != nil {
		return fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	options := []sdktrace.TracerProviderOption{sdktrace.WithBatcher(exporter), sdktrace.WithResource(about)}
	if config != nil && config.SampleRatio != nil || os.Getenv("OTEL_TRACES_SAMPLER") == "" {
		options = append(options, sdktrace.WithSampler(sampler(config)))
	}
	// The SDK has one logger and one handler of errors for the whole process.
	otel.SetLogger(logr.FromSlogHandler(t.Log.Handler()))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		t.Log.Warn("spans are lost", "error", err.Error())
	}))
	provider := sdktrace.NewTracerProvider(options...)
	t.tracer = provider.Tracer(scope)
	t.closers = append(t.closers, provider.Shutdown)
	return nil
}

// sampler follows the client's decision where there is one.
func sampler(config *transomv1.Otlp) sdktrace.Sampler {
	ratio := 1.0
	if config != nil && config.SampleRatio != nil {
		ratio = config.GetSampleRatio()
	}
	return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio))
}

// newExporter returns nil where nothing names an endpoint. It does not wait for
// the endpoint to answer.
func newExporter(ctx context.Context, endpoint string) (sdktrace.SpanExporter, error) {
	if endpoint == "" {
		return exporterFromEnv(ctx)
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return nil, badEndpoint(endpoint)
	}
	switch u.Scheme {
	case "http", "https":
		if u.Path == "" || u.Path == "/" {
			u.Path = "/v1/traces"
		}
		return otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.String()))
	case "grpc":
		return otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL("http://"+u.Host))
	case "grpcs":
		return otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL("https://"+u.Host))
	}
	return nil, badEndpoint(endpoint)
}

func badEndpoint(endpoint string) error {
	return fmt.Errorf("telemetry.otlp: endpoint is %q; expected http://host:4318, https://host, grpc://host:4317 or grpcs://host", redacted(endpoint))
}

// redacted leaves out a password.
func redacted(endpoint string) string {
	if u, err := url.Parse(endpoint); err == nil {
		return u.Redacted()
	}
	return "(no URL)"
}

// exporterFromEnv obeys the variables of OpenTelemetry's specification; the
// exporters read the rest (headers, certificates, timeouts) themselves.
func exporterFromEnv(ctx context.Context) (sdktrace.SpanExporter, error) {
	if os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return nil, nil
	}
	if os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" {
		return nil, nil
	}
	if name := os.Getenv("OTEL_TRACES_EXPORTER"); name != "" && name != "otlp" {
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER is %q; expected otlp or none", name)
	}
	protocol := os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
	if protocol == "" {
		protocol = os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	switch protocol {
	case "", "http/protobuf":
		return otlptracehttp.New(ctx)
	case "grpc":
		return otlptracegrpc.New(ctx)
	}
	return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q; expected http/protobuf or grpc", protocol)
}
