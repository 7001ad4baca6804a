package envelope_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"
)

// httpClient speaks HTTP/1.1, or HTTP/2 without TLS. It leaves nothing behind.
func httpClient(t testing.TB, http2 bool) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	transport := &http.Transport{Protocols: protocols, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// connectCase is one way in which connect-go's client can be set up.
type connectCase struct {
	name    string
	http2   bool
	options []connect.ClientOption
}

func connectCases() []connectCase {
	var cases []connectCase
	for _, protocol := range []connectCase{
		{"Connect proto", false, nil},
		{"Connect JSON", false, []connect.ClientOption{connect.WithProtoJSON()}},
		{"gRPC-Web", false, []connect.ClientOption{connect.WithGRPCWeb()}},
		{"gRPC", true, []connect.ClientOption{connect.WithGRPC()}},
	} {
		for _, http2 := range []bool{false, true} {
			if protocol.http2 && !http2 {
				continue
			}
			version := "/HTTP 1.1"
			if http2 {
				version = "/HTTP 2"
			}
			cases = append(cases,
				connectCase{protocol.name + version, http2, protocol.options},
				connectCase{protocol.name + version + "/gzip", http2, append([]connect.ClientOption{connect.WithSendGzip()}, protocol.options...)})
		}
	}
	return cases
}

// connectSeen is what a client of connect-go sees of a call.
type connectSeen struct {
	Messages        []int
	Code            connect.Code
	Message         string
	Details         []string
	Header, Trailer map[string][]string
}

// own keeps the metadata that the backend set.
func own(h http.Header) map[string][]string {
	kept := map[string][]string{}
	for name, values := range h {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "echo-") || strings.HasPrefix(lower, "trail-") {
			kept[lower] = values
		}
	}
	return kept
}

func (s *connectSeen) end(err error) {
	if err == nil || errors.Is(err, io.EOF) {
		return
	}
	var failed *connect.Error
	if !errors.As(err, &failed) {
		s.Message = err.Error()
		return
	}
	s.Code, s.Message = failed.Code(), failed.Message()
	for _, d := range failed.Details() {
		s.Details = append(s.Details, d.Type()+" "+base64.StdEncoding.EncodeToString(d.Bytes()))
	}
	if s.Header == nil {
		s.Header = map[string][]string{}
	}
	for name, values := range own(failed.Meta()) { // connect-go mixes the two
		s.Header[name] = values
	}
}

// together puts header and trailer together, as connect-go does for errors.
func (s *connectSeen) together() {
	all := map[string][]string{}
	for _, h := range []map[string][]string{s.Header, s.Trailer} {
		for name, values := range h {
			all[name] = values
		}
	}
	s.Header, s.Trailer = all, nil
}

type connectClient struct {
	http    *http.Client
	url     string
	options []connect.ClientOption
	md      map[string]string
}

func newConnect[In, Out any](c connectClient, method string) *connect.Client[In, Out] {
	return connect.NewClient[In, Out](c.http, c.url+testService+method, c.options...)
}

func (c connectClient) header(h http.Header) {
	for name, value := range c.md {
		h.Set(name, value)
	}
}

func (c connectClient) unary(ctx context.Context) (s connectSeen) {
	request := connect.NewRequest(&testpb.SimpleRequest{ResponseSize: 5000, Payload: payload(3000), FillUsername: true})
	c.header(request.Header())
	out, err := newConnect[testpb.SimpleRequest, testpb.SimpleResponse](c, "UnaryCall").CallUnary(ctx, request)
	if err == nil {
		s.Messages = []int{len(out.Msg.GetPayload().GetBody()) + len(out.Msg.GetUsername())}
		s.Header, s.Trailer = own(out.Header()), own(out.Trailer())
	}
	s.end(err)
	return s
}

