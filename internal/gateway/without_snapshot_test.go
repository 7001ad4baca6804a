package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/observe"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestWithoutSnapshot: Semantics 26 and 321: a gateway that has not loaded yet answers
// in the client's form, too, and with an id.
func TestWithoutSnapshot(t *testing.T) {
	telemetry, err := observe.Setup(&transomv1.Telemetry{}, "test", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	g := New(Options{Telemetry: telemetry})
	defer g.Close()
	for contentType, want := range map[string]string{"application/json": `"code":14`, "application/connect+json": `"code":"unavailable"`} {
		r := httptest.NewRequest(http.MethodPost, "/bookstore.v1.BookstoreService/GetShelf", strings.NewReader("{}"))
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if !strings.Contains(w.Body.String(), want) || w.Header().Get("X-Request-Id") == "" {
			t.Errorf("%s: %d %v %q", contentType, w.Code, w.Header(), w.Body)
		}
	}
	w := httptest.NewRecorder()
	g.Refuse(w, httptest.NewRequest(http.MethodGet, "/", nil), http.StatusBadRequest, "a bad head")
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"code":3`) {
		t.Errorf("a refusal: %d %q", w.Code, w.Body)
	}
}
