package webhook

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/events"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// rawServer answers each request with what write writes.
func rawServer(t *testing.T, write func(w io.Writer)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				in := bufio.NewReader(conn)
				for {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					write(conn)
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// endless writes a text until nobody reads it.
func endless(w io.Writer, text string) {
	for {
		if _, err := io.WriteString(w, text); err != nil {
			return
		}
	}
}

// TestHostileAnswers: Events 155: whatever a server answers, a request ends, in the sink's time at the latest.
func TestHostileAnswers(t *testing.T) {
	for _, test := range []struct {
		name  string
		write func(w io.Writer)
		want  string // of the error; "" for none
	}{
		{"another protocol", func(w io.Writer) {
			_, _ = io.WriteString(w, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
		}, "found status 101, expected 2xx"},
		{"1xx for ever", func(w io.Writer) { endless(w, "HTTP/1.1 102 Processing\r\n\r\n") }, "response headers exceeded"},
		{"a header without end", func(w io.Writer) {
			_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\n")
			endless(w, "X-A: "+strings.Repeat("b", 1000)+"\r\n")
		}, "response headers exceeded"},
		{"a line without end", func(w io.Writer) { endless(w, strings.Repeat("HTTP/1.1", 1000)) }, ""},
		{"half a header", func(w io.Writer) { _, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nX: ") }, "no answer within 500ms"},
		{"no answer", func(io.Writer) {}, "no answer within 500ms"},
		{"no HTTP", func(w io.Writer) { _, _ = io.WriteString(w, "\x1b[31mred\a\r\n\r\n") }, `malformed HTTP response "\x1b[31mred\a"`},
		{"a status without end", func(w io.Writer) { _, _ = io.WriteString(w, "HTTP/1.1 "+strings.Repeat("\x1b", 60_000)+"\r\n\r\n") }, "malformed HTTP status code"},
		{"a location that is none", func(w io.Writer) {
			_, _ = io.WriteString(w, "HTTP/1.1 302 Found\r\nLocation: http://a:b"+strings.Repeat("%zz", 15_000)+"\r\nContent-Length: 0\r\n\r\n")
		}, "failed to parse Location"},
		{"a body that never comes", func(w io.Writer) { _, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n") }, "-"},
		{"a body without end", func(w io.Writer) {
			_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n")
			endless(w, strings.Repeat("x", 1<<16))
		}, "-"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			timeout := time.Minute // a loaded machine must not be taken for the server's silence
			switch test.name {
			case "half a header", "no answer":
				timeout = 500 * time.Millisecond
			case "a body that never comes":
				timeout = 10 * time.Second
			}
			s, _ := open(t, &transomv1.WebhookSink{Insecure: true, Timeout: durationpb.New(timeout)}, rawServer(t, test.write))
			errs := make([]error, 1)
			s.Send(t.Context(), []*events.Event{{ID: "1", Source: "/s", Type: "t", Data: []byte("{}")}}, errs)
			switch {
			case test.want == "-" && errs[0] != nil:
				t.Errorf("got %v, want none: the server has taken it", errs[0])
			case test.want != "-" && (errs[0] == nil || !strings.Contains(errs[0].Error(), test.want)):
				t.Errorf("got %v, want %q", errs[0], test.want)
			case errs[0] != nil && len(errs[0].Error()) > 500:
				t.Errorf("the error has %d bytes: the log, /readyz and the rejected event would have them", len(errs[0].Error()))
			}
		})
	}
}