func (c connectClient) serverStream(ctx context.Context) (s connectSeen) {
	request := connect.NewRequest(&testpb.StreamingOutputCallRequest{ResponseParameters: sizes(0, 10, 100_000)})
	c.header(request.Header())
	stream, err := newConnect[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse](c, "StreamingOutputCall").CallServerStream(ctx, request)
	if err != nil {
		s.end(err)
		return s
	}
	for stream.Receive() {
		s.Messages = append(s.Messages, len(stream.Msg().GetPayload().GetBody()))
	}
	s.Header, s.Trailer = own(stream.ResponseHeader()), own(stream.ResponseTrailer())
	s.end(stream.Err())
	_ = stream.Close()
	return s
}

func (c connectClient) clientStream(ctx context.Context) (s connectSeen) {
	stream := newConnect[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse](c, "StreamingInputCall").CallClientStream(ctx)
	c.header(stream.RequestHeader())
	for _, size := range []int32{0, 10, 70_000} {
		if stream.Send(&testpb.StreamingInputCallRequest{Payload: payload(size)}) != nil {
			break
		}
	}
	out, err := stream.CloseAndReceive()
	if err == nil {
		s.Messages = []int{int(out.Msg.GetAggregatedPayloadSize())}
		s.Header, s.Trailer = own(out.Header()), own(out.Trailer())
	}
	s.end(err)
	return s
}

func (c connectClient) bidi(ctx context.Context) (s connectSeen) {
	stream := newConnect[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse](c, "FullDuplexCall").CallBidiStream(ctx)
	c.header(stream.RequestHeader())
	var err error
	for _, size := range []int32{1, 20_000, 3} {
		if err = stream.Send(&testpb.StreamingOutputCallRequest{ResponseParameters: sizes(size, size)}); err != nil {
			break
		}
		for range 2 {
			var out *testpb.StreamingOutputCallResponse
			if out, err = stream.Receive(); err != nil {
				break
			}
			s.Messages = append(s.Messages, len(out.GetPayload().GetBody()))
		}
		if err != nil {
			break
		}
	}
	_ = stream.CloseRequest()
	if err == nil || errors.Is(err, io.EOF) {
		_, err = stream.Receive()
	}
	s.Header, s.Trailer = own(stream.ResponseHeader()), own(stream.ResponseTrailer())
	s.end(err)
	_ = stream.CloseResponse()
	return s
}

// All that connect-go's client can speak sees the same as connect-go speaking
// gRPC to the backend itself.
func TestConnectClients(t *testing.T) {
	e := newEdge(t)
	direct := connectClient{http: httpClient(t, true), url: "http://" + e.direct, options: []connect.ClientOption{connect.WithGRPC()}}
	for _, c := range connectCases() {
		through := connectClient{http: httpClient(t, c.http2), url: e.url, options: c.options}
		for _, test := range []struct {
			name string
			md   map[string]string
		}{
			{"Semantics 44: messages", nil},
			{"Semantics 31: metadata", map[string]string{"echo-a": "1", "echo-b-bin": "AP8", "trail-c": "3", "trail-d-bin": "gA"}},
			{"Semantics 27: an error", map[string]string{"x-case": "fail", "trail-c": "3"}},
			{"an error after metadata", map[string]string{"x-case": "fail", "echo-a": "1", "trail-c": "3"}},
			{"Semantics 44: details", map[string]string{"x-case": "fail-details"}},
			{"an error at the end", map[string]string{"x-case": "end-fail-details", "echo-a": "1"}},
			{"unauthenticated", map[string]string{"x-case": "fail-unauthenticated"}},
		} {
			t.Run(c.name+"/"+test.name, func(t *testing.T) {
				through, direct := through, direct
				through.md, direct.md = test.md, test.md
				compareConnect(t, direct, through, c.http2)
			})
		}
	}
}

func compareConnect(t *testing.T, direct, through connectClient, full bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	compare := func(shape string, want, got connectSeen) {
		t.Helper()
		want.together()
		got.together()
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: direct (-) and through the gateway (+):\n%s", shape, d)
		}
	}
	compare("unary", direct.unary(ctx), through.unary(ctx))
	compare("server stream", direct.serverStream(ctx), through.serverStream(ctx))
	compare("client stream", direct.clientStream(ctx), through.clientStream(ctx))
	if full { // connect-go wants HTTP/2 for it
		compare("bidi", direct.bidi(ctx), through.bidi(ctx))
	}
}

