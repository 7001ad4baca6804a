package mirror

import (
	"net/url"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/internal/projection"
	"github.com/transom-gateway/transom/proxy/httpbackend"
)

const canonicalHeader = "X-Transom-Mirror"

// credentials are the fields of a header, in the form of field.Bare, that say who the caller
// is or prove it, or may hold a URL that does.
var credentials = []string{
	"authorization", "cookie", "referer", "api-key", "x-api-key", "x-auth-token", "x-access-token", "x-csrf-token", "x-xsrf-token", "x-amz-security-token",
}

// parameters are those of a query that do, in lower case.
var parameters = []string{
	"access_token", "id_token", "refresh_token", "token", "api_key", "apikey", "client_secret", "password",
}

// isCredential reports whether a header or metadata of that name is left out of redacted
// copies, in any spelling.
func isCredential(name string) bool { return slices.Contains(credentials, field.Bare(name)) }

// redactRequest takes the credentials out of a plain HTTP request.
func redactRequest(c *httpbackend.Copy) {
	for name := range c.Header {
		if isCredential(name) {
			delete(c.Header, name)
		}
	}
	path, query, asked := strings.Cut(c.Target, "?")
	if !asked {
		return
	}
	kept := strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' })
	kept = slices.DeleteFunc(kept, func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		return err != nil || slices.Contains(parameters, strings.ToLower(plain))
	})
	if c.Target = path; len(kept) > 0 {
		c.Target += "?" + strings.Join(kept, "&")
	}
}

// newRedactor makes what takes out of messages in wire format what is marked sensitive, and what
// nobody can look into.
func newRedactor(d protoreflect.MessageDescriptor) *projection.Projection {
	p, _ := projection.New(d, projection.Options{Paths: []string{"*"}}) // no path is wrong
	return p
}
