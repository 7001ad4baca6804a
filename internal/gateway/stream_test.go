package gateway_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
)

const watchPath = "/v1/shelves/1/books:watch"

// sequences are a stream of JSON messages, as the numbers in them.
func sequences(t testing.TB, lines []string) string {
	t.Helper()
	var numbers []string
	for _, line := range lines {
		var m struct{ Sequence string }
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		numbers = append(numbers, m.Sequence)
	}
	return strings.Join(numbers, " ")
}

// event is one of an SSE stream.
type event struct{ id, kind, data string }

// events parses a whole SSE stream, as HTML says.
func events(text string) (all []event) {
	for _, block := range strings.Split(text, "\n\n") {
		var e event
		for line := range strings.SplitSeq(block, "\n") {
			switch name, value, _ := strings.Cut(line, ": "); name {
			case "id":
				e.id = value
			case "event":
				e.kind = value
			case "data":
				e.data += value
			}
		}
		if e != (event{}) {
			all = append(all, e)
		}
	}
	return all
}

// watchOf is a stub whose WatchBooks sends n messages and ends with a code.
func watchOf(n int, code codes.Code) *stub {
	return &stub{watch: func(_ *pb.WatchBooksRequest, stream watchStream) error {
		if err := send(stream, n); err != nil {
			return err
		}
		if code == codes.OK {
			return nil
		}
		return status.Error(code, "it ends here")
	}}
}

func TestServerStreamFormats(t *testing.T) {
	three, none := startStub(t, watchOf(3, codes.OK), ""), startStub(t, watchOf(0, codes.OK), "")
	for _, test := range []struct{ accept, want string }{
		{"", "application/x-ndjson"},
		{"*/*", "application/x-ndjson"},
		{"text/html", "application/x-ndjson"},
		{"application/x-ndjson", "application/x-ndjson"},
		{"application/json", "application/json"},
		{"text/event-stream", "text/event-stream"},
		{"application/json;q=0.5, text/event-stream", "text/event-stream"},
		{"text/event-stream;q=0, application/json;q=0.1", "application/json"},
	} {
		t.Run("Semantics 33: "+test.accept, func(t *testing.T) {
			a := three.Do(t, "GET", watchPath, "", "Accept", test.accept)
			if a.Status != 200 || a.Header.Get("Content-Type") != test.want {
				t.Fatalf("%d %q, want %q", a.Status, a.Header.Get("Content-Type"), test.want)
			}
			if !strings.Contains(a.Header.Get("Vary"), "Accept") {
				t.Errorf("Vary: %q", a.Header.Get("Vary"))
			}
			switch test.want {
			case "application/x-ndjson":
				if got := sequences(t, jsonLines(t, a.Body)); got != "1 2 3" {
					t.Errorf("messages %q", got)
				}
			case "application/json":
				var list []json.RawMessage
				if err := json.Unmarshal([]byte(a.Body), &list); err != nil || len(list) != 3 {
					t.Errorf("%v: %q", err, a.Body)
				}
			}
		})
	}
	t.Run("Semantics 33: [] when empty", func(t *testing.T) {
		if a := none.Do(t, "GET", watchPath, "", "Accept", "application/json"); a.Body != "[]" || a.Status != 200 {
			t.Errorf("%d %q", a.Status, a.Body)
		}
	})
	t.Run("Semantics 33: NDJSON when empty", func(t *testing.T) {
		if a := none.Do(t, "GET", watchPath, ""); a.Body != "" || a.Status != 200 || a.Header.Get("Content-Type") != "application/x-ndjson" {
			t.Errorf("%d %q", a.Status, a.Body)
		}
	})
	t.Run("Semantics 11: HEAD has the header and no body", func(t *testing.T) {
		a := three.Do(t, "HEAD", watchPath, "", "Accept", "text/event-stream")
		if a.Status != 200 || a.Header.Get("Content-Type") != "text/event-stream" || a.Body != "" {
			t.Errorf("%d %q %q", a.Status, a.Header.Get("Content-Type"), a.Body)
		}
	})
	t.Run("Semantics 10: without a rule", func(t *testing.T) {
		a := three.Do(t, "POST", "/bookstore.v1.BookstoreService/WatchBooks", `{"parent": "shelves/1"}`)
		if got := sequences(t, jsonLines(t, a.Body)); a.Status != 200 || got != "1 2 3" {
			t.Errorf("%d %q", a.Status, a.Body)
		}
	})
}

