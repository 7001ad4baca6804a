package config

import (
	"net/url"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// openAPI checks what the OpenAPI document says, and where it is.
func (c *checker) openAPI(o *transomv1.OpenApi) {
	const path = "openapi"
	paths := map[string]string{}
	ours := func(p, at string) {
		if !ownPath.MatchString(p) || !strings.HasSuffix(p, ".json") {
			c.fail(at, "found %.100q, expected a path that ends with .json, such as %q: segments of letters, digits, \".\", \"_\", \"~\" and \"-\"", p, "/openapi.json")
		} else if other := paths[p]; other != "" {
			c.fail(at, "found %.100q, which %s is, too: choose another path", p, other)
		}
		paths[p] = at
	}
	if p := o.GetPath(); p != "" {
		ours(p, join(path, "path"))
	}
	if o.GetPolicy() != nil && o.GetPath() == "" {
		c.fail(join(path, "policy"), "it is for those who ask for the document, and there is no path for it: set openapi.path, such as %q, or remove it", "/openapi.json")
	}
	if o.GetByPackage() && o.GetPath() == "" {
		c.fail(join(path, "by_package"), "the documents of packages are below that of all, and there is no path for it: set openapi.path, such as %q, or remove it", "/openapi.json")
	}
	for i, d := range o.GetDocuments() {
		at := join(join(path, "documents"), i)
		ours(d.GetPath(), join(at, "path"))
		for j, pkg := range d.GetPackages() {
			if !protoreflect.FullName(pkg).IsValid() {
				c.fail(join(join(at, "packages"), j), "found %.100q, expected the name of a package, such as %q", pkg, "library.v1")
			}
		}
		c.labels(join(at, "visibility"), d.GetVisibility())
	}
	c.labels(join(path, "visibility"), o.GetVisibility())
	c.openAPIServers(join(path, "servers"), o.GetServers())
}

// openAPIServers checks where clients reach the gateway.
func (c *checker) openAPIServers(path string, servers []string) {
	for i, server := range servers {
		u, err := url.Parse(server)
		if err != nil || u.Fragment != "" || u.RawQuery != "" || u.Scheme == "" && !strings.HasPrefix(server, "/") || u.Scheme != "" && u.Host == "" {
			c.fail(join(path, i), "found %.100q, expected a URL such as %q, or a path", server, "https://api.example.com")
		}
	}
}

// labels checks restrictions of google.api visibility.
func (c *checker) labels(at string, labels []string) {
	for i, label := range labels {
		if label == "" || strings.ContainsAny(label, ", ") {
			c.fail(join(at, i), "found %.100q, expected one restriction, such as %q", label, "PREVIEW")
		}
	}
}

// docs checks where the documentation is.
func (c *checker) docs(o *transomv1.Docs) {
	const path = "docs"
	if p := o.GetPath(); p != "" && !ownPath.MatchString(p) {
		c.fail(join(path, "path"), "found %.100q, expected a path such as %q: segments of letters, digits, \".\", \"_\", \"~\" and \"-\"", p, "/docs")
	}
	if o.GetPolicy() != nil && o.GetPath() == "" {
		c.fail(join(path, "policy"), "it is for those who read the documentation, and there is no path for it: set docs.path, such as %q, or remove it", "/docs")
	}
}
