package resilient_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/examples/resilient"
)

// TestControl tells stations by HTTP how to be.
func TestControl(t *testing.T) {
	fleet, err := resilient.NewFleet("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := fleet.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, test := range []struct {
		path string
		code int
		want string
	}{
		{"/stations/east/hanging", 200, "east is hanging"},
		{"/stations/east/dead", 200, "east is dead"},
		{"/stations/east/ill", 400, `found "ill", expected a state: [well slow hanging sick dead]`},
		{"/stations/south/well", 400, `found "south", expected a station: north, east, west`},
	} {
		w := httptest.NewRecorder()
		fleet.ServeHTTP(w, httptest.NewRequest(http.MethodPost, test.path, http.NoBody))
		if got := strings.TrimSpace(w.Body.String()); w.Code != test.code || got != test.want {
			t.Errorf("%s: %d %s, want %d %s", test.path, w.Code, got, test.code, test.want)
		}
	}
	if s := fleet.Station("east").State(); s != resilient.Dead {
		t.Errorf("east is %s", s)
	}
	w := httptest.NewRecorder()
	fleet.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/stations", http.NoBody))
	if lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n"); len(lines) != 3 || !strings.HasPrefix(lines[1], "east   dead") {
		t.Errorf("%q", lines)
	}
}
