package gateway_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"sync"
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
	zipped := g.Do(t, "GET", "/docs/api.json", "", "Accept-Encoding", "gzip")
	if other := zipped.Header.Get("Etag"); other == tag || g.Do(t, "GET", "/docs/api.json", "", "If-None-Match", other).Status != 200 ||
		g.Do(t, "HEAD", "/docs/api.json", "", "If-None-Match", other, "Accept-Encoding", "gzip").Status != 304 {
		t.Errorf("the tag %s stands for the plain and for the compressed form", other)
	}
	if zipped.Header.Get("Content-Encoding") != "gzip" || len(zipped.Body) > len(first.Body)/4 {
		t.Errorf("%d %v, %d bytes of %d", zipped.Status, zipped.Header, len(zipped.Body), len(first.Body))
	}
}

// TestOpenAPIDocuments: Surface 205 and 224: documents of packages, and those of the configuration, are
// routes of their own with their own policies; a package without a route is warned of.
func TestOpenAPIDocuments(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{
		Protos: map[string]string{"other.proto": "syntax = \"proto3\";\npackage other.v1;\nservice Other { rpc Ask(Question) returns (Question); }\nmessage Question { string text = 1; }\n"},
		Config: `openapi:
  path: /api/all.json
  by_package: true
  documents:
    - { path: /partners.json, packages: [other.v1], policy: { headers: { response: { set: { X-Doc: partners } } } } }
    - { path: /none.json, packages: [other.v2] }
`})
	for _, test := range []struct {
		path        string
		status      int
		has, hasNot string
	}{
		{"/api/all.json", 200, "other.v1.Other/Ask", ""},
		{"/api/all/other.v1.json", 200, "other.v1.Other/Ask", "bookstore.v1.Book"},
		{"/api/all/bookstore.v1.yaml", 200, "bookstore.v1.Book", "other.v1"},
		{"/api/all/other.v2.json", 404, "", ""},
		{"/partners.json", 200, "other.v1.Other/Ask", "bookstore.v1.Book"},
		{"/partners.yaml?version=3.2", 200, "3.2.0", "bookstore.v1.Book"},
		{"/partners.json?service=bookstore.v1.BookstoreService", 404, "there are other.v1.Other", "bookstore.v1.BookstoreService,"},
		{"/none.json", 404, "no route leads to a package \\\"other.v2\\\"; did you mean other.v1?", ""},
	} {
		got := g.Do(t, "GET", test.path, "")
		if got.Status != test.status || !strings.Contains(got.Body, test.has) || test.hasNot != "" && strings.Contains(got.Body, test.hasNot) {
			t.Errorf("%s: got %d %.300s, want %d with %q and without %q", test.path, got.Status, got.Body, test.status, test.has, test.hasNot)
		}
	}
	if got := g.Do(t, "GET", "/partners.json", "").Header.Get("X-Doc"); got != "partners" {
		t.Errorf("the document has not its own policy: %q", got)
	}
	warned := false
	for _, p := range g.Status().Problems {
		warned = warned || strings.Contains(p.Message, `openapi.documents[1].packages[0]: found "other.v2"`) && p.Line > 0
	}
	if !warned {
		t.Errorf("there is no warning of a package without a route: %v", g.Status().Problems)
	}
}

// TestDocsContentPolicy: Surface 247: what defaults say of the answers of an API does not hold for pages, whose style and script it would
// stop; what the pages' own policy says does.
func TestDocsContentPolicy(t *testing.T) {
	const defaults = "defaults: { headers: { security: { content_security_policy: \"default-src 'none'\", hsts: {} } } }\n"
	for own, want := range map[string]string{
		"": "script-src 'sha256-",
		", policy: { headers: { security: { content_security_policy: \"default-src 'self'\" } } }": "default-src 'self'",
	} {
		g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", Config: defaults + "openapi: { path: /openapi.json }\ndocs: { path: /docs" + own + " }\n"})
		got := g.Do(t, "GET", "/docs", "")
		if policy := got.Header.Get("Content-Security-Policy"); got.Status != 200 || !strings.Contains(policy, want) || got.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("docs%s: %d %v, want %s", own, got.Status, got.Header, want)
		}
		if policy := g.Do(t, "GET", "/openapi.json", "").Header.Get("Content-Security-Policy"); policy != "default-src 'none'" {
			t.Errorf("of the document, too: %q", policy)
		}
	}
}