func TestConnectGet(t *testing.T) {
	e := newEdge(t)
	client := connect.NewClient[testpb.SimpleRequest, testpb.SimpleResponse](httpClient(t, false), e.url+testService+"CacheableUnaryCall",
		connect.WithHTTPGet(), connect.WithIdempotency(connect.IdempotencyNoSideEffects))
	request := connect.NewRequest(&testpb.SimpleRequest{FillUsername: true, Payload: payload(100)})
	out, err := client.CallUnary(t.Context(), request)
	if err != nil || len(out.Msg.GetUsername()) != 100 {
		t.Fatalf("got %v, %v", out, err)
	}
	if request.HTTPMethod() != http.MethodGet {
		t.Fatalf("the client sent a %s", request.HTTPMethod())
	}
	wire, err := proto.Marshal(&testpb.SimpleRequest{FillUsername: true, Payload: &testpb.Payload{Body: []byte("?>~")}})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, method, query string
		status              int
		want                string
	}{
		{"JSON", "CacheableUnaryCall", `connect=v1&encoding=json&message={"fillUsername":true,"payload":{"body":"aGk="}}`, 200, `{"payload":{}, "username":"hi"}`},
		{"an empty message", "CacheableUnaryCall", "connect=v1&encoding=json&message=", 200, `{"payload":{}}`},
		{"base64", "CacheableUnaryCall", "connect=v1&encoding=proto&base64=1&message=" + base64.URLEncoding.EncodeToString(wire), 200, "?>~"},
		{"base64 without padding", "CacheableUnaryCall", "connect=v1&encoding=proto&base64=1&message=" + base64.RawURLEncoding.EncodeToString(wire), 200, "?>~"},
		{"compressed", "CacheableUnaryCall", "connect=v1&encoding=proto&base64=1&compression=gzip&message=" + base64.RawURLEncoding.EncodeToString(gzipped(t, wire)), 200, "?>~"},
		{"no base64", "CacheableUnaryCall", "connect=v1&encoding=proto&base64=1&message=***", 400, "base64"},
		{"not compressed", "CacheableUnaryCall", "connect=v1&encoding=proto&base64=1&compression=gzip&message=AAAA", 400, "gzip"},
		{"unknown compression", "CacheableUnaryCall", "connect=v1&encoding=proto&compression=lzma&message=AAAA", 501, "lzma"},
		{"unknown encoding", "CacheableUnaryCall", "connect=v1&encoding=xml&message=AAAA", 415, "xml"},
		{"no message", "CacheableUnaryCall", "connect=v1&encoding=json", 400, "message"},
		{"two messages", "CacheableUnaryCall", "connect=v1&encoding=json&message={}&message={}", 400, "message"},
		{"Semantics 44: only without side effects", "UnaryCall", "connect=v1&encoding=json&message={}", 405, "unimplemented"},
		{"Semantics 21: a bomb", "CacheableUnaryCall", "connect=v1&encoding=proto&base64=1&compression=gzip&message=" + base64.RawURLEncoding.EncodeToString(gzipped(t, make([]byte, testMaxMessage+1))), 413, "resource_exhausted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			target := e.url + testService + test.method + "?" + strings.NewReplacer("{", "%7B", "}", "%7D", `"`, "%22", "*", url.QueryEscape("*")).Replace(test.query)
			response, err := httpClient(t, false).Get(target)
			if err != nil {
				t.Fatal(err)
			}
			body := readAll(t, response)
			if response.StatusCode != test.status || !strings.Contains(strings.ReplaceAll(body, " ", ""), strings.ReplaceAll(test.want, " ", "")) {
				t.Errorf("got %d %s, want %d and %s", response.StatusCode, body, test.status, test.want)
			}
		})
	}
}

func readAll(t testing.TB, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	return string(b)
}

// send posts a body; headers are names and values in turn.
func send(t testing.TB, client *http.Client, target, contentType, body string, headers ...string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}
