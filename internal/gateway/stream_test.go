package gateway_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
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
	"github.com/transom-gateway/transom/internal/gatewaytest"
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

func TestClientStreams(t *testing.T) {
	g := startStub(t, &stub{books: func(stream importStream) error {
		answer := &pb.ImportBooksResponse{}
		for {
			r, err := stream.Recv()
			if err == io.EOF {
				return stream.SendAndClose(answer)
			}
			if err != nil {
				return err
			}
			answer.Count++
			answer.Names = append(answer.Names, r.GetParent()+": "+r.GetBook().GetTitle())
		}
	}}, "defaults: { limits: { max_message_bytes: 1000 } }\n")
	const path = "/v1/shelves/7/books:import"
	two := `{"count": 2, "names": ["shelves/7: a", "shelves/7: b"]}`
	ndjson := []string{"Content-Type", "application/x-ndjson"}
	tooLarge := `{"title": "` + strings.Repeat("x", 2000) + `"}`
	play(t, g, []scenario{
		{name: "Semantics 36: NDJSON", method: "POST", path: path, body: "{\"title\": \"a\"}\n{\"title\": \"b\"}\n", headers: ndjson, status: 200, want: two},
		{name: "Semantics 36: no newline at the end", method: "POST", path: path, body: "\n{\"title\": \"a\"}\r\n\r\n{\"title\": \"b\"}", status: 200, want: two},
		{name: "Semantics 36: concatenated", method: "POST", path: path, body: `{"title": "a"}{"title": "b"}`, status: 200, want: two},
		{name: "Semantics 36: an array", method: "POST", path: path, body: ` [ {"title": "a"} , {"title": "b"} ] `, status: 200, want: two},
		{name: "Semantics 36: an empty array", method: "POST", path: path, body: `[]`, status: 200, want: `{"count": 0}`},
		{name: "Semantics 36: an empty body", method: "POST", path: path, status: 200, want: `{"count": 0}`},
		{name: "gzip", method: "POST", path: path, body: gzipped(t, `{"title": "a"} {"title": "b"}`), headers: []string{"Content-Encoding", "gzip"}, status: 200, want: two},
		{name: "zstd", method: "POST", path: path, body: zstded(t, `[{"title": "a"}, {"title": "b"}]`), headers: []string{"Content-Encoding", "zstd"}, status: 200, want: two},
		{name: "not gzip", method: "POST", path: path, body: `{"title": "a"}`, headers: []string{"Content-Encoding", "gzip"}, status: 400, want: `{"code": 3}`},
		{name: "an unknown encoding", method: "POST", path: path, body: `{}`, headers: []string{"Content-Encoding", "compress"}, status: 415, want: `{"code": 3}`},
		{name: "a wrong type", method: "POST", path: path, body: `{}`, headers: []string{"Content-Type", "text/plain"}, status: 415, want: `{"code": 3}`},
		{name: "Semantics 36: an error names the element", method: "POST", path: path, body: `{"title": "a"}{"title": 5}`, status: 400, want: `{"code": 3, "message": "~element 1: "}`},
		{name: "Semantics 36: in an array", method: "POST", path: path, body: `[{}, {}, {"nope": 1}]`, status: 400, want: `{"code": 3, "message": "~element 2: "}`},
		{name: "the body ends inside a value", method: "POST", path: path, body: `{} {"title":`, status: 400, want: `{"code": 3, "message": "~element 1: "}`},
		{name: "the body ends inside the array", method: "POST", path: path, body: `[{}`, status: 400, want: `{"code": 3, "message": "~element 1: "}`},
		{name: "a comma at the end", method: "POST", path: path, body: `[{},]`, status: 400, want: `{"code": 3, "message": "~element 1: "}`},
		{name: "something after the array", method: "POST", path: path, body: `[{}] {}`, status: 400, want: `{"code": 3, "message": "~element 1: "}`},
		{name: "no value", method: "POST", path: path, body: `{},{}`, status: 400, want: `{"code": 3, "message": "~element 1: "}`},
		{name: "a message too large", method: "POST", path: path, body: `{}` + tooLarge, status: 413, want: `{"code": 8, "message": "~element 1: "}`},
		{name: "Semantics 21: too large when inflated", method: "POST", path: path, body: gzipped(t, tooLarge), headers: []string{"Content-Encoding", "gzip"}, status: 413, want: `{"code": 8}`},
		{name: "Semantics 14: a query parameter that the path binds", method: "POST", path: path + "?parent=x", body: `{}`, status: 400, want: `{"code": 3}`},
	})
	t.Run("a connection serves one stream after the other", func(t *testing.T) {
		for range 3 {
			if a := g.Do(t, "POST", path, `{"title": "a"}{"title": "b"}`); a.Status != 200 || a.Header.Get("Connection") == "close" {
				t.Fatalf("%d %v %s", a.Status, a.Header, a.Body)
			}
		}
	})
}

