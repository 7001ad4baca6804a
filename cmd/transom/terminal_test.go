package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/gateway"
)

// TestTerminal has answers that come in pieces, fail or break off.
func TestTerminal(t *testing.T) {
	const events = "id: 1\ndata: {\"a\":1}\n\n: ping\n\nid: 2\ndata: {\"error\":{}}\n\n"
	for name, c := range map[string]struct {
		contentType, body string
		status            int
		abort             bool
		out, err          string
	}{
		"one message":                 {"application/json", "{}", 200, false, "{}\n", ""},
		"an error":                    {"application/json", `{"code":5}`, 404, false, "", `{"code":5}`},
		"an error without a body":     {"", "", 500, false, "", " "},
		"nothing":                     {"application/json", "", 200, false, "", ""},
		"messages":                    {contentTypeEvents, events + "id: end\nevent: end\ndata: {}\n\n", 200, false, "{\"a\":1}\n{\"error\":{}}\n", ""},
		"an error after messages":     {contentTypeEvents, events + "event: error\ndata: {\"code\":7}\n\n", 200, false, "{\"a\":1}\n{\"error\":{}}\n", `{"code":7}`},
		"a download":                  {"text/plain", "data: x\n\nevent: error\n", 200, false, "data: x\n\nevent: error\n", ""},
		"a download that breaks off":  {"text/plain", "half", 200, true, "half\n", "broke off"},
		"an event that does not end":  {contentTypeEvents, "data: {", 200, true, "", "broke off"},
		"no answer and the call ends": {"", "", 200, true, "", "broke off"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, piece := range []int{1, 7, 1000} {
				var out strings.Builder
				a := &terminal{out: &out, header: http.Header{}}
				a.serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", c.contentType)
					w.WriteHeader(c.status)
					for rest := c.body; rest != ""; {
						n := min(piece, len(rest))
						if _, err := io.WriteString(w, rest[:n]); err != nil {
							t.Error(err)
						}
						rest = rest[n:]
					}
					if c.abort {
						panic(http.ErrAbortHandler)
					}
				}), httptest.NewRequest("POST", "/", nil))
				err := a.finish()
				if out.String() != c.out || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error()+" ", c.err) {
					t.Errorf("in pieces of %d: %q %v, want %q %q", piece, out.String(), err, c.out, c.err)
				}
			}
		})
	}
}

// A service does not hear in which form the command line wants an answer.
func TestCallAsksForEventsOfStreamsAlone(t *testing.T) {
	for stream, want := range map[string]string{
		"unary": "", "client_streaming": "", "server_streaming": contentTypeEvents, "bidi_streaming": contentTypeEvents,
	} {
		request, err := new(caller).request(t.Context(), gateway.Listed{RPC: "a.B/C", Stream: stream}, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if got := request.Header.Get("Accept"); got != want {
			t.Errorf("%s: asks for %q, want %q", stream, got, want)
		}
	}
}