func TestSSE(t *testing.T) {
	var calls int
	var lastID []string
	s := watchOf(2, codes.OK)
	inner := s.watch
	s.watch = func(r *pb.WatchBooksRequest, stream watchStream) error {
		calls++
		md, _ := metadata.FromIncomingContext(stream.Context())
		lastID = md["last-event-id"]
		return inner(r, stream)
	}
	g := startStub(t, s, "")
	a := g.Do(t, "GET", watchPath, "", "Accept", "text/event-stream")
	t.Run("Semantics 35: ids and the end", func(t *testing.T) {
		all := events(a.Body)
		if len(all) != 3 {
			t.Fatalf("%d events: %q", len(all), a.Body)
		}
		for i, e := range all[:2] {
			if e.id != fmt.Sprint(i+1) || e.kind != "" || sequences(t, []string{e.data}) != fmt.Sprint(i+1) {
				t.Errorf("event %d: %+v", i, e)
			}
		}
		if all[2].kind != "end" || all[2].id == "" {
			t.Errorf("the last event: %+v", all[2])
		}
	})
	t.Run("Semantics 35: headers", func(t *testing.T) {
		if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("X-Accel-Buffering") != "no" {
			t.Errorf("%v", a.Header)
		}
	})
	t.Run("Semantics 35: 204 to who comes back after the end", func(t *testing.T) {
		before := calls
		all := events(a.Body)
		again := g.Do(t, "GET", watchPath, "", "Accept", "text/event-stream", "Last-Event-ID", all[len(all)-1].id)
		if again.Status != http.StatusNoContent || again.Body != "" || calls != before {
			t.Errorf("%d %q, %d calls more", again.Status, again.Body, calls-before)
		}
	})
	t.Run("Semantics 35: another Last-Event-ID reaches the backend", func(t *testing.T) {
		if again := g.Do(t, "GET", watchPath, "", "Accept", "text/event-stream", "Last-Event-ID", "2"); again.Status != 200 {
			t.Errorf("%d", again.Status)
		}
		if len(lastID) != 1 || lastID[0] != "2" {
			t.Errorf("last-event-id: %q", lastID)
		}
	})
}

