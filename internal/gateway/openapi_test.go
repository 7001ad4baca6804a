package gateway_test

import (
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// TestOpenAPIForClients: Surface 204: the document is where the configuration says, behind the
// policies that hold there, and changes its tag when what is served changes.
func TestOpenAPIForClients(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Config: "openapi: { path: /docs/api.json, title: Books, policy: { headers: { response: { set: { X-Doc: yes } } } } }\n"})
	first := g.Do(t, "GET", "/docs/api.json", "")
	tag := first.Header.Get("Etag")
	if first.Status != 200 || !strings.Contains(first.Body, `"title": "Books"`) || tag == "" || first.Header.Get("X-Doc") != "yes" || first.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v %.200s", first.Status, first.Header, first.Body)
	}
	for _, test := range []struct {
		path, header string
		status       int
		has          string
	}{
		{"/docs/api.json", tag, 304, ""},
		{"/docs/api.json", `"other"`, 200, "openapi"},
		{"/docs/api.yaml?version=3.2", "", 200, `openapi: "3.2.0"`},
		{"/docs/api.yaml?service=bookstore.v1.BookstoreService", tag, 200, "BookstoreService"},
		{"/docs/api.yaml?service=bookstore.v1.Bookstore", "", 404, "there are bookstore.v1.BookstoreService"},
		{"/docs/api.json?version=2.0", "", 400, "expected 3.1 or 3.2"},
		{"/openapi.json", "", 404, ""},
	} {
		got := g.Do(t, "GET", test.path, "", "If-None-Match", test.header)
		if got.Status != test.status || !strings.Contains(got.Body, test.has) {
			t.Errorf("%s: got %d %.200s, want %d with %q", test.path, got.Status, got.Body, test.status, test.has)
		}
	}
	if zipped := g.Do(t, "GET", "/docs/api.json", "", "Accept-Encoding", "gzip"); zipped.Header.Get("Content-Encoding") != "gzip" || len(zipped.Body) > len(first.Body)/4 {
		t.Errorf("%d %v, %d bytes of %d", zipped.Status, zipped.Header, len(zipped.Body), len(first.Body))
	}
}
