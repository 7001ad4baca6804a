// Package cors is the field cors: pages of other origins may call, by the Fetch standard.
package cors

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/internal/span"
	"github.com/transom-gateway/transom/policy"
)

// What the protocols need beyond the headers that the Fetch standard always
// lets through, in lower case: gRPC-Web, Connect, tracing, and what Transom
// itself reads and writes.
var (
	defaultAllowedHeaders = []string{
		"authorization", "connect-accept-encoding", "connect-content-encoding", "connect-protocol-version",
		"connect-timeout-ms", "content-encoding", "content-type", "grpc-accept-encoding", "grpc-encoding", "grpc-timeout",
		"idempotency-key", "if-none-match", "last-event-id", "request-timeout", "traceparent", "tracestate",
		"x-grpc-web", "x-request-id", "x-request-timeout", "x-user-agent",
	}
	defaultExposedHeaders = []string{
		"connect-content-encoding", "etag", "grpc-encoding", "grpc-message", "grpc-status", "grpc-status-details-bin",
		"idempotent-replayed", "location", "ratelimit", "ratelimit-policy", "retry-after", "www-authenticate", "x-request-id",
	}
)

const (
	// defaultMaxAge is how long a browser keeps the answer to a preflight.
	defaultMaxAge = 10 * time.Minute
	// maxRequestHeaders bounds Access-Control-Request-Headers, in bytes.
	maxRequestHeaders = 4 << 10
)

// Header fields of the Fetch standard, in Go's canonical form.
const (
	originHeader         = "Origin"
	allowOriginHeader    = "Access-Control-Allow-Origin"
	allowCredentials     = "Access-Control-Allow-Credentials"
	allowMethodsHeader   = "Access-Control-Allow-Methods"
	allowHeadersHeader   = "Access-Control-Allow-Headers"
	allowPrivateNetwork  = "Access-Control-Allow-Private-Network"
	exposeHeadersHeader  = "Access-Control-Expose-Headers"
	maxAgeHeader         = "Access-Control-Max-Age"
	requestMethodHeader  = "Access-Control-Request-Method"
	requestHeadersHeader = "Access-Control-Request-Headers"
	requestPrivate       = "Access-Control-Request-Private-Network"
)

// Policy lets pages of other origins call, by the Fetch standard. It tells
// browsers what they may do and refuses nothing: a call that a browser would not
// make is any other client's right.
type Policy struct {
	origins     origins
	credentials bool
	methods     []string // nil: those of the routes
	anyHeader   bool
	headers     map[string]bool // in lower case
	headerList  []string        // the value of Access-Control-Allow-Headers
	exposed     []string        // the value of Access-Control-Expose-Headers
	maxAge      []string
	private     bool
	summary     string
}

var (
	_ policy.HeaderChanger = (*Policy)(nil)

	anyOrigin   = []string{"*"}
	trueValue   = []string{"true"}
	varyOrigin  = []string{"Origin"}
	varyRequest = []string{requestMethodHeader + ", " + requestHeadersHeader}
	varyPrivate = []string{requestPrivate}
)

// Name implements Part.
func (c *Policy) Name() string { return "cors" }

// Summary is one line for explain.
func (c *Policy) Summary() string { return c.summary }

// AllowsOrigin reports whether pages of an origin, as the Origin header has it,
// may call.
func (c *Policy) AllowsOrigin(origin string) bool { return c.origins.match(origin) }

// Admit implements Admitter: a refusal of the policies behind it must be readable
// for the page, too.
func (c *Policy) Admit(ctx context.Context, r *policy.Request) (context.Context, policy.Done, error) {
	c.answer(r.HTTP, r.ResponseHeader)
	return ctx, nil, nil
}

// ResponseHeader implements HeaderChanger: what a backend says of origins gives
// way to the policy.
func (c *Policy) ResponseHeader(r *policy.Request, h http.Header) {
	delete(h, allowOriginHeader)
	delete(h, allowCredentials)
	delete(h, exposeHeadersHeader)
	c.answer(r.HTTP, h)
}

// answer writes what an ordinary answer has.
func (c *Policy) answer(r *http.Request, h http.Header) {
	addVary(h, varyOrigin)
	allowed := c.allowed(r)
	if allowed == nil {
		return
	}
	h[allowOriginHeader] = allowed
	if c.credentials {
		h[allowCredentials] = trueValue
	}
	if c.exposed != nil {
		h[exposeHeadersHeader] = c.exposed
	}
}

// allowed is the value of Access-Control-Allow-Origin, nil for none.
func (c *Policy) allowed(r *http.Request) []string {
	values := r.Header[originHeader]
	switch {
	case len(values) != 1 || !c.origins.match(values[0]):
		return nil
	case c.origins.any:
		return anyOrigin
	}
	return values[:1:1]
}

