package observe

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

func benchmark(b *testing.B, config *transomv1.Telemetry, w io.Writer) {
	telemetry := setup(b, config, w)
	method := routes(telemetry)
	method.Behind = []string{"auth", "rate_limit"}
	set := policy.NewSet(nil, telemetry.Policies(method)...)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := request("/v1/shelves/1/books/2")
		r.HTTP.Header.Set("User-Agent", "benchmark/1.0")
		o := &policy.Outcome{HTTPStatus: 200, RequestBytes: 20, ResponseBytes: 300}
		ctx := b.Context()
		for pb.Next() {
			_, _ = set.Admit(ctx, r)
			set.Done(r, o)
		}
	})
}

// What metrics cost a call.
func BenchmarkMetrics(b *testing.B) {
	off := false
	benchmark(b, &transomv1.Telemetry{Log: &transomv1.Log{Access: &off}}, io.Discard)
}

// What metrics and a line of the access log cost a call, without the write.
func BenchmarkAccessLogJSON(b *testing.B) {
	benchmark(b, &transomv1.Telemetry{Log: &transomv1.Log{Format: transomv1.Log_JSON}}, io.Discard)
}

// One line of the access log in JSON beside what slog takes for the same, without the write.
func BenchmarkLine(b *testing.B) {
	handler := slog.NewJSONHandler(io.Discard, nil)
	logs := map[string]*accessLog{"transom": {handler: handler, w: io.Discard}, "slog": {handler: handler}}
	attrs := []slog.Attr{
		slog.String("request_id", "01jdz3v9q8f2m4n6p8r0s2t4v6"), slog.String("client_ip", "203.0.113.9"), slog.String("method", "GET"),
		slog.String("path", "/v1/shelves/1/books/2"), slog.String("protocol", "rest"), slog.String("http_version", "1.1"),
		slog.String("code", "OK"), slog.Int("status", 200), slog.Float64("duration_ms", 0.412), slog.Int64("request_bytes", 20),
		slog.Int64("response_bytes", 300), slog.Int64("request_body_bytes", 0), slog.Int64("response_body_bytes", 340),
		slog.Int("request_messages", 1), slog.Int("response_messages", 1), slog.String("endpoint", "10.0.0.1:50051"), slog.String("user_agent", "curl/8.14.1"),
	}
	for name, log := range logs {
		b.Run(name, func(b *testing.B) {
			route, at := log.of("/v1/{name=shelves/*/books/*}", "bookstore.v1.BookstoreService/GetBook"), time.Unix(1700000000, 123456789)
			b.ReportAllocs()
			for b.Loop() {
				route.write(at, slog.LevelInfo, attrs)
			}
		})
	}
}

// What metrics and a line of the access log cost a call, with the write to a file.
func BenchmarkAccessLogFile(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	benchmark(b, &transomv1.Telemetry{Log: &transomv1.Log{Format: transomv1.Log_JSON}}, f)
}

func BenchmarkAccessLogText(b *testing.B) {
	benchmark(b, &transomv1.Telemetry{Log: &transomv1.Log{Format: transomv1.Log_TEXT}}, io.Discard)
}

func BenchmarkRequestID(b *testing.B) {
	b.ReportAllocs()
	h := http.Header{}
	for b.Loop() {
		RequestID(h)
	}
}

// What metrics and a span cost a call; the endpoint does not answer.
func BenchmarkTracing(b *testing.B) {
	for name, ratio := range map[string]float64{"sampled": 1, "unsampled": 0} {
		b.Run(name, func(b *testing.B) {
			off := false
			benchmark(b, &transomv1.Telemetry{
				Log:  &transomv1.Log{Access: &off, Level: transomv1.Log_ERROR},
				Otlp: &transomv1.Otlp{Endpoint: "grpc://127.0.0.1:1", SampleRatio: &ratio},
			}, io.Discard)
		})
	}
}
