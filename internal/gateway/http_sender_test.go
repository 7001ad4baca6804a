package gateway_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	gatewaytest "github.com/transom-gateway/transom/internal/testing/gateway"
)

// TestAnswerToSender: a client that goes on sending what nobody reads gets the answer and
// the end of the connection, and no reset in their place, though it has said that it wants
// no other answer (Traffic 148).
func TestAnswerToSender(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: `gone: { http: { servers: ["127.0.0.1:1"] } }`,
		Config: `routes:
  - { match: { path_prefix: /answered }, respond: { status: 403 } }
  - { match: { path_prefix: /gone }, upstream: gone }
`,
	})
	piece := strings.Repeat("x", 0x1000)
	for name, test := range map[string][3]string{
		"chunks, answered": {"/answered", "Transfer-Encoding: chunked\r\n", "1000\r\n" + piece + "\r\n"},
		"length, answered": {"/answered", "Content-Length: 1000000000\r\n", piece},
		"chunks, gone":     {"/gone", "Transfer-Encoding: chunked\r\n", "1000\r\n" + piece + "\r\n"},
		"length, no route": {"/none", "Content-Length: 1000000000\r\n", piece},
		"chunks, no route": {"/none", "Transfer-Encoding: chunked\r\n", "1000\r\n" + piece + "\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var clients sync.WaitGroup
			defer clients.Wait()
			for range 10 { // it would be a race
				c, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
				if err != nil {
					t.Fatal(err)
				}
				clients.Go(func() {
					_, _ = fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s\r\n", test[0], test[1])
					for {
						if _, err := io.WriteString(c, test[2]); err != nil {
							return
						}
					}
				})
				clients.Go(func() {
					defer func() { _ = c.Close() }()
					if got, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 ") {
						t.Errorf("the client gets %.80q, %v", got, err)
					}
				})
			}
		})
	}
}
