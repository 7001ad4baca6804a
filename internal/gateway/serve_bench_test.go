package gateway_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// BenchmarkServe carries a small unary call through the gateway to the bookstore and
// back, without net/http's server.
func BenchmarkServe(b *testing.B) {
	serveAgain(b, gatewaytest.Start(b, gatewaytest.Options{}), "/v1/shelves/1")
}

// BenchmarkHit answers a small unary call from the cache, likewise.
func BenchmarkHit(b *testing.B) {
	_, target := startNamedServers(b, 1)
	g := gatewaytest.Start(b, gatewaytest.Options{Backend: target, NoBookstore: true, Protos: map[string]string{"places.proto": placesProto}, Config: lookIsCached})
	if err := g.Telemetry.SetLevel(transomv1.Log_ERROR); err != nil { // the access log takes longer than the rest
		b.Fatal(err)
	}
	serveAgain(b, g, "/v1/look/item-1")
}

// serveAgain has the gateway serve a GET of a path over and over.
func serveAgain(b *testing.B, g *gatewaytest.Gateway, path string) {
	b.Helper()
	request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, g.URL+path, http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	request.RemoteAddr, request.RequestURI = "127.0.0.1:1", path
	w := &unreadAnswer{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		g.ServeHTTP(w, request)
	}
	if w.status != http.StatusOK && w.status != 0 {
		b.Errorf("it answered %d", w.status)
	}
}

// unreadAnswer is an answer that nobody reads.
type unreadAnswer struct {
	header http.Header
	status int
}

func (d *unreadAnswer) Header() http.Header         { return d.header }
func (d *unreadAnswer) WriteHeader(status int)      { d.status = status }
func (d *unreadAnswer) Write(p []byte) (int, error) { return len(p), nil }

// SetWriteDeadline is what http.ResponseController calls.
func (d *unreadAnswer) SetWriteDeadline(time.Time) error { return nil }
