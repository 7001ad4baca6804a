package gateway_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// TestURLsAsTargets: a request for a whole URL is one for its path and of its host,
// whatever Host says; no path is "/", and for OPTIONS the gateway as a whole
// (Semantics 312).
func TestURLsAsTargets(t *testing.T) {
	keeper := &doorBackend{told: map[string][]metadata.MD{}}
	g := gatewaytest.Start(t, gatewaytest.Options{
		Backend: grpctest.ServeAny(t, keeper.serve), NoBookstore: true, Protos: map[string]string{"q.proto": `syntax = "proto3";
package q.v1;
import "google/api/annotations.proto";
message Word { string text = 1; }
service Root {
  rpc Get(Word) returns (Word) { option (google.api.http) = { get: "/" }; }
  rpc Put(Word) returns (Word) { option (google.api.http) = { put: "/a" body: "*" }; }
}
`}, Config: "metadata: { request_headers: [x-case] }",
	})
	for _, test := range []struct {
		line         string
		status       int
		answer, host string // the body, or Allow; and what the backend is told
	}{
		{"GET /?text=a", 200, `{"text":"a"}`, "other.example"},
		{"GET http://h.example/?text=a", 200, `{"text":"a"}`, "h.example"},
		{"GET http://h.example?text=a", 200, `{"text":"a"}`, "h.example"},
		{"GET HTTPS://h.example:8443?text=/b?c@d", 200, `{"text":"/b?c@d"}`, "h.example:8443"},
		{"GET http://h.example", 200, `{"text":""}`, "h.example"},
		{"GET http://h.example?", 200, `{"text":""}`, "h.example"},
		{"HEAD http://h.example", 200, "", "h.example"},
		{"PUT http://h.example", 405, "GET, HEAD, OPTIONS", ""},
		{"PUT http://h.example/a", 200, `{"text":""}`, "h.example"},
		{"GET http://h.example//", 404, "", ""},
		{"OPTIONS http://h.example/", 204, "GET, HEAD, OPTIONS", ""},
		{"OPTIONS http://h.example?", 204, "GET, HEAD, OPTIONS", ""},
		{"OPTIONS http://h.example?a=b", 204, "GET, HEAD, OPTIONS", ""},
		{"OPTIONS http://h.example", 204, "", ""},
		{"OPTIONS *", 204, "", ""},
		{"CONNECT h.example:80", 404, "", ""},
	} {
		t.Run(test.line, func(t *testing.T) {
			conn, err := net.Dial("tcp", g.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			method, _, _ := strings.Cut(test.line, " ")
			host := test.host
			if host == "" {
				host = "h.example"
			}
			if _, err := io.WriteString(conn, test.line+" HTTP/1.1\r\nHost: "+host+"\r\nX-Case: "+test.line+"\r\nContent-Length: 0\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			if answer.StatusCode != test.status {
				t.Fatalf("%s %s", answer.Status, body)
			}
			if test.status != http.StatusOK {
				if allow := answer.Header.Get("Allow"); allow != test.answer {
					t.Errorf("Allow: %s", allow)
				}
				return
			}
			told := keeper.of(test.line)
			if string(body) != test.answer || len(told) != 1 || strings.Join(told[0].Get("x-forwarded-host"), " ") != test.host {
				t.Errorf("%s; the backend is told %v", body, told)
			}
		})
	}
}
