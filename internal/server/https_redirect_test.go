package server

import (
	"net/http"
	"net/http/httptest"
	"testing"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestHTTPSRedirect: Traffic 205: a listener sends clients to https, but for those that
// prove who owns the host.
func TestHTTPSRedirect(t *testing.T) {
	gateway := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	h := clientsHandler(&transomv1.Listener{HttpsRedirect: true}, gateway)
	for _, test := range []struct {
		method, url string
		status      int
		location    string
	}{
		{"GET", "http://shop.example/a/b?c=d", 308, "https://shop.example/a/b?c=d"},
		{"POST", "http://shop.example:8080/", 308, "https://shop.example/"},
		{"GET", "http://[::1]:80/%2f%2Fevil.example", 308, "https://[::1]/%2f%2Fevil.example"},
		{"GET", "http://shop.example//evil.example/", 308, "https://shop.example//evil.example/"},
		{"GET", "http://shop.example/.well-known/acme-challenge/token", 418, ""},
		{"GET", "http://shop.example/.well-known/acme-challengex", 308, "https://shop.example/.well-known/acme-challengex"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(test.method, test.url, nil))
		if w.Code != test.status || w.Header().Get("Location") != test.location {
			t.Errorf("%s %s: %d %q, want %d %q", test.method, test.url, w.Code, w.Header().Get("Location"), test.status, test.location)
		}
	}
	none := httptest.NewRequest("OPTIONS", "*", nil)
	none.Host = ""
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, none); w.Code != 400 {
		t.Errorf("without a host: %d", w.Code)
	}
}
