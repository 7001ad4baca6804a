package gateway_test

import (
	"net/http"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// TestOpenAPIAllocations: Surface 204: what is asked for without a query was made before, and
// costs no allocation more than a fixed answer of the configuration.
//
//transom:norace
func TestOpenAPIAllocations(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Config: "openapi: { path: /openapi.json }\nroutes: [{ match: { path: /hi }, respond: { body: hello } }]\n"})
	allocations := func(path string) float64 {
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
		if w.status != http.StatusOK {
			t.Errorf("%s answered %d, expected 200", path, w.status)
		}
		return n
	}
	fixed, document := allocations("/hi"), allocations("/openapi.json")
	if document > fixed {
		t.Errorf("a document makes %v allocations, a fixed answer %v", document, fixed)
	}
}
