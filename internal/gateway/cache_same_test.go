package gateway_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

const sameProto = `syntax = "proto3";
package same.v1;
import "google/api/annotations.proto";
import "google/api/httpbody.proto";
import "transom/v1/annotations.proto";
message Ask { string name = 1; }
message Part { string text = 1; int64 number = 2; }
message Told { string name = 1; Part part = 2; map<string, string> labels = 3; }
service Service {
  rpc Read(Ask) returns (Told) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = {
      get: "/v1/read/{name}"
      additional_bindings { get: "/v1/part/{name}" response_body: "part" }
      additional_bindings { post: "/v1/read" body: "*" }
    };
    option (transom.v1.method) = { cache: { ttl: { seconds: 600 } } };
  }
  rpc Page(Ask) returns (google.api.HttpBody) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = { get: "/v1/page/{name}" };
    option (transom.v1.method) = { cache: { ttl: { seconds: 600 } } };
  }
  rpc Write(Ask) returns (Told) {
    option (google.api.http) = { post: "/v1/write" body: "*" additional_bindings { post: "/v1/write/part" body: "*" response_body: "part" } };
    option (transom.v1.method) = { idempotency_key: { scope: METHOD } };
  }
}`

// sameServer answers with a message that is long where its request is.
func sameServer(_ any, stream grpc.ServerStream) error {
	request := new(emptypb.Empty)
	if err := stream.RecvMsg(request); err != nil {
		return err
	}
	asked := request.ProtoReflect().GetUnknown()
	_, _, n := protowire.ConsumeTag(asked)
	name, _ := protowire.ConsumeString(asked[n:])
	text := func(b []byte, number protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), s)
	}
	var told []byte
	if method, _ := grpc.MethodFromServerStream(stream); strings.HasSuffix(method, "/Page") {
		told = text(text(nil, 1, "text/plain"), 2, "the page of "+name)
	} else {
		size := 1
		if strings.HasPrefix(name, "long") {
			size = 400
		}
		part := protowire.AppendVarint(protowire.AppendTag(text(nil, 1, strings.Repeat("of ", size)+name), 2, protowire.VarintType), 7)
		told = text(text(text(nil, 1, name), 2, string(part)), 3, string(text(text(nil, 1, "a"), 2, "b")))
	}
	if err := stream.SetHeader(metadata.Pairs("x-before", "header")); err != nil {
		return err
	}
	answer := new(emptypb.Empty)
	answer.ProtoReflect().SetUnknown(told)
	return stream.SendMsg(answer)
}

// sameAnswer is an answer as it came.
type sameAnswer struct {
	status          int
	header, trailer http.Header
	body            []byte
}

func askAsIs(t *testing.T, client *http.Client, method, url, body string, header http.Header) *sameAnswer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if r.Header = header.Clone(); r.Header["Accept-Encoding"] == nil {
		r.Header.Set("Accept-Encoding", "identity") // or the client would read it itself
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	a := &sameAnswer{status: response.StatusCode, header: response.Header}
	if a.body, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	a.trailer = response.Trailer
	return a
}

// differs says in what an answer that was kept is another one than the first; "" for nothing but
// what tells of the call itself.
func (a *sameAnswer) differs(first *sameAnswer) string {
	strip := func(h http.Header) http.Header {
		h = maps.Clone(h)
		for _, name := range []string{"Date", "Age", "X-Request-Id", "Idempotent-Replayed"} {
			delete(h, name)
		}
		return h
	}
	switch {
	case a.status != first.status:
		return fmt.Sprintf("status %d, the first was %d", a.status, first.status)
	case fmt.Sprint(strip(a.header), a.trailer) != fmt.Sprint(strip(first.header), first.trailer):
		return fmt.Sprintf("%v %v, the first was\n%v %v", a.header, a.trailer, first.header, first.trailer)
	case !bytes.Equal(a.body, first.body):
		return fmt.Sprintf("%q, the first was\n%q", a.body, first.body)
	}
	return ""
}

