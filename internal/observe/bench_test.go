package observe

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

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

// The same with the write, to a file.
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
