package protocols_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/envelope"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
	"github.com/transom-gateway/transom/transcoder/protocols"
	"github.com/transom-gateway/transom/transcoder/websocket"
)

func TestDetect(t *testing.T) {
	plans := jsonwire.NewPlans(nil)
	methods := testpb.File_grpc_testing_test_proto.Services().ByName("TestService").Methods()
	unary := transcoder.NewMethod(methods.ByName("UnaryCall"), plans, transcoder.Settings{})
	cacheable := transcoder.NewMethod(methods.ByName("CacheableUnaryCall"), plans, transcoder.Settings{})
	cacheable.NoSideEffects = true
	stream := transcoder.NewMethod(methods.ByName("FullDuplexCall"), plans, transcoder.Settings{})
	none := &transcoder.Protocol{Name: "none"}
	for _, test := range []struct {
		name, method, query, contentType string
		headers                          []string
		want                             *transcoder.Protocol
		// On the path of a unary, a cacheable and a streaming method.
		unary, cacheable, stream *transcoder.Protocol
	}{
		{name: "gRPC", method: "POST", contentType: "application/grpc",
			want: envelope.GRPC, unary: envelope.GRPC, cacheable: envelope.GRPC, stream: envelope.GRPC},
		{name: "gRPC, named format", method: "POST", contentType: "application/grpc+proto",
			want: envelope.GRPC, unary: envelope.GRPC, cacheable: envelope.GRPC, stream: envelope.GRPC},
		{name: "gRPC, parameters", method: "POST", contentType: "application/grpc;x=y",
			want: envelope.GRPC, unary: envelope.GRPC, cacheable: envelope.GRPC, stream: envelope.GRPC},
		{name: "Semantics 326: gRPC in capitals", method: "POST", contentType: "Application/GRPC+Proto; X=y",
			want: envelope.GRPC, unary: envelope.GRPC, cacheable: envelope.GRPC, stream: envelope.GRPC},
		{name: "Semantics 326: gRPC, white space", method: "POST", contentType: "application/grpc ; x=y",
			want: envelope.GRPC, unary: envelope.GRPC, cacheable: envelope.GRPC, stream: envelope.GRPC},
		{name: "Semantics 326: gRPC-Web in capitals", method: "POST", contentType: "Application/Grpc-Web",
			want: envelope.GRPCWeb, unary: envelope.GRPCWeb, cacheable: envelope.GRPCWeb, stream: envelope.GRPCWeb},
		{name: "Semantics 326: gRPC-Web text in capitals", method: "POST", contentType: "APPLICATION/GRPC-WEB-TEXT+PROTO",
			want: envelope.GRPCWebText, unary: envelope.GRPCWebText, cacheable: envelope.GRPCWebText, stream: envelope.GRPCWebText},
		{name: "Semantics 326: Connect in capitals", method: "POST", contentType: "Application/Proto", headers: []string{"Connect-Protocol-Version", "1"},
			want: envelope.ConnectUnary, unary: envelope.ConnectUnary, cacheable: envelope.ConnectUnary, stream: envelope.ConnectUnary},
		{name: "Semantics 326: a Connect stream in capitals", method: "POST", contentType: "Application/Connect+Json",
			want: envelope.ConnectStream, unary: envelope.ConnectStream, cacheable: envelope.ConnectStream, stream: envelope.ConnectStream},
		{name: "gRPC is posted", method: "GET", contentType: "application/grpc",
			want: protocols.REST, unary: none, cacheable: none, stream: none},
		{name: "gRPC-Web", method: "POST", contentType: "application/grpc-web+proto",
			want: envelope.GRPCWeb, unary: envelope.GRPCWeb, cacheable: envelope.GRPCWeb, stream: envelope.GRPCWeb},
		{name: "gRPC-Web text", method: "POST", contentType: "application/grpc-web-text",
			want: envelope.GRPCWebText, unary: envelope.GRPCWebText, cacheable: envelope.GRPCWebText, stream: envelope.GRPCWebText},
		{name: "Connect", method: "POST", contentType: "application/proto", headers: []string{"Connect-Protocol-Version", "1"},
			want: envelope.ConnectUnary, unary: envelope.ConnectUnary, cacheable: envelope.ConnectUnary, stream: envelope.ConnectUnary},
		{name: "Connect stream", method: "POST", contentType: "application/connect+json",
			want: envelope.ConnectStream, unary: envelope.ConnectStream, cacheable: envelope.ConnectStream, stream: envelope.ConnectStream},
		{name: "Semantics 10: just JSON", method: "POST", contentType: "application/json",
			want: protocols.REST, unary: envelope.ConnectUnary, cacheable: envelope.ConnectUnary, stream: protocols.REST},
		{name: "Semantics 44: GET only without side effects", method: "GET", query: "message=%7B%7D&connect=v1",
			want: envelope.ConnectGet, unary: none, cacheable: envelope.ConnectGet, stream: none},
		{name: "no mark of Connect's GET", method: "GET", query: "disconnect=v1&connect=v12&message=connect=v1&connect=v1%20",
			want: protocols.REST, unary: none, cacheable: none, stream: none},
		{name: "WebSocket", method: "GET", headers: []string{"Connection", "keep-alive, Upgrade", "Upgrade", "websocket"},
			want: websocket.Protocol, unary: websocket.Protocol, cacheable: websocket.Protocol, stream: websocket.Protocol},
		{name: "PUT", method: "PUT", contentType: "application/json",
			want: protocols.REST, unary: none, cacheable: none, stream: none},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), test.method, "/x?"+test.query, http.NoBody)
			if test.contentType != "" {
				r.Header.Set("Content-Type", test.contentType)
			}
			for i := 0; i+1 < len(test.headers); i += 2 {
				r.Header.Set(test.headers[i], test.headers[i+1])
			}
			detected := protocols.Table.Detect(r)
			if detected != test.want {
				t.Errorf("Detect: got %s, want %s", detected, test.want)
			}
			for _, on := range []struct {
				method *transcoder.Method
				want   *transcoder.Protocol
			}{{unary, test.unary}, {cacheable, test.cacheable}, {stream, test.stream}} {
				got, ok := protocols.Table.OnPath(on.method, r, detected)
				if !ok {
					got = none
				}
				if got != on.want {
					t.Errorf("on %s: got %s, want %s", on.method.Path, got, on.want)
				}
			}
		})
	}
}
