package envelope_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// TestUnfinishedRequests has clients over HTTP/1.1 whose body is not at its end
// when the call is over. What they send of it afterwards must never be taken for
// another request: it may be anybody's.
func TestUnfinishedRequests(t *testing.T) {
	e := newEdge(t)
	const inner = "POST " + testService + "UnaryCall HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
	for _, contentType := range []string{"application/grpc-web", "application/grpc-web-text", "application/connect+json", "application/connect+proto"} {
		for _, method := range []string{"FullDuplexCall", "StreamingInputCall", "StreamingOutputCall"} {
			t.Run("Semantics 32 and 52: "+contentType+" "+method, func(t *testing.T) {
				conn, err := net.Dial("tcp", e.address)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = conn.Close() }()
				if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
					t.Fatal(err)
				}
				if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nRequest-Timeout: 0.02\r\nContent-Length: %d\r\n\r\nA",
					testService+method, contentType, 1+len(inner)); err != nil {
					t.Fatal(err)
				}
				var answer strings.Builder
				one := make([]byte, 1)
				for !strings.Contains(answer.String(), "\r\n\r\n") {
					if _, err := io.ReadFull(conn, one); err != nil {
						t.Fatal(err)
					}
					answer.Write(one)
				}
				_, _ = io.WriteString(conn, inner) // it fails where the server has closed already
				rest, err := io.ReadAll(conn)
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("the connection stays open")
				}
				if strings.Contains(string(rest), "HTTP/1.1 ") {
					t.Errorf("the rest of the body was answered: %s", rest)
				}
			})
		}
	}
}
