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
