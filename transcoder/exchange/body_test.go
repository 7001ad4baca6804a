package exchange

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/answer"
)

// TestDuplexBody checks what happens to a body that is not read to its end.
func TestDuplexBody(t *testing.T) {
	for name, test := range map[string]struct {
		duplex, http2, done bool
		want                string
	}{
		"the rest would be the next request": {duplex: true, want: "close"},
		"read to its end":                    {duplex: true, done: true},
		"net/http sees to it":                {},
		"HTTP/2":                             {http2: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/", strings.NewReader("body"))
			if test.http2 {
				r.ProtoMajor = 2
			}
			w := answer.NewWriter()
			d := NewBody(&Exchange{W: FrontOf(w), R: r})
			d.duplex = test.duplex
			if test.done {
				if _, err := io.ReadAll(d); err != nil {
					t.Fatal(err)
				}
			}
			h := w.Header()
			if d.CloseAfter(); h.Get("Connection") != test.want {
				t.Errorf("Connection: %q, want %q", h.Get("Connection"), test.want)
			}
		})
	}
	t.Run("Unblock leaves a body alone that nobody reads", func(t *testing.T) {
		w := answer.NewWriter()
		d := NewBody(&Exchange{W: FrontOf(w), R: httptest.NewRequest("POST", "/", strings.NewReader("body"))})
		d.Unblock()
		if _, err := d.Read(make([]byte, 1)); w.ReadDone || status.Code(err) != codes.Canceled {
			t.Errorf("deadline %t, %v", w.ReadDone, err)
		}
	})
}
