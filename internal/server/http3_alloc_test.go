//go:build !race

package server

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// http3Answer is as much of quic-go's http.ResponseWriter as is asked for.
type http3Answer struct{ *httptest.ResponseRecorder }

func (http3Answer) SetReadDeadline(time.Time) error  { return nil }
func (http3Answer) SetWriteDeadline(time.Time) error { return nil }

// TestHTTP3Allocates: what is between quic-go and the gateway's handler takes one piece of memory for a request
// without a body.
//
//transom:norace
func TestHTTP3Allocates(t *testing.T) {
	f := &http3Front{o: frontOptions{header: time.Minute, handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != http.NoBody || r.ContentLength != 0 {
			t.Error("the request has a body")
		}
		w.WriteHeader(http.StatusOK)
	})}}
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/", http.NoBody)
	w := http3Answer{httptest.NewRecorder()}
	none := io.NopCloser(eof{})
	if got := testing.AllocsPerRun(1000, func() {
		r.ContentLength, r.Body = -1, none
		f.ServeHTTP(w, r)
	}); got > 1 {
		t.Errorf("%v allocations, want 1", got)
	}
}

// eof is an empty body.
type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }
