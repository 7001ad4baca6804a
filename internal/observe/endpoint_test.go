package observe

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestEndpointMetrics: Traffic 181: the series of endpoints are bounded for each upstream,
// and all endpoints are counted.
func TestEndpointMetrics(t *testing.T) {
	m := NewMetrics("test")
	all := []Endpoint{
		{Name: "10.0.0.1:1", State: "DRAINING", InFlight: 7},
		{Name: "10.0.0.1:1", State: "READY", InFlight: 2, Checked: 5, CheckFailed: 1, Calls: 9, Faults: 3, Ejections: 4, Latency: 1500 * time.Millisecond},
	}
	for i := range 1000 {
		all = append(all, Endpoint{Name: fmt.Sprintf("10.0.1.%d:1", i), State: "CONNECTING"})
	}
	m.SetUpstreams(func(yield func(string, Upstream) bool) { yield("books", Upstream{State: "READY", Endpoints: all}) })
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	text := w.Body.String()
	for _, want := range []string{
		`transom_upstream_endpoints{state="CONNECTING",upstream="books"} 1000`,
		`transom_upstream_endpoints{state="DRAINING",upstream="books"} 1`,
		`transom_endpoint_state{endpoint="10.0.0.1:1",state="READY",upstream="books"} 1`,
		`transom_endpoint_calls_in_flight{endpoint="10.0.0.1:1",upstream="books"} 2`,
		`transom_endpoint_calls_total{endpoint="10.0.0.1:1",result="answered",upstream="books"} 6`,
		`transom_endpoint_calls_total{endpoint="10.0.0.1:1",result="fault",upstream="books"} 3`,
		`transom_endpoint_checks_total{endpoint="10.0.0.1:1",result="healthy",upstream="books"} 4`,
		`transom_endpoint_checks_total{endpoint="10.0.0.1:1",result="unhealthy",upstream="books"} 1`,
		`transom_endpoint_ejections_total{endpoint="10.0.0.1:1",upstream="books"} 4`,
		`transom_endpoint_latency_seconds{endpoint="10.0.0.1:1",upstream="books"} 1.5`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	if n := strings.Count(text, "\ntransom_endpoint_state{"); n != maxEndpoints {
		t.Errorf("%d endpoints have a series, want %d", n, maxEndpoints)
	}
}