func TestUploads(t *testing.T) {
	g := startStub(t, &stub{upload: func(stream uploadStream) error {
		answer := &pb.WriteContentResponse{}
		for {
			r, err := stream.Recv()
			if err == io.EOF {
				return stream.SendAndClose(answer)
			}
			if err != nil {
				return err
			}
			if r.GetName() != "shelves/1/books/2" {
				return status.Errorf(codes.Internal, "chunk %d is for %q", answer.Chunks, r.GetName())
			}
			answer.Chunks++
			answer.Size += int64(len(r.GetContent().GetData()))
			if t := r.GetContent().GetContentType(); t != "" {
				answer.ContentType = t
			}
		}
	}}, "")
	const path = "/v1/shelves/1/books/2:content"
	for _, size := range []int{0, 1, 32 << 10, 300_000} {
		a := g.Do(t, "POST", path, strings.Repeat("x", size), "Content-Type", "text/markdown")
		if a.Status != 200 || contains(a.Body, fmt.Sprintf(`{"size": "%d", "contentType": "text/markdown"}`, size)) != nil {
			t.Errorf("Semantics 24: %d bytes: %d %s", size, a.Status, a.Body)
		}
	}
	form := "--b\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\nx\r\n--b--\r\n"
	a := g.Do(t, "POST", path, form, "Content-Type", "multipart/form-data; boundary=b")
	if contains(a.Body, fmt.Sprintf(`{"size": "%d", "contentType": "multipart/form-data; boundary=b"}`, len(form))) != nil {
		t.Errorf("Semantics 24: a form is taken as it is: %d %s", a.Status, a.Body)
	}
}

// TestDuplex talks in turns: neither side can go on before the other has.
func TestDuplex(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	for version, client := range map[string]*http.Client{"HTTP/1.1": g.Client, "HTTP/2": g.HTTP2} {
		t.Run("Semantics 37: "+version, func(t *testing.T) {
			body, say := io.Pipe()
			go func() { _, _ = io.WriteString(say, `{"text": "0"}`) }()
			response := open(t, client, "POST", g.URL+"/v1/discuss:stream", body, "Content-Type", "application/x-ndjson")
			r := bufio.NewReader(response.Body)
			for i := range 3 {
				if line := readLine(t, r); contains(line, fmt.Sprintf(`{"text": "You said: %d"}`, i)) != nil {
					t.Fatalf("%q", line)
				}
				if _, err := fmt.Fprintf(say, "{\"text\": \"%d\"}\n", i+1); err != nil {
					t.Fatal(err)
				}
			}
			_ = say.Close()
			readLine(t, r)
			if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
				t.Errorf("the end: %q %v", rest, err)
			}
		})
	}
}

// TestEarlyEnd has backends that end a call whose client would go on sending.
func TestEarlyEnd(t *testing.T) {
	g := startStub(t, &stub{
		discuss: func(stream discussStream) error {
			if r, err := stream.Recv(); err != nil || r.GetText() == "fail at once" {
				return status.Error(codes.FailedPrecondition, "no more of this")
			}
			if err := stream.Send(&pb.DiscussResponse{Text: "bye"}); err != nil {
				return err
			}
			return nil
		},
		books: func(stream importStream) error { return stream.SendAndClose(&pb.ImportBooksResponse{Count: 42}) },
	}, "")
	for version, client := range map[string]*http.Client{"HTTP/1.1": g.Client, "HTTP/2": g.HTTP2} {
		for _, test := range []struct {
			name, path, first string
			status            int
			want              string
		}{
			{"an error at once", "/v1/discuss:stream", `{"text": "fail at once"}`, 400, `{"code": 9, "message": "no more of this"}`},
			{"OK after a message", "/v1/discuss:stream", `{"text": "x"}`, 200, `{"text": "bye"}`},
			{"the answer of a client stream", "/v1/shelves/1/books:import", ``, 200, `{"count": 42}`},
		} {
			t.Run("Semantics 54: "+test.name+", "+version, func(t *testing.T) {
				body, say := io.Pipe()
				defer func() { _ = say.Close() }()
				go func() { _, _ = io.WriteString(say, test.first) }()
				response := open(t, client, "POST", g.URL+test.path, body, "Content-Type", "application/x-ndjson")
				text, err := io.ReadAll(response.Body)
				if err != nil || response.StatusCode != test.status || contains(string(text), test.want) != nil {
					t.Fatalf("%d %q %v", response.StatusCode, text, err)
				}
				if version == "HTTP/1.1" && !response.Close {
					t.Error("the connection stays open: what the client goes on sending would be the next request")
				}
			})
		}
	}
}

// TestNextRequest has clients that send on when their answer is complete: over
// HTTP/1.1 that must never be taken for another request.
func TestNextRequest(t *testing.T) {
	g := startStub(t, &stub{discuss: func(stream discussStream) error {
		if _, err := stream.Recv(); err != nil {
			return err
		}
		return stream.Send(&pb.DiscussResponse{Text: "bye"})
	}}, "")
	const smuggled = "GET /v1/shelves HTTP/1.1\r\nHost: x\r\n\r\n"
	for contentType, message := range map[string]string{
		"application/json":           "{}",
		"application/connect+json":   "\x00\x00\x00\x00\x02{}",
		"application/grpc-web+proto": "\x00\x00\x00\x00\x00",
	} {
		t.Run(contentType, func(t *testing.T) {
			conn, err := net.Dial("tcp", g.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if _, err := fmt.Fprintf(conn, "POST /bookstore.v1.BookstoreService/Discuss HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n",
				contentType, len(message), message); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(conn)
			response, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(response.Body); err != nil || !strings.Contains(string(body), "bye") || !response.Close {
				t.Errorf("%q %v, close %t", body, err, response.Close)
			}
			_, _ = io.WriteString(conn, smuggled) // it fails where the server has closed already
			if another, err := http.ReadResponse(r, nil); err == nil {
				t.Errorf("the rest of the request was answered with %s", another.Status)
			}
		})
	}
}
