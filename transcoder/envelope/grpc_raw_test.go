package envelope_test

import (
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"testing"

	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"
)

// request is a SimpleRequest that makes the backend answer with text.
func request(t testing.TB, text string) []byte {
	t.Helper()
	b, err := proto.Marshal(&testpb.SimpleRequest{FillUsername: true, Payload: &testpb.Payload{Body: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// answer is a gRPC or gRPC-Web answer in its parts.
type answer struct {
	httpStatus int
	messages   []string
	status     string // grpc-status, wherever it stands
	message    string
	trailer    string // gRPC-Web's, as it was written
	header     http.Header
}

// readAnswer parses an answer by the letter of the protocol.
func readAnswer(t testing.TB, r *http.Response, text bool) answer {
	t.Helper()
	a := answer{httpStatus: r.StatusCode, header: r.Header}
	body := readAll(t, r)
	if text {
		body = decodeSegments(t, body)
	}
	for len(body) >= 5 {
		size := int(binary.BigEndian.Uint32([]byte(body[1:5])))
		if len(body) < 5+size {
			t.Fatalf("an envelope says %d bytes, %d are there", size, len(body)-5)
		}
		message := body[5 : 5+size]
		switch body[0] {
		case 0:
			a.messages = append(a.messages, message)
		case 1:
			a.messages = append(a.messages, gunzipped(t, message))
		case 0x80:
			a.trailer = message
		default:
			t.Fatalf("flags 0x%02x", body[0])
		}
		body = body[5+size:]
	}
	if body != "" {
		t.Fatalf("%d bytes too many", len(body))
	}
	a.status = first(r.Trailer.Get("Grpc-Status"), r.Header.Get("Grpc-Status"), line(a.trailer, "grpc-status:"))
	a.message = first(r.Trailer.Get("Grpc-Message"), r.Header.Get("Grpc-Message"), line(a.trailer, "grpc-message:"))
	return a
}

func first(s ...string) string {
	for _, s := range s {
		if s != "" {
			return s
		}
	}
	return ""
}

func line(lines, prefix string) string {
	for l := range strings.SplitSeq(lines, "\r\n") {
		if rest, ok := strings.CutPrefix(l, prefix); ok {
			return rest
		}
	}
	return ""
}

// decodeSegments decodes padded base64 part by part.
func decodeSegments(t testing.TB, s string) string {
	t.Helper()
	var out strings.Builder
	for len(s) > 0 {
		if len(s) < 4 {
			t.Fatalf("base64 ends with %q", s)
		}
		b, err := base64.StdEncoding.DecodeString(s[:4])
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
		s = s[4:]
	}
	return out.String()
}

// hostile are bodies that no decent client sends, and what is right to answer.
func hostile(t testing.TB) []struct {
	name, body string
	headers    []string
	status     string
} {
	ok := envelope(0, request(t, "x"))
	bomb := gzipped(t, make([]byte, 8*testMaxMessage))
	gzip := []string{"Grpc-Encoding", "gzip"}
	return []struct {
		name, body string
		headers    []string
		status     string
	}{
		{"a message", ok, nil, "0"},
		{"an empty message", envelope(0, nil), nil, "0"},
		{"Semantics 43: no message", "", nil, "12"},
		{"Semantics 43: two messages", ok + ok, nil, "12"},
		{"one message and a bit", ok + "\x00", nil, "12"},
		{"a truncated prefix", ok[:3], nil, "13"},
		{"a truncated message", ok[:len(ok)-1], nil, "13"},
		{"4 GiB announced", "\x00\xff\xff\xff\xff", nil, "8"},
		{"4 GiB announced, compressed", "\x01\xff\xff\xff\xff", gzip, "8"},
		{"the limit announced, nothing sent", "\x00\x00\x10\x00\x00", nil, "13"},
		{"Semantics 43: compressed without encoding", envelope(1, request(t, "x")), nil, "13"},
		{"compressed with identity", envelope(1, request(t, "x")), []string{"Grpc-Encoding", "identity"}, "13"},
		{"Semantics 43: unknown encoding", ok, []string{"Grpc-Encoding", "lzma"}, "12"},
		{"unknown flags", "\x02" + ok[1:], nil, "13"},
		{"gRPC-Web's trailer in a request", envelope(0x80, []byte("grpc-status:0\r\n")), nil, "13"},
		{"compressed", envelope(1, gzipped(t, request(t, "x"))), gzip, "0"},
		{"two members of gzip", envelope(1, append(gzipped(t, request(t, "x")), gzipped(t, nil)...)), gzip, "0"},
		{"not compressed in a compressed stream", ok, gzip, "0"},
		{"nothing, compressed", envelope(1, nil), gzip, "0"},
		{"no gzip", envelope(1, []byte("abcdef")), gzip, "13"},
		{"truncated gzip", envelope(1, gzipped(t, request(t, "x"))[:20]), gzip, "13"},
		{"gzip and rubbish", envelope(1, append(gzipped(t, request(t, "x")), "rubbish"...)), gzip, "13"},
		{"truncated envelope with whole gzip", "\x01\x00\x00\x01\x00" + string(gzipped(t, request(t, "x"))), gzip, "13"},
		{"Semantics 21: a bomb", envelope(1, bomb), gzip, "8"},
		{"bad deadline", ok, []string{"Grpc-Timeout", "soon"}, "3"},
		{"Semantics 31: bad binary metadata", ok, []string{"Echo-Bin", "***"}, "3"},
	}
}

func TestGRPCHostile(t *testing.T) {
	e := newEdge(t)
	client := httpClient(t, true)
	for _, test := range hostile(t) {
		t.Run(test.name, func(t *testing.T) {
			before := e.backend.calls.Load()
			a := readAnswer(t, send(t, client, e.url+testService+"UnaryCall", "application/grpc", test.body, test.headers...), false)
			if a.httpStatus != 200 || a.status != test.status {
				t.Errorf("got %d, grpc-status %q %q; want 200, %q", a.httpStatus, a.status, a.message, test.status)
			}
			if called := e.backend.calls.Load() > before; called != (test.status == "0") {
				t.Errorf("the backend was called: %v", called)
			}
			if strings.Contains(test.name, "unknown encoding") && a.header.Get("Grpc-Accept-Encoding") == "" {
				t.Error("no grpc-accept-encoding")
			}
		})
	}
}

func TestGRPCWebHostile(t *testing.T) {
	e := newEdge(t)
	tests := hostile(t)
	for _, http2 := range []bool{false, true} {
		client := httpClient(t, http2)
		for _, contentType := range []string{"application/grpc-web", "application/grpc-web+proto", "application/grpc-web-text", "application/grpc-web-text+proto"} {
			text := strings.Contains(contentType, "text")
			for _, test := range tests {
				t.Run(contentType+"/"+test.name, func(t *testing.T) {
					body := test.body
					if text {
						body = base64.StdEncoding.EncodeToString([]byte(body))
					}
					r := send(t, client, e.url+testService+"UnaryCall", contentType, body, test.headers...)
					if got := r.Header.Get("Content-Type"); got != contentType {
						t.Errorf("Content-Type %q", got)
					}
					if a := readAnswer(t, r, text); a.httpStatus != 200 || a.status != test.status {
						t.Errorf("got %d, grpc-status %q %q; want 200, %q", a.httpStatus, a.status, a.message, test.status)
					}
				})
			}
		}
	}
}

func TestGRPCContentTypes(t *testing.T) {
	e := newEdge(t)
	http1, http2 := httpClient(t, false), httpClient(t, true)
	ok := envelope(0, request(t, "x"))
	for _, test := range []struct {
		name        string
		client      *http.Client
		contentType string
		status      int
	}{
		{"gRPC", http2, "application/grpc", 200},
		{"gRPC+proto", http2, "application/grpc+proto", 200},
		{"parameters", http2, "application/grpc; charset=utf-8", 200},
		{"gRPC with thrift", http2, "application/grpc+thrift", 415},
		{"gRPC over HTTP/1.1", http1, "application/grpc", 505},
		{"gRPC-Web", http1, "application/grpc-web", 200},
		{"gRPC-Web with thrift", http1, "application/grpc-web-text+thrift", 415},
		{"Connect stream on a unary method", http1, "application/connect+proto", 415},
		{"Connect with another format", http1, "application/connect+xml", 415},
		{"XML", http1, "text/xml", 415},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := send(t, test.client, e.url+testService+"UnaryCall", test.contentType, ok)
			_ = readAll(t, r)
			if r.StatusCode != test.status {
				t.Errorf("got %d, want %d", r.StatusCode, test.status)
			}
			if test.status == 200 && strings.HasPrefix(test.contentType, "application/grpc") && !strings.HasPrefix(test.contentType, r.Header.Get("Content-Type")) {
				t.Errorf("Content-Type %q", r.Header.Get("Content-Type"))
			}
		})
	}
}

// Messages may be JSON in gRPC's envelopes, too ("+json" in PROTOCOL-HTTP2.md).
func TestGRPCWithJSON(t *testing.T) {
	e := newEdge(t)
	http1, http2 := httpClient(t, false), httpClient(t, true)
	gzip := []string{"Grpc-Encoding", "gzip"}
	const good = `{"payload":{"body":"eA=="},"fillUsername":true}`
	long := `{"payload":{"body":"` + strings.Repeat("eHh4", 1000) + `"},"fillUsername":true}`
	for _, test := range []struct {
		name, body string
		headers    []string
		answer     string // the beginning of the one message
		status     string
		says       string
	}{
		{"a message", envelope(0, []byte(good)), nil, `{"payload":{},"username":"x"}`, "0", ""},
		{"gzip", envelope(1, gzipped(t, []byte(long))), gzip, `{"payload":{},"username":"xxx`, "0", ""},
		{"an unknown field", envelope(0, []byte(`{"color":1}`)), nil, "", "3", "color"},
		{"no JSON", envelope(0, []byte(`{`)), nil, "", "3", "message 0"},
		{"a message in wire format", envelope(0, request(t, "x")), nil, "", "3", "message 0"},
		{"no message", "", nil, "", "12", ""},
	} {
		for contentType, client := range map[string]*http.Client{
			"application/grpc+json": http2, "application/grpc-web+json": http1, "application/grpc-web-text+json": http1,
		} {
			t.Run(test.name+" "+contentType, func(t *testing.T) {
				text, body := strings.Contains(contentType, "text"), test.body
				if text {
					body = base64.StdEncoding.EncodeToString([]byte(body))
				}
				r := send(t, client, e.url+testService+"UnaryCall", contentType, body, test.headers...)
				a := readAnswer(t, r, text)
				if a.httpStatus != 200 || a.status != test.status || !strings.Contains(a.message, test.says) {
					t.Errorf("got %d, grpc-status %q %q", a.httpStatus, a.status, a.message)
				}
				if r.Header.Get("Content-Type") != contentType {
					t.Errorf("Content-Type %q", r.Header.Get("Content-Type"))
				}
				if len(a.messages) > 0 != (test.answer != "") || len(a.messages) > 0 && !strings.HasPrefix(a.messages[0], test.answer) {
					t.Errorf("got %.100q, want %q", a.messages, test.answer)
				}
			})
		}
	}
}

// The form of gRPC-Web answers, byte for byte where the protocol says so.
func TestGRPCWebForm(t *testing.T) {
	e := newEdge(t)
	client := httpClient(t, false)
	t.Run("Semantics 44: a trailer envelope with lower-case names", func(t *testing.T) {
		r := send(t, client, e.url+testService+"UnaryCall", "application/grpc-web", envelope(0, request(t, "x")), "Trail-A", "b c", "Trail-B-Bin", "AP8=")
		a := readAnswer(t, r, false)
		for _, want := range []string{"grpc-status:0\r\n", "trail-a:b c\r\n", "trail-b-bin:AP8\r\n"} {
			if !strings.Contains(a.trailer, want) {
				t.Errorf("%q is not in %q", want, a.trailer)
			}
		}
	})
	t.Run("Semantics 44: each envelope is padded base64 of its own", func(t *testing.T) {
		wire, err := proto.Marshal(&testpb.StreamingOutputCallRequest{ResponseParameters: sizes(0, 0, 7)})
		if err != nil {
			t.Fatal(err)
		}
		// The request comes in two parts, split within the prefix.
		body := envelope(0, wire)
		body = base64.StdEncoding.EncodeToString([]byte(body[:4])) + "\r\n" + base64.StdEncoding.EncodeToString([]byte(body[4:]))
		r := send(t, client, e.url+testService+"StreamingOutputCall", "application/grpc-web-text", body)
		written := readAll(t, r)
		first := base64.StdEncoding.EncodeToString([]byte(envelope(0, []byte("\x0a\x00"))))
		if !strings.HasPrefix(written, first+first) || !strings.Contains(first, "=") {
			t.Errorf("got %q, want it to begin with %q twice", written, first)
		}
	})
	t.Run("Accept asks for text", func(t *testing.T) {
		r := send(t, client, e.url+testService+"UnaryCall", "application/grpc-web", envelope(0, request(t, "x")), "Accept", "application/grpc-web-text")
		if got := r.Header.Get("Content-Type"); got != "application/grpc-web-text" {
			t.Errorf("Content-Type %q", got)
		}
		if a := readAnswer(t, r, true); a.status != "0" || len(a.messages) != 1 {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("bad base64", func(t *testing.T) {
		for _, body := range []string{"AAAA*AAA", "A", "AAAAA", "AA=A", "====", "AAA\xff"} {
			a := readAnswer(t, send(t, client, e.url+testService+"UnaryCall", "application/grpc-web-text", body), true)
			if a.status != "13" || !strings.Contains(a.message, "base64") {
				t.Errorf("%q: got %q %q", body, a.status, a.message)
			}
		}
	})
	t.Run("Semantics 27: trailers only", func(t *testing.T) {
		r := send(t, client, e.url+testService+"UnaryCall", "application/grpc-web", envelope(0, request(t, "x")), "X-Case", "fail")
		if r.Header.Get("Grpc-Status") != "9" || r.Header.Get("Grpc-Message") == "" || readAll(t, r) != "" {
			t.Errorf("got %v", r.Header)
		}
	})
}

// A message arrives before the next one is sent, also over HTTP/1.1.
func TestGRPCWebFlushes(t *testing.T) {
	e := newEdge(t)
	wire, err := proto.Marshal(&testpb.StreamingOutputCallRequest{ResponseParameters: sizes(4)})
	if err != nil {
		t.Fatal(err)
	}
	r := send(t, httpClient(t, false), e.url+testService+"StreamingOutputCall", "application/grpc-web-text",
		base64.StdEncoding.EncodeToString([]byte(envelope(0, wire))), "X-Case", "block")
	b := make([]byte, 20)
	if _, err := io.ReadFull(r.Body, b); err != nil {
		t.Fatal(err)
	}
	if err := r.Body.Close(); err != nil {
		t.Fatal(err)
	}
	receive(t, e.backend.cancelled) // Semantics 40: the client went away
}
