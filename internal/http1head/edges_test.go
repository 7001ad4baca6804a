package http1head

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestEndWithinHead: a client that ends within a head is answered wherever in net/http's
// buffer of 4,096 bytes the end lies (Semantics 312).
func TestEndWithinHead(t *testing.T) {
	const line = "GET /"
	for name, begun := range map[string]string{
		"in a short line":              "GET / HT",
		"a byte before the buffer":     line + strings.Repeat("a", 4094-len(line)),
		"with one byte of the buffer":  line + strings.Repeat("a", 4095-len(line)),
		"with the buffer full":         line + strings.Repeat("a", 4096-len(line)),
		"in a field, with one byte":    "GET / HTTP/1.1\r\nA: " + strings.Repeat("a", 4095-3),
		"in a second buffer, one byte": line + strings.Repeat("a", 2*4096-1-len(line)),
		"behind fields, with one byte": "GET / HTTP/1.1\r\nHost: x\r\nB: " + strings.Repeat("a", 4095-3),
	} {
		for before, answers := range map[string]int{"": 0, plainRequest: 1} {
			t.Run(name, func(t *testing.T) {
				c := serve(t, upgrading)
				go func() {
					_, _ = io.WriteString(c, before+begun)
					_ = c.(*net.TCPConn).CloseWrite()
				}()
				r := bufio.NewReader(c)
				for range answers {
					wantStatus(t, r, http.StatusOK)
				}
				refused, err := http.ReadResponse(r, nil)
				if err != nil || refused.StatusCode != http.StatusBadRequest || refused.ContentLength != 0 {
					t.Fatalf("%+v, %v; want 400 without net/http's text", refused, err)
				}
				if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
					t.Errorf("behind the refusal: %q, %v", rest, err)
				}
			})
		}
	}
}

// TestBytesDuringRefusedUpgrade: what comes while a request for another protocol is
// answered belongs to the next request where it is refused, empty lines as well
// (Semantics 312).
func TestBytesDuringRefusedUpgrade(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, test := range map[string]struct {
		during, rest string
		status       int
	}{
		"nothing":         {"", get, http.StatusOK},
		"a byte":          {"G", get[1:], http.StatusOK},
		"an empty line":   {"\r\n", get, http.StatusOK},
		"half of one":     {"\r", "\n" + get, http.StatusOK},
		"empty lines":     {"\r\n\r\n", get, http.StatusOK},
		"a bare LF":       {"\n", get, http.StatusBadRequest},
		"a CR alone":      {"\r", get, http.StatusBadRequest},
		"a whole request": {get, "", http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			running, finish := make(chan struct{}, 2), make(chan struct{})
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				running <- struct{}{}
				select {
				case <-finish:
				case <-r.Context().Done():
					t.Error("the client is taken for gone")
				}
				w.WriteHeader(http.StatusOK)
			})
			if _, err := io.WriteString(c, "GET /no"+upgradeRequest); err != nil {
				t.Fatal(err)
			}
			<-running
			if _, err := io.WriteString(c, test.during); err != nil {
				t.Fatal(err)
			}
			close(finish)
			r := bufio.NewReader(c)
			wantStatus(t, r, http.StatusOK)
			_, _ = io.WriteString(c, test.rest) // it may have been refused already
			wantStatus(t, r, test.status)
		})
	}
}
