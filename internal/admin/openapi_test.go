package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"testing"
)

// documented is a gateway with an OpenAPI document.
type documented struct{ Gateway }

func (documented) OpenAPI(version, service string, yaml bool) ([]byte, string, error) {
	switch {
	case service != "":
		return nil, "", fmt.Errorf("no such service: %w", fs.ErrNotExist)
	case version == "4":
		return nil, "", errors.New("no such version")
	case yaml:
		return []byte("yaml " + version), `"y"`, nil
	}
	return []byte("json " + version), `"j"`, nil
}

// TestOpenAPI: Surface 204: the document is at the admin listener, with a tag.
func TestOpenAPI(t *testing.T) {
	handler := New(Options{Gateway: documented{newGateway()}})
	for _, test := range []struct {
		path, tag, want, contentType string
		status                       int
	}{
		{"/openapi.json", "", "json ", "application/json", 200},
		{"/openapi.yaml?version=3.2", "", "yaml 3.2", "application/yaml", 200},
		{"/openapi.json", `"j"`, "", "", 304},
		{"/openapi.json?service=a", "", "no such service: file does not exist\n", "text/plain; charset=utf-8", 404},
		{"/openapi.json?version=4", "", "no such version\n", "text/plain; charset=utf-8", 400},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+test.path, nil)
		r.Header.Set("If-None-Match", test.tag)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != test.status || w.Body.String() != test.want || w.Header().Get("Content-Type") != test.contentType {
			t.Errorf("%s: %d %v %q", test.path, w.Code, w.Header(), w.Body)
		}
	}
}
