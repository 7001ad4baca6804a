package gateway_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// TestClientAddress: X-Forwarded-For is believed from its end, as far as trusted
// proxies wrote it, and no farther; what goes on to the backend begins at the
// client (Semantics 31, Traffic 141, Traffic 201).
func TestClientAddress(t *testing.T) {
	keeper := &doorBackend{told: map[string][]metadata.MD{}}
	g := gatewaytest.Start(t, gatewaytest.Options{
		Backend: grpctest.ServeAny(t, keeper.serve), NoBookstore: true, Protos: map[string]string{"door/v1/door.proto": doorProto()},
		Config: `metadata: { request_headers: [x-case] }
trusted_proxies: ["10.0.0.0/8", "fe80::/10", "2001:db8:1::/48"]
policies:
  - selector: door.v1.Open.Ask
    policy: { headers: { request: { set: { x-client: "${client_ip}" } } } }
`,
	})
	for i, test := range []struct {
		name, peer string
		forwarded  []string // lines of X-Forwarded-For
		client     string
		told       string // x-forwarded-for to the backend
	}{
		{"nobody is believed", "192.0.2.1:99", []string{"198.51.100.7"}, "192.0.2.1", "192.0.2.1"},
		{"a proxy is", "10.0.0.1:99", []string{"198.51.100.7"}, "198.51.100.7", "198.51.100.7, 10.0.0.1"},
		{"a proxy that says nothing", "10.0.0.1:99", nil, "10.0.0.1", "10.0.0.1"},
		{"what the client wrote is not", "10.0.0.1:99", []string{"1.1.1.1, 198.51.100.7"}, "198.51.100.7", "198.51.100.7, 10.0.0.1"},
		{"nor in a line of its own", "10.0.0.1:99", []string{"1.1.1.1", "198.51.100.7"}, "198.51.100.7", "198.51.100.7, 10.0.0.1"},
		{"two proxies", "10.0.0.1:99", []string{"1.1.1.1, 198.51.100.7, 10.9.9.9"}, "198.51.100.7", "198.51.100.7, 10.9.9.9, 10.0.0.1"},
		{"a client that says it is a proxy", "10.0.0.1:99", []string{"10.6.6.6, 198.51.100.7"}, "198.51.100.7", "198.51.100.7, 10.0.0.1"},
		{"proxies alone", "10.0.0.1:99", []string{"10.3.3.3"}, "10.3.3.3", "10.3.3.3, 10.0.0.1"},
		{"words", "10.0.0.1:99", []string{"198.51.100.7, unknown"}, "10.0.0.1", "10.0.0.1"},
		{"words before an address", "10.0.0.1:99", []string{"unknown, 198.51.100.7"}, "198.51.100.7", "198.51.100.7, 10.0.0.1"},
		{"an address with a port", "10.0.0.1:99", []string{"198.51.100.7:4711"}, "198.51.100.7", "198.51.100.7, 10.0.0.1"},
		{"IPv6 with a port", "10.0.0.1:99", []string{"[2001:db8:2::7]:4711"}, "2001:db8:2::7", "2001:db8:2::7, 10.0.0.1"},
		{"IPv6 in brackets", "10.0.0.1:99", []string{"[2001:db8:2::7]"}, "2001:db8:2::7", "2001:db8:2::7, 10.0.0.1"},
		{"IPv4 written as IPv6", "[::ffff:10.0.0.1]:99", []string{"::ffff:198.51.100.7"}, "198.51.100.7", "198.51.100.7, 10.0.0.1"},
		{"a proxy of the link", "[fe80::1%eth0]:99", []string{"198.51.100.7"}, "198.51.100.7", "198.51.100.7, fe80::1"},
		{"a zone is no other client", "10.0.0.1:99", []string{"2001:db8:2::7%a b"}, "2001:db8:2::7", "2001:db8:2::7, 10.0.0.1"},
		{"a zone makes no stranger of a proxy", "10.0.0.1:99", []string{"198.51.100.7, 2001:db8:1::7%x"}, "198.51.100.7", "198.51.100.7, 2001:db8:1::7, 10.0.0.1"},
		{"white space and gaps", "10.0.0.1:99", []string{" 198.51.100.7 ,"}, "10.0.0.1", "10.0.0.1"},
		{"quotes, as Forwarded has them", "10.0.0.1:99", []string{`"[2001:db8:2::7]:4711"`}, "10.0.0.1", "10.0.0.1"},
		{"a client that writes control characters", "10.0.0.1:99", []string{"\x01evil, 198.51.100.7"}, "198.51.100.7", "198.51.100.7, 10.0.0.1"},
		{"five thousand hops", "10.0.0.1:99", []string{strings.Repeat("10.1.1.1,", 5000) + "198.51.100.7"}, "198.51.100.7", "198.51.100.7, 10.0.0.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			name := "forwarded " + strconv.Itoa(i)
			r := httptest.NewRequest("POST", "http://gateway.example/Open/ask", strings.NewReader(`{"text":"hello"}`))
			r.RemoteAddr = test.peer
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("X-Case", name)
			for _, line := range test.forwarded {
				r.Header.Add("X-Forwarded-For", line)
			}
			w := httptest.NewRecorder()
			g.ServeHTTP(w, r)
			told := keeper.of(name)
			if w.Code != 200 || len(told) != 1 {
				t.Fatalf("%d %s, %d calls", w.Code, w.Body, len(told))
			}
			if got := strings.Join(told[0].Get("x-client"), " and "); got != test.client {
				t.Errorf("the client is %q, want %q", got, test.client)
			}
			if got := strings.Join(told[0].Get("x-forwarded-for"), " and "); got != test.told {
				t.Errorf("the backend is told %q, want %q", got, test.told)
			}
		})
	}
}