// TestKeptAnswersAreTheSame: Traffic 91, 115: what is given again is, byte for byte, what was given first, in
// each form in which it is asked for, also after all of them.
func TestKeptAnswersAreTheSame(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{NoBookstore: true, Backend: grpctest.ServeAny(t, sameServer), Protos: map[string]string{"same.proto": sameProto}})
	const rpc = "/same.v1.Service/"
	wire := func(name string) string { return "\x0a" + string(rune(len(name))) + name }
	envelope := func(name string) string { return "\x00\x00\x00\x00" + string(rune(len(name)+2)) + wire(name) }
	object := func(name string) string { return fmt.Sprintf(`{"name":%q}`, name) }
	connectGet := func(encoding, message string) string {
		return rpc + "Read?connect=v1&encoding=" + encoding + "&base64=1&message=" + url.QueryEscape(base64.RawURLEncoding.EncodeToString([]byte(message)))
	}
	type form struct {
		name, method string
		path, body   func(name string) string
		header       http.Header
		http2        bool
	}
	fixed := func(s string) func(string) string { return func(string) string { return s } }
	under := func(prefix string) func(string) string { return func(name string) string { return prefix + name } }
	json, keyed := http.Header{"Content-Type": {"application/json"}}, http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {"k"}}
	forms := []form{
		{"REST", "GET", under("/v1/read/"), fixed(""), http.Header{}, false},
		{"REST, HTTP/2", "GET", under("/v1/read/"), fixed(""), http.Header{}, true},
		{"REST, HEAD", "HEAD", under("/v1/read/"), fixed(""), http.Header{}, false},
		{"REST, a part", "GET", under("/v1/part/"), fixed(""), http.Header{}, false},
		{"REST, wire format", "GET", under("/v1/read/"), fixed(""), http.Header{"Accept": {"application/protobuf"}}, false},
		{"REST, a part in wire format", "GET", under("/v1/part/"), fixed(""), http.Header{"Accept": {"application/protobuf"}}, false},
		{"REST, POST", "POST", fixed("/v1/read"), object, json, false},
		{"REST, a page", "GET", under("/v1/page/"), fixed(""), http.Header{}, false},
		{"Connect, JSON", "POST", fixed(rpc + "Read"), object, http.Header{"Content-Type": {"application/json"}, "Connect-Protocol-Version": {"1"}}, false},
		{"Connect", "POST", fixed(rpc + "Read"), wire, http.Header{"Content-Type": {"application/proto"}, "Connect-Protocol-Version": {"1"}}, false},
		{"Connect, GET, JSON", "GET", func(name string) string { return connectGet("json", object(name)) }, fixed(""), http.Header{}, false},
		{"Connect, GET", "GET", func(name string) string { return connectGet("proto", wire(name)) }, fixed(""), http.Header{}, true},
		{"gRPC", "POST", fixed(rpc + "Read"), envelope, http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}, true},
		{"gRPC, compressed", "POST", fixed(rpc + "Read"), envelope, http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "Grpc-Accept-Encoding": {"gzip"}}, true},
		{"gRPC-Web", "POST", fixed(rpc + "Read"), envelope, http.Header{"Content-Type": {"application/grpc-web"}}, false},
		{"a key", "POST", fixed("/v1/write"), object, keyed, false},
		{"a key, a part", "POST", fixed("/v1/write/part"), object, keyed, false},
	}
	for _, length := range []string{"short", "long"} {
		for _, encoding := range []string{"", "gzip", "br", "zstd"} {
			name := length + encoding
			for i, f := range forms {
				client := g.Client
				if f.http2 {
					client = g.HTTP2
				}
				header := f.header.Clone()
				if encoding != "" {
					header.Set("Accept-Encoding", encoding)
				}
				ask := func(name string) *sameAnswer {
					if header["Idempotency-Key"] != nil {
						header.Set("Idempotency-Key", name)
					}
					return askAsIs(t, client, f.method, g.URL+f.path(name), f.body(name), header)
				}
				own := fmt.Sprintf("%s-%d", name, i)
				first := ask(own)
				if first.status != http.StatusOK || len(first.body) == 0 && f.method != http.MethodHead {
					t.Fatalf("%s: %d %s", f.name, first.status, first.body)
				}
				again := func() {
					t.Helper()
					if why := ask(own).differs(first); why != "" {
						t.Errorf("%s, %q, %s: %s", f.name, encoding, length, why)
					}
				}
				for range 3 {
					again()
				}
				if tag := first.header.Get("Etag"); tag != "" {
					h := header.Clone()
					h.Set("If-None-Match", tag)
					if a := askAsIs(t, client, f.method, g.URL+f.path(own), "", h); a.status != http.StatusNotModified || a.header.Get("Etag") != tag {
						t.Errorf("Traffic 122: %s: %d %v", f.name, a.status, a.header)
					}
				}
				// By all other forms, and then once more by this one.
				for _, other := range forms {
					if other.header["Idempotency-Key"] == nil && !strings.Contains(other.name, "page") {
						client := g.Client
						if other.http2 {
							client = g.HTTP2
						}
						askAsIs(t, client, other.method, g.URL+other.path(own), other.body(own), other.header)
					}
				}
				again()
			}
		}
	}
}
