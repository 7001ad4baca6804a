package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/coder/websocket"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// TestPageOriginComesFirst: a WebSocket that is refused for its Origin uses up
// nothing of a limit, and is refused before anybody asks for a token.
func TestPageOriginComesFirst(t *testing.T) { overEach(t, testPageOriginComesFirst) }

func testPageOriginComesFirst(t *testing.T, over dialer) {
	log := new(logLines)
	g := gatewaytest.Start(t, gatewaytest.Options{Log: log, Config: `
auth: { jwt: [{ issuer: i, secret: "0123456789abcdef0123456789abcdef" }] }
policies:
  - { selector: bookstore.v1.BookstoreService.WatchBooks, policy: { rate_limit: [{ requests: 1, per: 3600s, burst: 1, key: CLIENT_IP }] } }
  - { selector: bookstore.v1.BookstoreService.Discuss, policy: { rate_limit: [{ requests: 1, per: 3600s, burst: 1, key: ROUTE }], cors: { allowed_origins: ["https://friend.example"] } } }
  - { selector: bookstore.v1.BookstoreService.ImportBooks, policy: { auth: { jwt: {} } } }
`})
	from := func(origin string) *websocket.DialOptions {
		return &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {origin}, "X-Request-Id": {"from-elsewhere"}}}
	}
	for _, test := range []struct{ name, path, origin string }{
		{"a limit by address", "/v1/shelves/1/books:watch", "http://" + g.Addr},
		{"a limit of the route, and cors", discussPath, "https://friend.example"},
	} {
		t.Run("Semantics 38: "+test.name, func(t *testing.T) {
			for range 3 {
				if code, body := over.refused(t, g, test.path, from("https://evil.example")); code != 403 || contains(body, `{"code": 7}`) != nil {
					t.Fatalf("%d %q", code, body)
				}
			}
			over.dial(t, g, test.path, from(test.origin))
			if code, _ := over.refused(t, g, test.path, from(test.origin)); code != 429 {
				t.Errorf("the second page that may is answered %d, want 429", code)
			}
		})
	}
	if code, _ := over.refused(t, g, "/v1/shelves/1/books:import", from("https://evil.example")); code != 403 {
		t.Errorf("without a token: %d, want 403", code)
	}
	var line map[string]any
	poll.Until(t, "the line of the access log", func() bool { line = log.of("from-elsewhere"); return line != nil })
	if line["refused_by"] != "cors" || line["status"] != 403.0 {
		t.Errorf("logged %v", line)
	}
}

// TestSchemeOfPageOrigin: a page that came in cleartext, which anybody on the way can
// have written, may not open a WebSocket by TLS, unless cors lists it (Semantics 38,
// Semantics 309).
func TestSchemeOfPageOrigin(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Config: `
policies:
  - { selector: bookstore.v1.BookstoreService.Discuss, policy: { cors: { allowed_origins: ["http://api.example"] } } }
`})
	for _, test := range []struct {
		url, origin string
		refused     bool
	}{
		{"https://api.example/v1/shelves/1/books:watch", "https://api.example", false},
		{"https://api.example/v1/shelves/1/books:watch", "http://api.example", true},
		{"https://api.example/v1/shelves/1/books:watch", "wss://api.example", true},
		{"http://api.example/v1/shelves/1/books:watch", "http://api.example", false},
		{"http://api.example/v1/shelves/1/books:watch", "https://api.example", false},
		{"https://api.example" + discussPath, "http://api.example", false},
	} {
		r := httptest.NewRequest("GET", test.url, nil) // of TLS where the URL is of https
		for name, value := range map[string]string{
			"Origin": test.origin, "Connection": "Upgrade", "Upgrade": "websocket",
			"Sec-Websocket-Version": "13", "Sec-Websocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
		} {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder() // which cannot be hijacked: what gets as far as that is not refused
		g.ServeHTTP(w, r)
		if w.Code == 403 != test.refused {
			t.Errorf("a page of %s that opens %s is answered %d", test.origin, test.url, w.Code)
		}
	}
}