// startForwarded starts a gateway that believes 10.0.0.0/8 and unix sockets.
func startForwarded(t *testing.T, listen string) (*doorBackend, *gatewaytest.Gateway) {
	t.Helper()
	keeper := &doorBackend{told: map[string][]metadata.MD{}}
	return keeper, gatewaytest.Start(t, gatewaytest.Options{
		Listen:  listen,
		Backend: grpctest.ServeAny(t, keeper.serve), NoBookstore: true, Protos: map[string]string{"door/v1/door.proto": doorProto()},
		Config: `metadata: { request_headers: [x-case, x-forwarded-port] }
trusted_proxies: ["10.0.0.0/8", unix]
auth: { session: {} }
defaults: { headers: { security: { hsts: {} } } }
policies:
  - { selector: door.v1.Gate.Ask, policy: { login: { subject: text, session: {} } } }
  - { selector: door.v1.Session.Ask, policy: { auth: { session: {} } } }
  - { selector: door.v1.Rate.Ask, policy: { rate_limit: [{ requests: 1, per: 3600s, key: CLIENT_IP }] } }
`,
	})
}

// forwardedCase is a request by way of a peer that may be a trusted proxy.
type forwardedCase struct {
	name, peer, host, origin string
	headers                  []string
	told                     string // host, scheme and port
	refused                  bool   // the origin is another site
}

var forwardedCases = []forwardedCase{
	{"as the browser sent it", "10.0.0.1:9", "api.example", "https://api.example", []string{"X-Forwarded-Proto", "https"}, "api.example https 443", false},
	{"the scheme's own port", "10.0.0.1:9", "api.example:443", "https://api.example", []string{"X-Forwarded-Proto", "https"}, "api.example:443 https 443", false},
	{"rewritten", "10.0.0.1:9", "gateway:7310", "https://api.example", []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "api.example"}, "api.example https 443", false},
	{"rewritten, with the port", "10.0.0.1:9", "gateway:7310", "https://api.example", []string{"X-Forwarded-Proto", "HTTPS", "X-Forwarded-Host", "api.example:443"}, "api.example:443 https 443", false},
	{"a port of its own", "10.0.0.1:9", "gateway:7310", "https://api.example:8443", []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "api.example", "X-Forwarded-Port", "8443"}, "api.example:8443 https 8443", false},
	{"the port alone", "10.0.0.1:9", "api.example:7310", "https://api.example", []string{"X-Forwarded-Proto", "https", "X-Forwarded-Port", "443"}, "api.example https 443", false},
	{"a WebSocket's scheme", "10.0.0.1:9", "api.example", "https://api.example", []string{"X-Forwarded-Proto", "wss"}, "api.example https 443", false},
	{"an IPv6 host", "10.0.0.1:9", "gateway", "https://[2001:db8::1]:8443", []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "[2001:db8::1]", "X-Forwarded-Port", "8443"}, "[2001:db8::1]:8443 https 8443", false},
	{"two proxies, each adds", "10.0.0.1:9", "gateway", "https://api.example", []string{"X-Forwarded-For", "198.51.100.7, 10.0.0.2", "X-Forwarded-Proto", "https, http", "X-Forwarded-Host", "api.example, inner"}, "api.example https 443", false},
	{"the client adds, too", "10.0.0.1:9", "gateway", "https://evil.example", []string{"X-Forwarded-For", "198.51.100.7", "X-Forwarded-Host", "evil.example, api.example"}, "api.example http 80", true},
	{"nobody trusts the peer", "192.0.2.1:9", "gateway:7310", "https://api.example", []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "api.example", "X-Forwarded-Port", "443"}, "gateway:7310 http 7310", true},
	{"a host that is none", "10.0.0.1:9", "api.example", "http://api.example", []string{"X-Forwarded-Host", "evil.example/x", "X-Forwarded-Proto", "gopher", "X-Forwarded-Port", "99999"}, "api.example http 80", false},
	{"Forwarded is not asked", "10.0.0.1:9", "gateway", "https://api.example", []string{"Forwarded", `host="api.example";proto=https`}, "gateway http 80", true},
	{"a page in cleartext, and a request by TLS", "10.0.0.1:9", "api.example", "http://api.example", []string{"X-Forwarded-Proto", "https"}, "api.example https 443", true},
	{"a page by TLS, and a proxy that does not say so", "10.0.0.1:9", "api.example", "https://api.example", nil, "api.example http 80", false},
	{"a page by TLS, and a proxy nobody trusts", "192.0.2.1:9", "api.example", "https://api.example", nil, "api.example http 80", false},
	{"a page of no web server", "10.0.0.1:9", "api.example", "chrome-extension://api.example", nil, "api.example http 80", true},
	{"another site", "10.0.0.1:9", "gateway", "https://evil.example", []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "api.example"}, "api.example https 443", true},
}