func TestServerStreamErrors(t *testing.T) {
	before, after := startStub(t, watchOf(0, codes.NotFound), ""), startStub(t, watchOf(2, codes.Aborted), "")
	for _, accept := range []string{"text/event-stream", "application/x-ndjson", "application/json"} {
		t.Run("Semantics 34: before the first message, "+accept, func(t *testing.T) {
			a := before.Do(t, "GET", watchPath, "", "Accept", accept)
			if a.Status != 404 || a.Header.Get("Content-Type") != "application/json" || contains(a.Body, `{"code": 5, "message": "it ends here", "details": []}`) != nil {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	t.Run("Semantics 34: SSE", func(t *testing.T) {
		all := events(after.Do(t, "GET", watchPath, "", "Accept", "text/event-stream").Body)
		if len(all) != 3 || all[2].kind != "error" || contains(all[2].data, `{"code": 10, "message": "it ends here"}`) != nil {
			t.Errorf("%+v", all)
		}
	})
	t.Run("Semantics 34: NDJSON", func(t *testing.T) {
		lines := jsonLines(t, after.Do(t, "GET", watchPath, "").Body)
		if len(lines) != 3 || contains(lines[2], `{"error": {"code": 10, "message": "it ends here"}}`) != nil {
			t.Errorf("%q", lines)
		}
	})
	for name, client := range map[string]*http.Client{"HTTP/1.1": after.Client, "HTTP/2": after.HTTP2} {
		t.Run("Semantics 34: an array is broken off, "+name, func(t *testing.T) {
			response := open(t, client, "GET", after.URL+watchPath, nil, "Accept", "application/json")
			body, err := io.ReadAll(response.Body)
			if err == nil {
				t.Errorf("the client takes %q for the whole", body)
			}
			if strings.Count(string(body), `"sequence"`) != 2 {
				t.Errorf("what came before the error is %q", body)
			}
		})
	}
}

func TestDownloads(t *testing.T) {
	part := strings.Repeat("x", 10_000)
	fails := false
	g := startStub(t, &stub{content: func(r *pb.ReadContentRequest, stream contentStream) error {
		if r.GetName() == "shelves/1/books/empty" {
			return nil
		}
		for i := range 3 {
			b := &httpbody.HttpBody{Data: []byte(part)}
			if i == 0 && r.GetName() != "shelves/1/books/untyped" {
				b.ContentType = "text/plain"
			}
			if err := stream.Send(b); err != nil {
				return err
			}
		}
		if fails {
			return status.Error(codes.DataLoss, "the rest is gone")
		}
		return nil
	}}, "")
	for _, test := range []struct{ book, contentType, body string }{
		{"1", "text/plain", strings.Repeat(part, 3)},
		{"untyped", "application/octet-stream", strings.Repeat(part, 3)},
		{"empty", "application/octet-stream", ""},
	} {
		a := g.Do(t, "GET", "/v1/shelves/1/books/"+test.book+":content", "", "Accept", "application/json")
		if a.Status != 200 || a.Header.Get("Content-Type") != test.contentType || a.Body != test.body {
			t.Errorf("Semantics 24: %s: %d %q, %d bytes", test.book, a.Status, a.Header.Get("Content-Type"), len(a.Body))
		}
	}
	fails = true
	for name, client := range map[string]*http.Client{"HTTP/1.1": g.Client, "HTTP/2": g.HTTP2} {
		response := open(t, client, "GET", g.URL+"/v1/shelves/1/books/1:content", nil)
		if body, err := io.ReadAll(response.Body); err == nil {
			t.Errorf("Semantics 34: %s: the client takes %d bytes for the whole", name, len(body))
		}
	}
}

// TestFlush has a backend that sends a message only when the client has the one
// before: nothing may stay in a buffer.
func TestFlush(t *testing.T) {
	next := make(chan struct{})
	g := startStub(t, &stub{watch: func(_ *pb.WatchBooksRequest, stream watchStream) error {
		for i := range 3 {
			if err := send(stream, i+1); err != nil {
				return err
			}
			select {
			case <-next:
			case <-stream.Context().Done():
				return stream.Context().Err()
			}
		}
		return nil
	}}, "")
	for _, coding := range []struct {
		name string
		open func(io.Reader) (io.Reader, error)
	}{
		{"identity", func(r io.Reader) (io.Reader, error) { return r, nil }},
		{"gzip", func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		{"zstd", func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r, zstd.WithDecoderConcurrency(1)) }},
		{"br", func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil }},
	} {
		for version, client := range map[string]*http.Client{"HTTP/1.1": g.Client, "HTTP/2": g.HTTP2} {
			t.Run(coding.name+" "+version, func(t *testing.T) {
				response := open(t, client, "GET", g.URL+watchPath, nil, "Accept-Encoding", coding.name)
				plain, err := coding.open(response.Body)
				if err != nil {
					t.Fatal(err)
				}
				r := bufio.NewReader(plain)
				for i := range 3 {
					for j := range i + 1 {
						if got := sequences(t, []string{readLine(t, r)}); got != fmt.Sprint(j+1) {
							t.Fatalf("message %s, want %d", got, j+1)
						}
					}
					next <- struct{}{}
				}
				if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
					t.Errorf("the end: %q, %v", rest, err)
				}
			})
		}
	}
}
