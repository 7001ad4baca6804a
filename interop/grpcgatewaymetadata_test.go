package interop

import (
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// listener is a server of any method: it keeps the metadata it gets and answers
// with an empty message, with metadata of its own.
type listener struct {
	mu  sync.Mutex
	got metadata.MD
}

func (l *listener) serve(_ any, stream grpc.ServerStream) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	l.mu.Lock()
	l.got = md
	l.mu.Unlock()
	if err := stream.RecvMsg(&emptypb.Empty{}); err != nil {
		return err
	}
	if err := stream.SetHeader(metadata.Pairs("x-said", "one", "x-said", "two",
		"etag", `"1"`, "cache-control", "no-store", "set-cookie", "a=b", "x-request-id", "r")); err != nil {
		return err
	}
	stream.SetTrailer(metadata.Pairs("x-last", "bye"))
	if len(md.Get("grpcgateway-from")) > 0 {
		return status.Error(codes.FailedPrecondition, "as told")
	}
	return stream.SendMsg(&emptypb.Empty{})
}

// take returns the metadata of the last call.
func (l *listener) take() metadata.MD {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.got
}

func startListener(t *testing.T) (l *listener, address string) {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = &listener{}
	server := grpc.NewServer(grpc.UnknownServiceHandler(l.serve))
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(socket) // it ends by Stop
	}()
	t.Cleanup(func() {
		server.Stop()
		<-served
	})
	return l, socket.Addr().String()
}

// added is the metadata that Transom sends on purpose and grpc-gateway does not:
// what every service behind Transom gets, whatever the mode.
var added = map[string]string{
	"accept-language":        "crosses under its own name, too",
	"traceparent":            "a trace is to go on",
	"x-request-id":           "each call has one",
	"x-forwarded-proto":      "belongs to x-forwarded-host",
	"x-forwarded-port":       "likewise",
	"x-forwarded-user-agent": "user-agent is grpc-go's",
	"idempotency-key":        "the service may want it",
	"x-meta":                 "Grpc-Metadata-* crosses, as with grpc-gateway's LegacyHeaderMatcher",
	"x-meta-bin":             "likewise",
}

// TestGRPCGatewayMetadata compares what the service and the client see of each
// other's metadata. Semantics 56.
func TestGRPCGatewayMetadata(t *testing.T) {
	l, address := startListener(t)
	reference, g := startBoth(t, address)
	for _, r := range []sent{
		{name: "nothing"},
		{name: "permanent headers", headers: []string{
			"Accept", "application/json", "Accept-Language", "de", "Cache-Control", "no-cache", "Cookie", "a=b", "Date", "Mon, 05 Jan 2026 00:00:00 GMT",
			"If-Match", `"1"`, "If-None-Match", "*", "Max-Forwards", "3", "Origin", "https://a.example", "Pragma", "no-cache",
			"Referer", "https://a.example/x", "User-Agent", "browser", "Via", "1.1 a", "Warning", "199 - x",
		}},
		{name: "authorization", headers: []string{"Authorization", "Basic eDp5"}},
		{name: "other headers", headers: []string{"X-Own", "o", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Idempotency-Key", "k"}},
		{name: "Grpc-Metadata-", headers: []string{"Grpc-Metadata-X-Meta", "m", "Grpc-Metadata-X-Meta-Bin", "AP8="}},
		{name: "an error", headers: []string{"From", "a@b.example"}},
		{name: "an error with trailers", headers: []string{"From", "a@b.example", "TE", "trailers"}},
		{name: "trailers", headers: []string{"TE", "trailers"}},
	} {
		r.method, r.path = http.MethodGet, "/v1/example/echo/a/1"
		t.Run(r.name, func(t *testing.T) {
			theirs := send(t, reference.URL, r)
			theirMetadata := l.take()
			ours := send(t, g.URL, r)
			ourMetadata := l.take()
			if found := compare("grpc-gateway", theirs, ours, false); found != "" {
				t.Error(found)
			}
			compareMetadata(t, theirMetadata, ourMetadata)
		})
	}
}

func compareMetadata(t *testing.T, theirs, ours metadata.MD) {
	t.Helper()
	for name, values := range theirs {
		// The two gateways' own addresses and gRPC's own headers.
		if name == "x-forwarded-host" || name == "user-agent" || name == "content-type" || strings.HasPrefix(name, ":") || strings.HasPrefix(name, "grpc-") {
			continue
		}
		if !slices.Equal(values, ours[name]) {
			t.Errorf("%s is %q from grpc-gateway, %q from Transom", name, values, ours[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(ours)) {
		if _, both := theirs[name]; !both && added[name] == "" && !strings.HasPrefix(name, "grpc-") {
			t.Errorf("%s is %q from Transom, and nothing from grpc-gateway", name, ours[name])
		}
	}
}
