package gateway_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// unreadBody counts what was read of a body.
type unreadBody struct {
	io.Reader
	read  int
	ended bool
}

func (b *unreadBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.read += n
	b.ended = b.ended || err == io.EOF
	return n, err
}

func (b *unreadBody) Close() error { return nil }

// deadlineRecorder can do what readRest needs.
type deadlineRecorder struct {
	*httptest.ResponseRecorder
	set bool
}

func (r *deadlineRecorder) SetReadDeadline(time.Time) error {
	r.set = true
	return nil
}

// TestRefusedOverHTTP2WhileSending: a short body is read to its end though the
// call is refused, so that the stream need not be reset behind the answer; a long
// one, and one of no known length, is not waited for.
func TestRefusedOverHTTP2WhileSending(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Config: `auth: { jwt: [{ issuer: id, secret: "0123456789abcdef0123456789abcdef" }] }
policies:
  - { selector: bookstore.v1.BookstoreService.CreateShelf, policy: { auth: { jwt: {} } } }
  - { selector: bookstore.v1.BookstoreService.CreateBook, policy: { limits: { max_body_bytes: 10 } } }
`})
	short, long := `{"theme":"Maps"}`, strings.Repeat(" ", 65<<10)
	for _, test := range []struct {
		name, path, body string
		proto            int
		length           int64
		status           int
		read             bool
	}{
		{"refused by a policy", "/v1/shelves", short, 2, int64(len(short)), 401, true},
		{"refused by a limit", "/v1/shelves/1/books", short, 2, int64(len(short)), 413, true},
		{"no route", "/v1/nothing", short, 2, int64(len(short)), 404, true},
		{"another method", "/v1/shelves/1/books/1", short, 2, int64(len(short)), 405, true},
		{"long", "/v1/shelves", long, 2, int64(len(long)), 401, false},
		{"of no known length", "/v1/shelves", short, 2, -1, 401, false},
		{"HTTP/1.1, where net/http reads it", "/v1/shelves", short, 1, int64(len(short)), 401, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := &unreadBody{Reader: strings.NewReader(test.body)}
			r := httptest.NewRequest(http.MethodPost, test.path, body)
			r.ProtoMajor, r.ProtoMinor, r.ContentLength = test.proto, 0, test.length
			r.Header.Set("Content-Type", "application/json")
			w := &deadlineRecorder{ResponseRecorder: httptest.NewRecorder()}
			g.ServeHTTP(w, r)
			if w.Code != test.status || body.ended != test.read {
				t.Errorf("status %d, %d bytes read, to the end: %v; want %d, %v", w.Code, body.read, body.ended, test.status, test.read)
			}
			if test.read && !w.set {
				t.Error("the body was read without a deadline")
			}
		})
	}
}
