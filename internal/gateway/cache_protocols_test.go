package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

const sharedProto = `syntax = "proto3";
package shared.v1;
import "bookstore/v1/book.proto";
import "bookstore/v1/bookstore.proto";
import "google/api/annotations.proto";
import "transom/v1/annotations.proto";
service Service {
  rpc Read(bookstore.v1.GetShelfRequest) returns (bookstore.v1.Shelf) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = { get: "/v1/shared/{name=shelves/*}" additional_bindings { post: "/v1/shared:read" body: "*" } };
    option (transom.v1.method) = { cache: { ttl: { seconds: 600 } not_found_ttl: { seconds: 600 } } };
  }
}`

const sharedRead = "/shared.v1.Service/Read"

// sharedServer holds each call until the test lets it go.
type sharedServer struct {
	arrived atomic.Int64
	leave   chan struct{}
}

func (s *sharedServer) serve(_ any, stream grpc.ServerStream) error {
	request := new(pb.GetShelfRequest)
	if err := stream.RecvMsg(request); err != nil {
		return err
	}
	n := s.arrived.Add(1)
	<-s.leave
	stream.SetTrailer(metadata.Pairs("x-behind", "trailer"))
	if strings.HasSuffix(request.GetName(), "none") {
		return status.Errorf(codes.NotFound, "no shelf, says arrival %d", n)
	}
	if err := stream.SetHeader(metadata.Pairs("x-before", "header")); err != nil {
		return err
	}
	return stream.SendMsg(&pb.Shelf{Name: request.GetName(), Theme: fmt.Sprint("arrival ", n), BookCount: 7, CreateTime: timestamppb.Now()})
}

// sharedAnswer is what a client got, whatever its protocol.
type sharedAnswer struct {
	shelf   *pb.Shelf
	code    codes.Code
	message string
	header  http.Header // with trailers, in the protocol's own form
	text    string      // of JSON
}

// sharedClient asks for a shelf by one protocol.
type sharedClient struct {
	name string
	ask  func(ctx context.Context, g *gatewaytest.Gateway, shelf string) (sharedAnswer, error)
}

func sharedClients(conn *grpc.ClientConn) []sharedClient {
	byConnect := func(options ...connect.ClientOption) func(context.Context, *gatewaytest.Gateway, string) (sharedAnswer, error) {
		return func(ctx context.Context, g *gatewaytest.Gateway, shelf string) (sharedAnswer, error) {
			return askConnect(ctx, g.HTTP2, g.URL, shelf, options...)
		}
	}
	get := connect.WithClientOptions(connect.WithHTTPGet(), connect.WithIdempotency(connect.IdempotencyNoSideEffects))
	return []sharedClient{
		{"REST GET", func(ctx context.Context, g *gatewaytest.Gateway, shelf string) (sharedAnswer, error) {
			return askREST(ctx, g.HTTP2, "GET", g.URL+"/v1/shared/"+shelf, "")
		}},
		{"REST GET, HTTP/1.1", func(ctx context.Context, g *gatewaytest.Gateway, shelf string) (sharedAnswer, error) {
			return askREST(ctx, g.Client, "GET", g.URL+"/v1/shared/"+url.PathEscape("shelves")+"/"+strings.TrimPrefix(shelf, "shelves/"), "")
		}},
		{"REST POST", func(ctx context.Context, g *gatewaytest.Gateway, shelf string) (sharedAnswer, error) {
			return askREST(ctx, g.HTTP2, "POST", g.URL+"/v1/shared:read", fmt.Sprintf(" { \"name\" :\n%q } ", shelf))
		}},
		{"Connect POST", byConnect()},
		{"Connect POST, JSON", byConnect(connect.WithProtoJSON())},
		{"Connect GET", byConnect(get)},
		{"Connect GET, JSON", byConnect(get, connect.WithProtoJSON())},
		{"gRPC, grpc-go", func(ctx context.Context, _ *gatewaytest.Gateway, shelf string) (sharedAnswer, error) {
			a := sharedAnswer{shelf: new(pb.Shelf), header: http.Header{}}
			var header, trailer metadata.MD
			err := conn.Invoke(ctx, sharedRead, &pb.GetShelfRequest{Name: shelf}, a.shelf, grpc.Header(&header), grpc.Trailer(&trailer))
			a.code, a.message = status.Code(err), status.Convert(err).Message()
			for _, md := range []metadata.MD{header, trailer} {
				for name, values := range md {
					a.header[http.CanonicalHeaderKey(name)] = values
				}
			}
			return a, nil
		}},
		{"gRPC, connect-go", byConnect(connect.WithGRPC())},
		{"gRPC-Web", byConnect(connect.WithGRPCWeb())},
	}
}

func askREST(ctx context.Context, client *http.Client, method, url, body string) (a sharedAnswer, err error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return a, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := client.Do(r)
	if err != nil {
		return a, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return a, err
	}
	a.header, a.text, a.shelf = response.Header, string(text), new(pb.Shelf)
	if response.StatusCode == http.StatusOK {
		return a, protojson.Unmarshal(text, a.shelf)
	}
	if response.StatusCode != http.StatusNotFound {
		return a, fmt.Errorf("%s: %s", response.Status, text)
	}
	a.code, a.message = codes.NotFound, "no JSON"
	if _, rest, ok := bytes.Cut(text, []byte(`{"code":5,"message":"`)); ok {
		said, _, _ := bytes.Cut(rest, []byte(`"`))
		a.message = string(said)
	}
	return a, nil
}

