package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// rawPatience is how long a test waits for what should come at once.
const rawPatience = 20 * time.Second

func dialRaw(t *testing.T, address, request string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(rawPatience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestClientGoesAwayBehindAnUnwantedBody: over HTTP/1.1 the call ends with its client
// also where the rule has no body and the request does.
func TestClientGoesAwayBehindAnUnwantedBody(t *testing.T) {
	began, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	g := startStub(t, &stub{search: func(ctx context.Context, _ *pb.SearchBooksRequest) (*pb.SearchBooksResponse, error) {
		began <- struct{}{}
		<-ctx.Done()
		ended <- struct{}{}
		return nil, ctx.Err()
	}}, "")
	for name, line := range map[string]string{
		"a GET":        "GET /v1/books:search",
		"Connect's":    "GET /bookstore.v1.BookstoreService/SearchBooks?connect=v1&encoding=json&message={}",
		"a GET's HEAD": "HEAD /v1/books:search",
	} {
		for framing, body := range map[string]string{
			"of known length": "Content-Length: 5\r\n\r\nabcde", "chunked": "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", "none": "\r\n",
		} {
			t.Run(fmt.Sprintf("Semantics 311: %s with a body, %s", name, framing), func(t *testing.T) {
				c := dialRaw(t, g.Addr, line+" HTTP/1.1\r\nHost: x\r\n"+body)
				awaited(t, began, "the call to begin")
				_ = c.Close()
				awaited(t, ended, "the call to end with its client")
			})
		}
	}
}

func awaited(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(rawPatience):
		t.Fatal("waited in vain for " + what)
	}
}

// TestUnreadBodiesEnd: who sends a part of a body to what is answered without it gets
// the answer, and the connection is closed.
func TestUnreadBodiesEnd(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Config: `auth: { jwt: [{ issuer: id, secret: "0123456789abcdef0123456789abcdef" }] }
policies: [{ selector: bookstore.v1.BookstoreService.CreateShelf, policy: { auth: { jwt: {} } } }]
`})
	for _, test := range []struct{ name, line, want string }{
		{"404", "POST /none", "404"},
		{"another method", "DELETE /v1/books:search", "405"},
		{"OPTIONS", "OPTIONS /v1/books:search", "204"},
		{"OPTIONS *", "OPTIONS *", "204"},
		{"refused by a policy", "POST /v1/shelves", "401"},
		{"refused by a policy, Connect", "POST /bookstore.v1.BookstoreService/CreateShelf", "401"},
		{"a bad query", "GET /v1/books:search?none=1", "400"},
	} {
		for framing, body := range map[string]string{"Content-Length: 200000": "a", "Transfer-Encoding: chunked": "1\r\na\r\n"} {
			t.Run("Semantics 311: "+test.name+", "+framing, func(t *testing.T) {
				t.Parallel()
				c := dialRaw(t, g.Addr, test.line+" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+framing+"\r\n\r\n"+body)
				answer, err := io.ReadAll(c)
				if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 "+test.want) || !strings.Contains(string(answer), "\r\nConnection: close\r\n") {
					t.Errorf("%q, %v", answer, err)
				}
			})
		}
	}
}

// lateBody is a body whose client went silent.
type lateBody struct{}

func (lateBody) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }
func (lateBody) Close() error             { return nil }

// TestUnwantedBodyHasATime: a body that nobody wants is waited for no longer than one
// that somebody does.
func TestUnwantedBodyHasATime(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	for _, path := range []string{"/v1/books:search", "/v1/shelves/1/books:watch"} {
		r := httptest.NewRequest(http.MethodGet, path, lateBody{})
		r.ContentLength = 5
		w := &deadlineRecorder{ResponseRecorder: httptest.NewRecorder()}
		g.ServeHTTP(w, r)
		if w.Code != http.StatusGatewayTimeout || !w.set || !strings.Contains(w.Body.String(), "did not arrive in time") {
			t.Errorf("Semantics 311: %s: %d %s", path, w.Code, w.Body)
		}
	}
}

// TestWebSocketOverHTTP10 is refused in the form of every other refusal (Semantics 26).
func TestWebSocketOverHTTP10(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	c := dialRaw(t, g.Addr, "GET /v1/shelves/1/books:watch HTTP/1.0\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	answer, err := io.ReadAll(c)
	if err != nil || !strings.Contains(string(answer), " 426 ") || !strings.Contains(string(answer), `{"code":3,"message":"WebSockets are opened over HTTP/1.1`) {
		t.Errorf("%q, %v", answer, err)
	}
}
