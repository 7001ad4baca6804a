package gateway_test

import (
	"net/http"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// TestHitAllocations: an answer in JSON that the cache has costs no more
// allocations than an error, which nobody keeps, and two.
//
//transom:norace
func TestHitAllocations(t *testing.T) {
	_, target := startNamedServers(t, 1)
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: target, NoBookstore: true, Protos: map[string]string{"places.proto": placesProto}, Config: lookIsCached})
	allocations := func(path string, status int) float64 {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.RemoteAddr, request.RequestURI = "127.0.0.1:1", path
		w := &unreadAnswer{header: http.Header{}}
		n := testing.AllocsPerRun(100, func() {
			clear(w.header)
			g.ServeHTTP(w, request)
		})
		if max(w.status, http.StatusOK) != status {
			t.Errorf("%s answered %d, expected %d", path, w.status, status)
		}
		return n
	}
	hit, failed := allocations("/v1/look/a", http.StatusOK), allocations("/v1/look/a?weight=much", http.StatusBadRequest)
	if hit > failed+2 {
		t.Errorf("a hit makes %v allocations, an error %v", hit, failed)
	}
	// The request's id twice, the message and its context, and what the server itself asks for. Each hit
	// that made its body or its header anew would show here.
	if hit > 11 {
		t.Errorf("a hit makes %v allocations", hit)
	}
}
