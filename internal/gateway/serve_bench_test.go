package gateway_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// BenchmarkServe carries a small unary call through the gateway to the bookstore and
// back, without net/http's server.
func BenchmarkServe(b *testing.B) {
	g := gatewaytest.Start(b, gatewaytest.Options{})
	request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, g.URL+"/v1/shelves/1", http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	request.RemoteAddr, request.RequestURI = "127.0.0.1:1", "/v1/shelves/1"
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
