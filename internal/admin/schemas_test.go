package admin

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

// typed is a gateway with one message.
type typed struct{ Gateway }

func (typed) DescriptorSet(message string) ([]byte, error) {
	switch message {
	case "a.B":
		return []byte("set"), nil
	case "a.Bad":
		return nil, errors.New("it cannot be written")
	}
	return nil, nil
}

// TestSchemas: Events 123: the types of messages are at /schemas.
func TestSchemas(t *testing.T) {
	handler := New(Options{Gateway: typed{newGateway()}})
	for path, want := range map[string]int{"/schemas/a.B": 200, "/schemas/a.C": 404, "/schemas/a.Bad": 500, "/schemas/": 404} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+path, nil))
		if w.Code != want || want == 200 && (w.Body.String() != "set" || w.Header().Get("Content-Type") != descriptorSetType) {
			t.Errorf("%s: %d %v %q", path, w.Code, w.Header(), w.Body)
		}
	}
}
