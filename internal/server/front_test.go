package server

import (
	"bufio"
	"io"
	"log"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/transom-gateway/transom/internal/testing/pipes"
)

// TestOperatorsFrontEndsConnections: nobody holds a connection of the admin listener for
// good, neither by saying nothing nor by a body that does not come.
func TestOperatorsFrontEndsConnections(t *testing.T) {
	for name, request := range map[string]string{
		"half a header":           "GET / HTTP/1.1\r\nHost: loc",
		"no second request":       "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"a body that stays away":  "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n",
		"half a body":             "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab",
		"a chunk that stays away": "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := pipes.Listen()
				handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
				front := newOperatorsFront(handler, log.New(io.Discard, "", 0))
				served := make(chan error)
				go func() { served <- front.Serve(l) }()
				conn := l.Dial()
				go func() { _, _ = io.WriteString(conn, request) }()
				answer, err := io.ReadAll(bufio.NewReader(conn)) // to its end, or for ever
				if err != nil {
					t.Error(err)
				}
				if whole := strings.HasSuffix(request, "\r\n"); whole && !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
					t.Errorf("the answer is %q", answer)
				}
				_ = conn.Close() // the other end is closed
				_ = l.Close()    // never fails
				if err := front.Close(); err != nil {
					t.Error(err)
				}
				if err := <-served; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