// TestOpenAPIRequests: Surface 204 and 247: whatever is asked of the document and of the pages, the answer is one of
// HTTP's: what is not understood is refused or ignored, and nothing of it comes back as markup.
func TestOpenAPIRequests(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Admin: true, Backend: "127.0.0.1:1", Config: "openapi: { path: /openapi.json }\ndocs: { path: /docs }\n"})
	long := strings.Repeat("x", 3000)
	for _, test := range []struct {
		method, path string
		headers      []string
		status       int
	}{
		{"GET", "/openapi.json?service=%3Cscript%3E" + long, nil, 404},
		{"GET", "/openapi.json?service=%00&version=%ff", nil, 400},
		{"GET", "/openapi.json?version=3.1&version=9", nil, 200},
		{"GET", "/openapi.json?%zz&;=&&&=", nil, 200},
		{"GET", "/openapi.json?version=" + long, nil, 400},
		{"GET", "/openapi.json/", nil, 404},
		{"GET", "/openapi%2ejson", nil, 200},
		{"POST", "/openapi.json", nil, 405},
		{"DELETE", "/docs", nil, 405},
		{"HEAD", "/openapi.json", nil, 200},
		{"HEAD", "/docs?service=none", nil, 404},
		{"GET", "/openapi.json", []string{"Accept", "image/png", "Accept-Encoding", "gzip;q=0, br, *;q=x"}, 200},
		{"GET", "/openapi.json", []string{"Range", "bytes=0-10,-1,5-", "If-Range", "W/\"x\""}, 200},
		{"GET", "/openapi.json", []string{"If-None-Match", "*"}, 304},
		{"GET", "/openapi.json", []string{"If-None-Match", `"a, "b", W/`}, 200},
		{"GET", "/openapi.json", []string{"If-None-Match", strings.Repeat(`"a",`, 1000)}, 200},
		{"GET", "/docs?service=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E", nil, 404},
		{"GET", "/docs", []string{"Range", "bytes=1-2"}, 200},
	} {
		got := g.Do(t, test.method, test.path, "", test.headers...)
		if got.Status != test.status || got.Status < 400 && got.Header.Get("Etag") == "" {
			t.Errorf("%s %.60s: %d %v %.200s, want %d", test.method, test.path, got.Status, got.Header, got.Body, test.status)
		}
		if kind := got.Header.Get("Content-Type"); got.Status >= 400 && strings.Contains(kind, "html") {
			t.Errorf("%s %.60s: an error is %s", test.method, test.path, kind)
		}
	}
}

// TestOpenAPIReloaded: Surface 204: while configurations come and go, a tag is that of the bytes that come with it, and
// a client that has the tag is told that it has the document of now.
func TestOpenAPIReloaded(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", Config: "openapi: { path: /openapi.json, title: T0 }\n"})
	before, err := os.ReadFile(g.Config)
	if err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		clients.Go(func() {
			tag := ""
			for {
				select {
				case <-done:
					return
				default:
				}
				got := g.Do(t, "GET", "/openapi.json", "", "If-None-Match", tag)
				sum := sha256.Sum256([]byte(got.Body))
				switch own := got.Header.Get("Etag"); {
				case got.Status == 304 && own == tag && tag != "":
				case got.Status == 200 && own == `"`+hex.EncodeToString(sum[:16])+`"` && own != tag:
					tag = own
				default:
					t.Errorf("%d with %s for %s", got.Status, own, tag)
				}
			}
		})
	}
	for i := range 20 {
		text := strings.Replace(string(before), "T0", fmt.Sprintf("T%d", i%3), 1)
		if err := os.WriteFile(g.Config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	clients.Wait()
}
