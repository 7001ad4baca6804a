package pages

import (
	"testing"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/interop/internal/browser"
)

// reach fetches from another origin and tells the status and the headers that the
// page may see, or "kept back" where the browser lets it see nothing.
const reach = `async (address, method, headers, body, credentials) => {
	try {
		const answer = await fetch(address, { method, headers: headers ?? {}, body: body || undefined, credentials });
		await answer.text();
		return [answer.status, ...['x-shown', 'x-hidden', 'grpc-status'].map(name => answer.headers.get(name))];
	} catch (e) {
		return e.message === 'Failed to fetch' ? 'kept back' : e.message;
	}
}`

func TestCORS(t *testing.T) {
	own, foreign := elsewhere(t), elsewhere(t)
	g := gatewaytest.Start(t, gatewaytest.Options{Config: `
policies:
  - selector: bookstore.v1.BookstoreService.*
    policy:
      cors: { allowed_origins: ["` + own + `"], allow_credentials: true, exposed_headers: [x-shown, grpc-status] }
      headers: { response: { set: { x-shown: "1", x-hidden: "2" } } }
  - selector: bookstore.v1.BookstoreService.GetStatistics
    policy: { cors: { allowed_origins: ["*"] } }
  - selector: bookstore.v1.BookstoreService.GetCover
    policy: { cors: {} }
`})
	chromium := browser.Start(t)
	pages := map[string]*browser.Page{own: chromium.Open(t, own), foreign: chromium.Open(t, foreign)}

	json := map[string]string{"Content-Type": "application/json"}
	const (
		shelf      = "/v1/shelves/1"
		book       = shelf + "/books/2"
		statistics = service + "GetStatistics"
		seen       = `[200, "1", null, null]`
		keptBack   = `"kept back"`
	)
	for _, test := range []struct {
		name, from, method, path string
		headers                  map[string]string
		body, credentials, want  string
	}{
		{"a listed origin", own, "GET", shelf, nil, "", "omit", seen},
		{"another origin", foreign, "GET", shelf, nil, "", "omit", keptBack},
		{"a listed origin after a preflight", own, "PATCH", book, json, `{"inStock":true}`, "omit", seen},
		{"another origin's preflight", foreign, "PATCH", book, json, `{"inStock":true}`, "omit", keptBack},
		{"with cookies", own, "GET", shelf, nil, "", "include", seen},
		{"with cookies after a preflight", own, "PATCH", book, json, `{"inStock":true}`, "include", seen},
		{"a header that may be sent", own, "GET", shelf, map[string]string{"Authorization": "Bearer x", "X-Request-Id": "7"}, "", "omit", seen},
		{"a header that may not", own, "GET", shelf, map[string]string{"X-Color": "red"}, "", "omit", keptBack},
		{"a method without a route", own, "DELETE", book + "/cover", nil, "", "omit", keptBack},
		{"Semantics 26: an error can be read", own, "GET", "/v1/shelves/9", nil, "", "omit", `[404, "1", null, null]`},
		{"Semantics 20: a refusal by the gateway, too", own, "PATCH", book, json, `{`, "omit", `[400, "1", null, null]`},
		{"any origin", foreign, "POST", statistics, json, `{}`, "omit", `[200, null, null, null]`},
		{"any origin, but no cookies", foreign, "POST", statistics, json, `{}`, "include", keptBack},
		{"a method that takes the service's policy back", own, "GET", shelf + "/books/1/cover", nil, "", "omit", keptBack},
		{"Semantics 44: Connect", own, "POST", service + "GetShelf", map[string]string{"Content-Type": "application/json", "Connect-Protocol-Version": "1"},
			`{"name":"shelves/1"}`, "omit", seen},
	} {
		t.Run(test.name, func(t *testing.T) {
			check(t, browser.Eval[any](t, pages[test.from], reach, g.URL+test.path, test.method, test.headers, test.body, test.credentials), test.want)
		})
	}
	t.Run("what another origin was kept from was not done", func(t *testing.T) {
		g.Do(t, "PATCH", book, `{"inStock":false}`)
		check(t, browser.Eval[any](t, pages[foreign], reach, g.URL+book, "PATCH", json, `{"inStock":true}`, "omit"), keptBack)
		check(t, browser.Eval[any](t, pages[own], `async address => (await (await fetch(address)).json()).inStock`, g.URL+book), `false`)
	})
	t.Run("Semantics 27, 44: gRPC-Web, whose status is a header where nothing else comes", func(t *testing.T) {
		check(t, browser.Eval[any](t, pages[own], `async (address, message) => {
			const answer = await fetch(address, {
				method: 'POST', headers: { 'Content-Type': 'application/grpc-web+proto', 'X-Grpc-Web': '1' }, body: new Uint8Array([0, 0, 0, 0, message.length, ...message]),
			});
			return [(await answer.arrayBuffer()).byteLength, answer.headers.get('grpc-status')];
		}`, g.URL+service+"GetBook", encoded(t, &pb.GetBookRequest{Name: "shelves/1/books/9"})), `[0, "5"]`)
	})
	const watch = "/v1/shelves/1/books:watch?interval=0s&count=1"
	const source = `(address, withCredentials) => new Promise(resolve => {
		const source = new EventSource(address, { withCredentials });
		const over = how => { source.close(); resolve(how) };
		source.addEventListener('end', () => over('end'));
		source.onerror = () => over('given up');
	})`
	t.Run("Semantics 35: EventSource", func(t *testing.T) {
		check(t, browser.Eval[any](t, pages[own], source, g.URL+watch, true), `"end"`)
		check(t, browser.Eval[any](t, pages[own], source, g.URL+watch, false), `"end"`)
		check(t, browser.Eval[any](t, pages[foreign], source, g.URL+watch, false), `"given up"`)
	})
	t.Run("Semantics 38: WebSocket", func(t *testing.T) {
		talk := conversation{Path: "ws://" + g.Addr + discuss, Frames: []any{textHi}, After: 1, Then: closed}
		got := browser.Eval[conversed](t, pages[own], converse, talk)
		same(t, got, conversed{Answers: []any{answerHi}, Extensions: got.Extensions, Code: 1000, Clean: true})
		same(t, browser.Eval[conversed](t, pages[foreign], converse, talk), conversed{Code: 1006})
	})
}