// ask sends the case's request, with more headers.
func (c *forwardedCase) ask(g *gatewaytest.Gateway, method, path string, more ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://"+c.host+path, strings.NewReader(`{"text":"hello"}`))
	r.RemoteAddr = c.peer
	r.Header.Set("X-Case", c.name)
	for _, headers := range [][]string{more, c.headers} {
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w
}

// TestForwardedHost: behind a trusted proxy its word on host, scheme and port
// decides wherever the gateway asks for them, and nobody else's does.
func TestForwardedHost(t *testing.T) {
	keeper, g := startForwarded(t, "")
	session := doorSession(t, g)
	for _, c := range forwardedCases {
		t.Run("Semantics 309: "+c.name, func(t *testing.T) {
			w := c.ask(g, "POST", "/Open/ask")
			told := keeper.of(c.name)
			if w.Code != 200 || len(told) != 1 {
				t.Fatalf("%d %s, %d calls", w.Code, w.Body, len(told))
			}
			var got []string
			for _, name := range []string{"x-forwarded-host", "x-forwarded-proto", "x-forwarded-port"} {
				got = append(got, told[0].Get(name)...)
			}
			if strings.Join(got, " ") != c.told {
				t.Errorf("the backend is told %q, want %q", got, c.told)
			}
			if secure := w.Header().Get("Strict-Transport-Security") != ""; secure != strings.Contains(c.told, "https") {
				t.Errorf("HSTS is %v", secure)
			}
			if code := c.ask(g, "POST", "/Session/ask", "Cookie", session, "Origin", c.origin).Code; code == 403 != c.refused {
				t.Errorf("a session's POST is answered %d", code)
			}
			// A recorder cannot be hijacked: what gets as far as that is not refused.
			if code := c.ask(g, "GET", "/Open/talk", "Origin", c.origin, "Connection", "Upgrade", "Upgrade", "websocket",
				"Sec-Websocket-Version", "13", "Sec-Websocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==").Code; code == 403 != c.refused {
				t.Errorf("a WebSocket is answered %d", code)
			}
		})
	}
}

// TestUnixPeer: whoever comes by a unix socket is believed where the configuration
// says unix, and then its clients are told apart (Traffic 193, Semantics 309).
func TestUnixPeer(t *testing.T) {
	name := filepath.Join(t.TempDir(), "s")
	keeper, _ := startForwarded(t, "unix:"+name)
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", name)
	}}}
	defer client.CloseIdleConnections()
	want := []int{200, 200, 200, 429}
	for i, address := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.1"} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://gateway.example/Rate/ask", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Content-Type": {"application/json"}, "X-Forwarded-For": {"1.1.1.1, " + address}, "X-Forwarded-Proto": {"https"}, "X-Case": {address}}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		told := keeper.of(address)
		if response.StatusCode != want[i] || len(told) != 1 {
			t.Fatalf("%s is answered %d, want %d; %d calls", address, response.StatusCode, want[i], len(told))
		}
		if got := told[0].Get("x-forwarded-for"); len(got) != 1 || got[0] != address {
			t.Errorf("the backend is told %q, want %q", got, address)
		}
		if got := told[0].Get("x-forwarded-proto"); len(got) != 1 || got[0] != "https" {
			t.Errorf("the backend is told %q, want https", got)
		}
	}
}
