package config

import (
	"net/url"
	"strings"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// openAPI checks what the OpenAPI document says, and where it is.
func (c *checker) openAPI(o *transomv1.OpenApi) {
	const path = "openapi"
	if p := o.GetPath(); p != "" && (!ownPath.MatchString(p) || !strings.HasSuffix(p, ".json")) {
		c.fail(join(path, "path"), "found %.100q, expected a path that ends with .json, such as %q: segments of letters, digits, \".\", \"_\", \"~\" and \"-\"", p, "/openapi.json")
	}
	if o.GetPolicy() != nil && o.GetPath() == "" {
		c.fail(join(path, "policy"), "it is for those who ask for the document, and there is no path for it: set openapi.path, such as %q, or remove it", "/openapi.json")
	}
	for i, server := range o.GetServers() {
		u, err := url.Parse(server)
		if err != nil || u.Fragment != "" || u.RawQuery != "" || u.Scheme == "" && !strings.HasPrefix(server, "/") || u.Scheme != "" && u.Host == "" {
			c.fail(join(join(path, "servers"), i), "found %.100q, expected a URL such as %q, or a path", server, "https://api.example.com")
		}
	}
}
