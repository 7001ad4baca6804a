package http1head

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestEmptyLinesAreLeftOut: a few empty lines before a request line mean nothing,
// wherever and however they come; net/http never sees them (Semantics 312).
func TestEmptyLinesAreLeftOut(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	lines := strings.Repeat("\r\n", maxEmptyLines)
	for name, text := range map[string]string{
		"first":            lines + get + get + get,
		"between":          get + lines + get + lines + get,
		"behind a POST":    plainRequest + lines + plainRequest + "\r\n" + plainRequest,
		"behind the last":  get + get + get + lines,
		"before an ending": lines + get + get + "\r\n" + strings.Replace(get, "Host", "Connection: close\r\nHost", 1),
	} {
		for piece, how := range map[int]string{1 << 20: "at once", 1: "byte by byte", 3: "in pieces of 3"} {
			t.Run(name+", "+how, func(t *testing.T) {
				c := serve(t, upgrading)
				go func() {
					for rest := text; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
						if _, err := io.WriteString(c, rest[:min(piece, len(rest))]); err != nil {
							return // it has been closed
						}
					}
				}()
				r := bufio.NewReader(c)
				for range 3 {
					wantStatus(t, r, http.StatusOK)
				}
			})
		}
	}
}

// TestEmptyLinesDuringCall: those that come while a request is answered, when net/http
// reads one byte to see whether the client is there, are left out, too, and too many
// are refused when the answer has left (Semantics 312).
func TestEmptyLinesDuringCall(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, test := range map[string]struct {
		lines, rest string
		status      int
	}{
		"a few":             {"\r\n\r\n", get, http.StatusOK},
		"the half of one":   {"\r\n\r", "\n" + get, http.StatusOK},
		"too many":          {strings.Repeat("\r\n", maxEmptyLines+1), get, http.StatusBadRequest},
		"a thousand":        {strings.Repeat("\r\n", 1000), get, http.StatusBadRequest},
		"a CR without a LF": {"\r\n\r\r", get, http.StatusBadRequest},
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
			if _, err := io.WriteString(c, get); err != nil {
				t.Fatal(err)
			}
			<-running
			if _, err := io.WriteString(c, test.lines); err != nil {
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
