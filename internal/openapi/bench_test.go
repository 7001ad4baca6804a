package openapi_test

import (
	"io"
	"testing"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/googleapis"
	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/internal/openapi"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// BenchmarkGoogleAPIs makes the document of all public Google APIs.
func BenchmarkGoogleAPIs(b *testing.B) {
	var routes, size int
	for b.Loop() {
		b.StopTimer()
		g := googleAPIs(b)
		b.StartTimer()
		d, _, err := g.OpenAPI(openapi.Options{})
		if err != nil {
			b.Fatal(err)
		}
		size = len(d.JSON())
		b.StopTimer()
		routes = len(g.Routes())
		g.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N)/float64(routes)*1000, "ms/1000routes")
	b.ReportMetric(float64(routes), "routes")
	b.ReportMetric(float64(size), "bytes")
}

// googleAPIs is a gateway that knows all public Google APIs and serves nobody.
func googleAPIs(t testing.TB) *gateway.Gateway {
	t.Helper()
	telemetry, err := observe.Setup(&transomv1.Telemetry{}, "test", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	set := googleapis.File(t)
	g := gateway.New(gateway.Options{Telemetry: telemetry, Version: "test", Offline: true, Load: func() (*config.File, error) {
		file := config.ForFlags(nil, []string{set}, false, "", "", "")
		return file, file.Check().Err()
	}})
	if _, err := g.Reload(t.Context()); err != nil {
		g.Close()
		t.Fatal(err)
	}
	return g
}
