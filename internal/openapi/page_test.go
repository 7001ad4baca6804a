package openapi_test

import (
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/openapi"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// connectSnippet is how a page calls a method by Connect.
var connectSnippet = regexp.MustCompile(`(?s)curl "\$API(/[^"]+)"[^\n]*\\\n  -H 'connect-protocol-version: 1' -H 'content-type: application/json' -d '(.*?)'</pre>`)

// TestPageExamples: Surface 247: the gateway takes the requests that its documentation shows, whatever is in
// a message.
func TestPageExamples(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", Config: "docs: { path: /about }\ndefaults: { timeout: 60s }\n", Protos: map[string]string{"library.proto": strings.ReplaceAll(libraryProto, `"/v1/`, `"/library/`)}})
	for _, service := range []string{"library.v1.Library", "bookstore.v1.BookstoreService"} {
		page := html.UnescapeString(g.Do(t, "GET", "/about?service="+service, "").Body)
		calls := connectSnippet.FindAllStringSubmatch(page, -1)
		if len(calls) < 8 {
			t.Errorf("%s has %d examples", service, len(calls))
		}
		for _, call := range calls {
			answer := g.Do(t, "POST", call[1], strings.ReplaceAll(call[2], `'\''`, "'"), "Content-Type", "application/json", "Connect-Protocol-Version", "1")
			if !strings.Contains(answer.Body, `"code":"unavailable"`) { // which is the backend, that is away
				t.Errorf("%s: %d %s for %s", call[1], answer.Status, answer.Body, call[2])
			}
		}
	}
}

// TestPageSays: Surface 247: of each method the page says who may call it, how often, and what the gateway
// does with its calls; it changes its tag with what is served, and tells of no service that there is not.
func TestPageSays(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Protos: map[string]string{"guarded.proto": guardedProto}, Config: `docs: { path: /docs, policy: { headers: { response: { set: { X-Doc: yes } } } } }
openapi: { servers: ["https://api.example.com/"] }
auth: { jwt: [{ issuer: "https://id.example", secret: "a secret of more than 32 bytes, as it must be" }], session: { cookie: s } }
policies:
  - selector: bookstore.v1.BookstoreService.GetShelf
    policy:
      auth: { jwt: {}, scopes: [books.read, shelves.read], roles: [reader, writer], allow: "principal != ''" }
      rate_limit: [{ requests: 100, per: 60s, key: PRINCIPAL, burst: 20 }, { requests: 1, per: 5s, key: ROUTE }]
      cache: { ttl: 30s, scope: PUBLIC }
      timeout: 3s
      limits: { max_body_bytes: 65536 }
      retry: { max_attempts: 4 }
      concurrency: { max: 7 }
  - selector: bookstore.v1.BookstoreService.CreateShelf
    policy: { auth: { mixed: { jwt: { cookie: token } } }, idempotency_key: { required: true, ttl: 3600s } }
`})
	answer := g.Do(t, "GET", "/docs?service=bookstore.v1.BookstoreService", "")
	page := html.UnescapeString(answer.Body)
	_, shelf, _ := strings.Cut(page, `id="GetShelf"`)
	shelf, _, _ = strings.Cut(shelf, "</article>")
	_, create, _ := strings.Cut(page, `id="CreateShelf"`)
	create, _, _ = strings.Cut(create, "</article>")
	for text, in := range map[string]string{
		"Needs a signed token (JWT) as Authorization: Bearer.":  shelf,
		"Needs the scopes books.read and shelves.read.":         shelf,
		"Needs one of the roles reader or writer.":              shelf,
		"A rule decides besides who may call":                   shelf,
		"100 calls per minute for each caller, 20 at once.":     shelf,
		"1 call per 5s for all callers together.":               shelf,
		"7 calls may run at a time.":                            shelf,
		"Answers are cached for 30s, the same for all callers.": shelf,
		"A call may take 3s.":                                   shelf,
		"A body has 64 KiB at most.":                            shelf,
		"the gateway tries 4 times in all":                      shelf,
		"It changes nothing":                                    shelf,
		"<b>429</b>":                                            shelf,
		"<b>401</b> <code>UNAUTHENTICATED</code>":               shelf,
		`curl "https://api.example.com/v1/shelves/SHELF"`:       shelf,
		`"authorization: Bearer $TOKEN"`:                        shelf,
		"or in the cookie token, or a session":                  create,
		"it is required; a key is kept for 1h.":                 create,
		`-H 'content-type: application/json' -d '{`:             create,
		"Server-Sent Events for Accept: text/event-stream":      page,
		`websocat "wss://api.example.com/v1/discuss:stream"`:    page,
		"grpcurl -d":                            page,
		"<h3>bookstore<wbr>.v1<wbr>.Genre</h3>": page,
	} {
		if !strings.Contains(in, text) {
			t.Errorf("the page does not say %q", text)
		}
	}
	if strings.Contains(page, "principal != ''") {
		t.Error("the page tells a rule of the operator")
	}
	tag := answer.Header.Get("Etag")
	if answer.Header.Get("X-Doc") != "yes" || answer.Header.Get("Content-Security-Policy") != openapi.PagePolicy || tag == "" {
		t.Errorf("%v", answer.Header)
	}
	for _, test := range []struct {
		path, header string
		status       int
		has          string
	}{
		{"/docs?service=bookstore.v1.BookstoreService", tag, 304, ""},
		{"/docs", tag, 200, "guarded.v1"},
		{"/docs?service=bookstore.v1.Bookstore", "", 404, "no route leads to a service"},
	} {
		if got := g.Do(t, "GET", test.path, "", "If-None-Match", test.header); got.Status != test.status || !strings.Contains(got.Body, test.has) {
			t.Errorf("%s: got %d %.200s, want %d with %q", test.path, got.Status, got.Body, test.status, test.has)
		}
	}
	if again := g.Do(t, "GET", "/docs?service=bookstore.v1.BookstoreService", ""); again.Body != answer.Body {
		t.Error("the same input has given another page")
	}
}
