package gateway_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// TestReasonOnTheWay: Semantics 321: what fails on the way to the backend, and what the
// gateway cannot use of its answer, has the gateway's reason in the access log; what the
// backend itself says has none.
func TestReasonOnTheWay(t *testing.T) {
	waiting := func(_ any, stream grpc.ServerStream) error {
		<-stream.Context().Done()
		return status.Error(codes.Aborted, "too late")
	}
	says := func(err error, message string) grpc.StreamHandler {
		return func(_ any, stream grpc.ServerStream) error {
			m := &emptypb.Empty{}
			if err := stream.RecvMsg(m); err != nil {
				return err
			}
			if message != "" {
				m.ProtoReflect().SetUnknown([]byte(message))
				if err := stream.SendMsg(m); err != nil {
					return err
				}
			}
			return err
		}
	}
	detailed, err := status.New(codes.Unavailable, "the backend's words").WithDetails(&pb.Shelf{Theme: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		backend func(t *testing.T) string
		timeout string
		status  int
		reason  string
	}{
		"refused":         {func(*testing.T) string { return "127.0.0.1:1" }, "", 503, "connection refused"},
		"not gRPC":        {plainHTTP, "", 501, "does not speak gRPC"},
		"the deadline":    {func(t *testing.T) string { return grpctest.ServeAny(t, waiting) }, "0.1", 504, "time is over"},
		"a broken answer": {func(t *testing.T) string { return grpctest.ServeAny(t, says(nil, "\x0a\xff")) }, "", 500, "the backend's"},
		"no answer":       {func(t *testing.T) string { return grpctest.ServeAny(t, says(nil, "")) }, "", 501, "without an answer"},
		"the backend's status": {func(t *testing.T) string {
			return grpctest.ServeAny(t, says(status.Error(codes.Unavailable, "down"), ""))
		}, "", 503, ""},
		"the backend's, with details":    {func(t *testing.T) string { return grpctest.ServeAny(t, says(detailed.Err(), "")) }, "", 503, ""},
		"the backend's, after a message": {func(t *testing.T) string { return grpctest.ServeAny(t, says(detailed.Err(), "\x10\x01")) }, "", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			log := new(logLines)
			g := gatewaytest.Start(t, gatewaytest.Options{Log: log, Backend: test.backend(t)})
			for _, path := range []string{"/v1/shelves/1", "/v1/shelves/1/books:watch", "/bookstore.v1.BookstoreService/GetShelf"} {
				method, body := "GET", ""
				if strings.HasPrefix(path, "/bookstore") {
					method, body = "POST", `{"name":"shelves/1"}`
				}
				stream := strings.HasSuffix(path, "watch")
				if stream && strings.Contains(name, "answer") {
					continue // of a stream, no message and unknown bytes are an answer
				}
				a := g.Do(t, method, path, body, "X-Request-Timeout", test.timeout)
				if !stream && method == "GET" && test.status != 0 && a.Status != test.status {
					t.Errorf("%s: %d %s", path, a.Status, a.Body)
				}
				line := lineOf(t, log, a.Header.Get("X-Request-Id"))
				reason, _ := line["reason"].(string)
				if !strings.Contains(reason, test.reason) || test.reason == "" && reason != "" {
					t.Errorf("%s: the reason is %q, want %q: %v", path, reason, test.reason, line)
				}
			}
		})
	}
	t.Run("the backend's own DEADLINE_EXCEEDED", func(t *testing.T) {
		log := new(logLines)
		backend := grpctest.ServeAny(t, says(status.FromContextError(context.DeadlineExceeded).Err(), ""))
		g := gatewaytest.Start(t, gatewaytest.Options{Log: log, Backend: backend})
		a := g.Do(t, "GET", "/v1/shelves/1", "")
		if line := lineOf(t, log, a.Header.Get("X-Request-Id")); a.Status != 504 || line["reason"] != nil {
			t.Errorf("%d %v", a.Status, line)
		}
	})
}

// plainHTTP starts a server that speaks HTTP/2, and no gRPC.
func plainHTTP(t *testing.T) string {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler(), Protocols: protocols}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l) // it ends by Close
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return l.Addr().String()
}

// TestPreflightLogged: Semantics 321: a preflight's line in the log names the route that
// the page asks for; no line names one that the request has nothing to do with.
func TestPreflightLogged(t *testing.T) {
	log := new(logLines)
	g := gatewaytest.Start(t, gatewaytest.Options{Log: log})
	for _, test := range []struct{ name, path, method, route string }{
		{"a route", "/v1/shelves/1", "GET", "/v1/{name=shelves/*}"},
		{"another method of the path", "/v1/shelves/1", "DELETE", "/v1/{name=shelves/*}"},
		{"a method's own path", "/bookstore.v1.BookstoreService/GetShelf", "POST", "/bookstore.v1.BookstoreService/GetShelf"},
		{"a method that is missing", "/v1/shelves", "DELETE", "unmatched"},
		{"no path", "/v1/nothing", "GET", "unmatched"},
		{"an OPTIONS that is no preflight", "/v1/shelves/1", "", "unmatched"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := g.Do(t, "OPTIONS", test.path, "", "Origin", "https://p.example", "Access-Control-Request-Method", test.method)
			line := lineOf(t, log, a.Header.Get("X-Request-Id"))
			if line["route"] != test.route || line["rpc"] != "" || line["path"] != test.path {
				t.Errorf("logged %v, want the route %s", line, test.route)
			}
		})
	}
}