func askConnect(ctx context.Context, client *http.Client, url, shelf string, options ...connect.ClientOption) (a sharedAnswer, err error) {
	response, err := connect.NewClient[pb.GetShelfRequest, pb.Shelf](client, url+sharedRead, options...).CallUnary(ctx, connect.NewRequest(&pb.GetShelfRequest{Name: shelf}))
	var said *connect.Error
	switch {
	case err == nil:
		a.shelf, a.header = response.Msg, response.Header().Clone()
		for name, values := range response.Trailer() {
			a.header[name] = values
		}
		return a, nil
	case !asConnect(err, &said):
		return a, err
	}
	return sharedAnswer{shelf: new(pb.Shelf), code: codes.Code(said.Code()), message: said.Message(), header: said.Meta()}, nil
}

func asConnect(err error, to **connect.Error) bool {
	e, ok := err.(*connect.Error) //nolint:errorlint // that is what CallUnary says it returns
	if ok {
		*to = e
	}
	return ok
}

// TestOneAnswerForAllProtocols: Traffic 115, 124: of a thousand clients who ask for the same at one
// time, by every protocol, one call reaches the backend, and each has its answer in the form
// of its protocol; so have those who ask later. Traffic 112: an error that is kept, too.
func TestOneAnswerForAllProtocols(t *testing.T) {
	const each = 100
	backend := &sharedServer{leave: make(chan struct{})}
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: grpctest.ServeAny(t, backend.serve), Protos: map[string]string{"shared.proto": sharedProto}})
	clients := sharedClients(grpctest.Dial(t, g.Addr))
	for i, c := range []struct {
		name, shelf string
		code        codes.Code
	}{{"an answer", "shelves/1", codes.OK}, {"an error", "shelves/none", codes.NotFound}} {
		t.Run("Traffic 115: "+c.name, func(t *testing.T) {
			backend.leave = make(chan struct{})
			var all sync.WaitGroup
			var mu sync.Mutex
			got := map[string][]sharedAnswer{}
			for _, client := range clients {
				for range each {
					all.Go(func() {
						a, err := client.ask(t.Context(), g, c.shelf)
						if err != nil {
							t.Errorf("%s: %v", client.name, err)
							return
						}
						mu.Lock()
						defer mu.Unlock()
						got[client.name] = append(got[client.name], a)
					})
				}
			}
			poll.Until(t, "all are waiting", func() bool { in, _ := g.InFlight(); return in == each*len(clients) })
			close(backend.leave)
			all.Wait()
			for _, client := range clients {
				a, err := client.ask(t.Context(), g, c.shelf)
				if err != nil {
					t.Fatal(err)
				}
				got[client.name] = append(got[client.name], a)
			}
			if n := backend.arrived.Load(); n != int64(i+1) {
				t.Errorf("%d calls reached the backend", n-int64(i))
			}
			first := got[clients[0].name][0]
			for _, client := range clients {
				if len(got[client.name]) != each+1 {
					t.Errorf("%s: %d answers", client.name, len(got[client.name]))
				}
				for _, a := range got[client.name] {
					checkShared(t, client.name, a, first, c.code)
				}
			}
		})
	}
	metrics := metricsOf(g)
	for _, want := range []string{`result="miss",rpc="shared.v1.Service/Read"} 2`, `result="hit"`, `result="collapsed"`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// checkShared compares an answer with the first one.
func checkShared(t *testing.T, name string, a, first sharedAnswer, code codes.Code) {
	t.Helper()
	if a.code != code || a.message != first.message || !proto.Equal(a.shelf, first.shelf) {
		t.Errorf("%s: %v %q %v, the first was %v %q %v", name, a.code, a.message, a.shelf, first.code, first.message, first.shelf)
	}
	if code == codes.OK && a.shelf.GetTheme() != "arrival 1" || code != codes.OK && !strings.Contains(a.message, "arrival 2") {
		t.Errorf("%s: %v %q", name, a.shelf, a.message)
	}
	if strings.HasPrefix(name, "REST") && a.text != first.text {
		t.Errorf("%s: %s, the first was %s", name, a.text, first.text)
	}
	before, behind := a.header["X-Before"], a.header["X-Behind"]
	if strings.HasPrefix(name, "REST") {
		before, behind = a.header["Grpc-Metadata-X-Before"], []string{"trailer"} // which REST has for those who ask alone
	}
	if code == codes.OK && !slices.Equal(before, []string{"header"}) || !slices.Equal(behind, []string{"trailer"}) {
		t.Errorf("%s: header and trailer %q", name, a.header)
	}
	if own := strings.HasPrefix(name, "gRPC"); own && (a.header["Etag"] != nil || a.header["Age"] != nil || a.header["Cache-Control"] != nil) {
		t.Errorf("%s: what belongs to caches: %q", name, a.header)
	}
}