// Preflight answers the question whether a page may send a request, before
// there is one. It reports whether r asks that, and writes the answer's header
// into h: the status is the caller's, 204 for a yes and a no alike, for a no is
// told by what is not there. allowedMethods are those of the routes at the path.
func (c *Policy) Preflight(r *http.Request, h http.Header, allowedMethods []string) (handled bool) {
	method := r.Header.Get(requestMethodHeader)
	if r.Method != http.MethodOptions || method == "" || len(r.Header[originHeader]) == 0 {
		return false
	}
	addVary(h, varyOrigin)
	addVary(h, varyRequest)
	if c.private {
		addVary(h, varyPrivate)
	}
	allowed := c.allowed(r)
	if allowed == nil || len(method) > 64 || !httpguts.ValidHeaderFieldName(method) {
		return true
	}
	names, ok := c.allowedHeaders(r.Header[requestHeadersHeader])
	if !ok {
		return true
	}
	h[allowOriginHeader] = allowed
	if c.credentials {
		h[allowCredentials] = trueValue
	}
	h[allowMethodsHeader] = []string{c.allowedMethods(method, allowedMethods)}
	if len(names) > 0 {
		h[allowHeadersHeader] = names
	}
	if c.private && r.Header.Get(requestPrivate) == "true" {
		h[allowPrivateNetwork] = trueValue
	}
	h[maxAgeHeader] = c.maxAge
	return true
}

// allowedMethods lists the methods; one that is asked for under "*" is named,
// for with credentials a browser takes "*" by its word.
func (c *Policy) allowedMethods(asked string, routes []string) string {
	methods := c.methods
	if methods == nil {
		methods = routes
	}
	if slices.Contains(c.methods, "*") {
		return asked
	}
	return strings.Join(methods, ", ")
}

// allowedHeaders is the value of Access-Control-Allow-Headers, and whether all
// that the page wants to send is allowed.
func (c *Policy) allowedHeaders(asked []string) ([]string, bool) {
	if len(asked) == 0 {
		return nil, true
	}
	line := strings.Join(asked, ",")
	if len(line) > maxRequestHeaders {
		return nil, false
	}
	for name := range strings.SplitSeq(line, ",") {
		name = strings.ToLower(strings.Trim(name, " \t"))
		if name != "" && !c.headers[name] && !(c.anyHeader && httpguts.ValidHeaderFieldName(name)) {
			return nil, false
		}
	}
	if c.anyHeader {
		return []string{line}, true
	}
	return c.headerList, true
}

// addVary names fields that the answer depends on, once. names has one line,
// which answers share.
func addVary(h http.Header, names []string) {
	lines := h["Vary"]
	if lines == nil {
		h["Vary"] = names[:1:1]
		return
	}
	for _, line := range lines {
		if line == names[0] || line == "*" || slices.ContainsFunc(strings.Split(line, ","), func(s string) bool {
			return strings.EqualFold(strings.TrimSpace(s), names[0])
		}) {
			return
		}
	}
	h["Vary"] = append(lines, names[0])
}

// Kind is the policy cors.
func Kind() policy.Kind { return policy.Kind{Field: "cors", Compile: compileCors} }

// compileCors compiles the policy. An empty one closes a method of a service that
// lets pages call.
func compileCors(s *policy.Scope) policy.Part {
	rule := s.Policy.GetCors()
	if proto.Size(rule) == 0 {
		return nil
	}
	c := &Policy{credentials: rule.GetAllowCredentials(), private: rule.GetAllowPrivateNetwork()}
	c.origins = corsOrigins(s, rule.GetAllowedOrigins())
	if c.credentials && (c.origins.any || c.origins.null) {
		s.Refuse("cors.allow_credentials", `cors.allow_credentials with the origin "*" or "null" would let any page act for its visitors; expected the origins by name`)
	}
	for i, method := range rule.GetAllowedMethods() {
		if !httpguts.ValidHeaderFieldName(method) {
			s.Refuse(policy.Index("cors.allowed_methods", i), "%s is %q; expected an HTTP method", policy.Index("cors.allowed_methods", i), method)
		}
	}
	c.methods = rule.GetAllowedMethods()
	allowed := corsHeaders(s, "cors.allowed_headers", rule.GetAllowedHeaders(), defaultAllowedHeaders)
	c.anyHeader = slices.Contains(allowed, "*")
	c.headers = map[string]bool{}
	for _, name := range allowed {
		c.headers[name] = true
	}
	c.headerList = []string{strings.Join(allowed, ", ")}
	if exposed := corsHeaders(s, "cors.exposed_headers", rule.GetExposedHeaders(), defaultExposedHeaders); len(exposed) > 0 {
		c.exposed = []string{strings.Join(exposed, ", ")}
	}
	age := defaultMaxAge
	if rule.GetMaxAge() != nil {
		if age = rule.GetMaxAge().AsDuration(); age < 0 {
			s.Refuse("cors.max_age", "cors.max_age is %v; expected 0 or more", span.Text(age))
		}
	}
	c.maxAge = []string{strconv.FormatInt(int64(age/time.Second), 10)}
	c.summary = "pages of " + strings.Join(rule.GetAllowedOrigins(), ", ") + " may call"
	if c.credentials {
		c.summary += ", with credentials"
	}
	return c
}

// corsHeaders checks a list of names and gives it in lower case.
func corsHeaders(s *policy.Scope, path string, names, otherwise []string) []string {
	if len(names) == 0 {
		return otherwise
	}
	lower := make([]string, len(names))
	for i, name := range names {
		if !httpguts.ValidHeaderFieldName(name) {
			s.Refuse(policy.Index(path, i), "%s is %q; expected the name of a header", policy.Index(path, i), name)
		}
		lower[i] = strings.ToLower(name)
	}
	return lower
}
