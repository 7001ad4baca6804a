package http1head

import (
	"bufio"
	"io"
	"net/http"
	"testing"
)

// TestBrokenBodyIsTheHandlersToAnswer: reading it fails while the request goes on, so that
// its handler says what was wrong; what follows on the connection is not read, and no
// second answer is given (Semantics 52).
func TestBrokenBodyIsTheHandlersToAnswer(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, body := range map[string]string{
		"no size":             "zz\r\n{}\r\n0\r\n\r\n",
		"a size of 2 and NUL": "2\x00\r\n{}\r\n0\r\n\r\n",
		"in an extension":     "2;a\x00\r\n{}\r\n0\r\n\r\n",
		"behind the data":     "2\r\n{}x\r\n0\r\n\r\n",
		"LF behind the data":  "2\r\n{}\n0\r\n\r\n",
		"the second size":     "2\r\n{}\r\n-1\r\n",
		"in a trailer":        "2\r\n{}\r\n0\r\nA : b\r\n\r\n",
	} {
		for _, bytewise := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", byte by byte"}[bytewise], func(t *testing.T) {
				c := serve(t, func(w http.ResponseWriter, r *http.Request) {
					read, err := io.ReadAll(r.Body)
					if err == nil || len(read) > 2 || r.Context().Err() != nil {
						t.Errorf("the handler read %q: %v; its context: %v", read, err, r.Context().Err())
					}
					w.WriteHeader(http.StatusBadRequest)
				})
				go func() {
					text := head + body + plainRequest
					for bytewise && len(text) > 0 {
						if _, err := io.WriteString(c, text[:1]); err != nil {
							return // it has been closed
						}
						text = text[1:]
					}
					_, _ = io.WriteString(c, text) // as above
				}()
				r := bufio.NewReader(c)
				wantStatus(t, r, http.StatusBadRequest)
				if rest, _ := io.ReadAll(r); len(rest) > 0 { // it may be reset
					t.Errorf("behind the answer: %q", rest)
				}
			})
		}
	}
}
