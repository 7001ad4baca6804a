package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

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
