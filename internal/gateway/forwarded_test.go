package gateway_test

import (
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/internal/gatewaytest"
)

// TestClientAddress: X-Forwarded-For is believed from its end, as far as trusted
// proxies wrote it, and no farther (Semantics 31).
func TestClientAddress(t *testing.T) {
	keeper := &doorBackend{told: map[string][]metadata.MD{}}
	g := gatewaytest.Start(t, gatewaytest.Options{
		Backend: serveUnknown(t, keeper.serve), NoBookstore: true, Protos: map[string]string{"door/v1/door.proto": doorProto()},
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
		{"what the client wrote is not", "10.0.0.1:99", []string{"1.1.1.1, 198.51.100.7"}, "198.51.100.7", "1.1.1.1, 198.51.100.7, 10.0.0.1"},
		{"nor in a line of its own", "10.0.0.1:99", []string{"1.1.1.1", "198.51.100.7"}, "198.51.100.7", "1.1.1.1, 198.51.100.7, 10.0.0.1"},
		{"two proxies", "10.0.0.1:99", []string{"1.1.1.1, 198.51.100.7, 10.9.9.9"}, "198.51.100.7", "1.1.1.1, 198.51.100.7, 10.9.9.9, 10.0.0.1"},
		{"a client that says it is a proxy", "10.0.0.1:99", []string{"10.6.6.6, 198.51.100.7"}, "198.51.100.7", "10.6.6.6, 198.51.100.7, 10.0.0.1"},
		{"proxies alone", "10.0.0.1:99", []string{"10.3.3.3"}, "10.3.3.3", "10.3.3.3, 10.0.0.1"},
		{"words", "10.0.0.1:99", []string{"198.51.100.7, unknown"}, "10.0.0.1", "198.51.100.7, unknown, 10.0.0.1"},
		{"words before an address", "10.0.0.1:99", []string{"unknown, 198.51.100.7"}, "198.51.100.7", "unknown, 198.51.100.7, 10.0.0.1"},
		{"an address with a port", "10.0.0.1:99", []string{"198.51.100.7:4711"}, "198.51.100.7", "198.51.100.7:4711, 10.0.0.1"},
		{"IPv6 with a port", "10.0.0.1:99", []string{"[2001:db8:2::7]:4711"}, "2001:db8:2::7", "[2001:db8:2::7]:4711, 10.0.0.1"},
		{"IPv6 in brackets", "10.0.0.1:99", []string{"[2001:db8:2::7]"}, "2001:db8:2::7", "[2001:db8:2::7], 10.0.0.1"},
		{"IPv4 written as IPv6", "[::ffff:10.0.0.1]:99", []string{"::ffff:198.51.100.7"}, "198.51.100.7", "::ffff:198.51.100.7, 10.0.0.1"},
		{"a proxy of the link", "[fe80::1%eth0]:99", []string{"198.51.100.7"}, "198.51.100.7", "198.51.100.7, fe80::1"},
		{"a zone is no other client", "10.0.0.1:99", []string{"2001:db8:2::7%a b"}, "2001:db8:2::7", "2001:db8:2::7%a b, 10.0.0.1"},
		{"a zone makes no stranger of a proxy", "10.0.0.1:99", []string{"198.51.100.7, 2001:db8:1::7%x"}, "198.51.100.7", "198.51.100.7, 2001:db8:1::7%x, 10.0.0.1"},
		{"white space and gaps", "10.0.0.1:99", []string{" 198.51.100.7 ,"}, "10.0.0.1", "198.51.100.7 ,, 10.0.0.1"},
		{"five thousand hops", "10.0.0.1:99", []string{strings.Repeat("10.1.1.1,", 5000) + "198.51.100.7"}, "198.51.100.7", ""},
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
			if got := strings.Join(told[0].Get("x-forwarded-for"), " and "); test.told != "" && got != test.told {
				t.Errorf("the backend is told %q, want %q", got, test.told)
			}
		})
	}
}
