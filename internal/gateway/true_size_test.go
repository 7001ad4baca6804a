package gateway_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// lineOf waits for the access log's line of a request.
func lineOf(t *testing.T, log *logLines, id string) (line map[string]any) {
	t.Helper()
	poll.Until(t, "the line of "+id, func() bool { line = log.of(id); return line != nil })
	return line
}

func checkSizes(t *testing.T, line map[string]any, in, out int) {
	t.Helper()
	if line["request_body_bytes"] != float64(in) || line["response_body_bytes"] != float64(out) {
		t.Errorf("logged %v and %v bytes, want %d and %d", line["request_body_bytes"], line["response_body_bytes"], in, out)
	}
}

// TestTrueSize: Semantics 321: the access log has the bytes of both bodies as they came
// and went, in every protocol, whatever became of the call.
func TestTrueSize(t *testing.T) {
	log := new(logLines)
	g := gatewaytest.Start(t, gatewaytest.Options{Log: log})
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte(`{"shelf":{"theme":"` + strings.Repeat("long ", 1000) + `"}}`)) // a buffer takes all
	_ = z.Close()
	const service = "/bookstore.v1.BookstoreService/"
	get := string(envelope([]byte("\n\tshelves/1")))
	for _, test := range []struct {
		name, method, path, body string
		headers                  []string
		http2                    bool
	}{
		{"REST", "POST", "/v1/shelves", `{"shelf":{"theme":"x"}}`, nil, false},
		{"REST over HTTP/2", "POST", "/v1/shelves", `{"shelf":{"theme":"x"}}`, nil, true},
		{"both compressed", "POST", "/v1/shelves", zipped.String(), []string{"Content-Encoding", "gzip", "Accept-Encoding", "gzip"}, false},
		{"HEAD", "HEAD", "/v1/shelves/1", "", nil, false},
		{"a body that nobody wants", "GET", "/v1/shelves/1", "nobody wants this", nil, false},
		{"NDJSON", "GET", "/v1/shelves/1/books:watch?limit=2", "", []string{"Accept", "application/x-ndjson"}, false},
		{"SSE", "GET", "/v1/shelves/1/books:watch?limit=2", "", []string{"Accept", "text/event-stream"}, true},
		{"an upload of elements", "POST", "/v1/shelves/1/books:import", `[{"title":"a"},{"title":"b"}]`, nil, false},
		{"gRPC", "POST", service + "GetShelf", get, []string{"Content-Type", "application/grpc", "TE", "trailers"}, true},
		{"gRPC-Web", "POST", service + "GetShelf", get, []string{"Content-Type", "application/grpc-web+proto"}, false},
		{"Connect", "POST", service + "GetShelf", `{"name":"shelves/1"}`, []string{"Connect-Protocol-Version", "1"}, false},
		{"a Connect stream", "POST", service + "WatchBooks", string(envelope([]byte(`{"parent":"shelves/1","limit":1}`))), []string{"Content-Type", "application/connect+json"}, true},
		{"a backend's error", "GET", "/v1/shelves/999", "", nil, false},
		{"no route", "GET", "/v1/nothing", "", nil, false},
		{"a method that is not allowed", "DELETE", "/v1/shelves", "", nil, true},
		{"a body that is wrong", "POST", "/v1/shelves", `{"none":1}`, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := g.Client
			if test.http2 {
				client = g.HTTP2
			}
			a := g.DoWith(t, client, test.method, test.path, test.body, test.headers...)
			checkSizes(t, lineOf(t, log, a.Header.Get("X-Request-Id")), len(test.body), len(a.Body))
		})
	}
}

// TestWebSocketLogged: the 101 has the X-Request-Id of the line in the log, which counts
// the bytes of the frames (Semantics 321).
func TestWebSocketLogged(t *testing.T) { overEach(t, testWebSocketLogged) }

func testWebSocketLogged(t *testing.T, over dialer) {
	log := new(logLines)
	g := gatewaytest.Start(t, gatewaytest.Options{Log: log})
	for name, id := range map[string]string{"the client's id": "the-client-says", "an id of the gateway": ""} {
		t.Run(name, func(t *testing.T) {
			options := over.options(&websocket.DialOptions{HTTPHeader: http.Header{}})
			if id != "" {
				options.HTTPHeader.Set("X-Request-Id", id)
			}
			conn, response, err := websocket.Dial(t.Context(), "ws://"+g.Addr+"/bookstore.v1.BookstoreService/GetShelf", options)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.CloseNow() }()
			said := response.Header.Get("X-Request-Id")
			if said == "" || id != "" && said != id {
				t.Fatalf("X-Request-Id is %q, want %q", said, id)
			}
			const message = `{"name":"shelves/1"}`
			if err := conn.Write(t.Context(), websocket.MessageText, []byte(message)); err != nil {
				t.Fatal(err)
			}
			_, answer, err := conn.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
				t.Fatal(err)
			}
			// Each way a frame of the message and one that closes; the client's are masked.
			line, in := lineOf(t, log, said), 6+len(message)
			if line["request_body_bytes"] != float64(in) { // over HTTP/2 the stream's end may overtake the last frame
				in += 6 + 2
			}
			checkSizes(t, line, in, 2+len(answer)+2+2)
		})
	}
}
