package envelope_test

import (
	"context"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/grpcgo"
	"github.com/transom-gateway/transom/proxy/upstream"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
	"github.com/transom-gateway/transom/transcoder/protocols"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// edge is the smallest gateway there can be: the edges, the relay, a backend.
type edge struct {
	address string // host:port
	url     string
	backend *backend
	direct  string // the backend's own address

	bindings map[string]*transcoder.Binding
	errors   *transcoder.ErrorWriter
	upstream proxy.Backend
	headers  *transcoder.HeaderRules
}

const testService = "/grpc.testing.TestService/"

// testMaxMessage bounds messages in these tests.
const testMaxMessage = 1 << 20

// newEdge starts a backend and a gateway. When the test ends, nothing of them
// is left.
func newEdge(t testing.TB) *edge {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	// net/http keeps a connection half a second longer whose body it did not read.
	lingers := goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait")
	t.Cleanup(func() { goleak.VerifyNone(t, ignore, lingers) })
	b, direct := startBackend(t)
	e := &edge{backend: b, direct: direct, bindings: map[string]*transcoder.Binding{}}
	e.connect(t, direct)
	e.headers = transcoder.NewHeaderRules(transcoder.HeaderOptions{ResponsePrefix: transcoder.DefaultResponsePrefix})
	e.bind(t)
	e.serve(t)
	return e
}

// connect sends the calls from here on to a backend.
func (e *edge) connect(t testing.TB, address string) {
	t.Helper()
	const limit = 64 << 20
	log, target := slog.New(slog.DiscardHandler), upstream.Target{Address: address}
	if os.Getenv(gatewaytest.ClientVariable) == "GRPC_GO" {
		conn, err := grpcgo.NewPool(log).Get(target)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Release)
		e.upstream = conn.Backend(limit)
		return
	}
	conn, err := upstream.NewPool(log).Get(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Release)
	e.upstream = attempt.NewGRPC(conn, limit)
}

func dial(t testing.TB, address string, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	conn, err := grpc.NewClient(address, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (e *edge) bind(t testing.TB) {
	t.Helper()
	plans := jsonwire.NewPlans(globalTypes{})
	e.errors = transcoder.NewErrorWriter(plans)
	methods := testpb.File_grpc_testing_test_proto.Services().ByName("TestService").Methods()
	for i := range methods.Len() {
		m := transcoder.NewMethod(methods.Get(i), plans, transcoder.Settings{
			ConnectJSON: jsonwire.Output{OmitDefaults: true},
			MaxMessage:  testMaxMessage, MaxBody: testMaxMessage, Headers: e.headers,
		})
		if strings.HasPrefix(string(methods.Get(i).Name()), "Cacheable") {
			m.NoSideEffects = true
		}
		binding, err := m.BindPath(plans)
		if err != nil {
			t.Fatal(err)
		}
		e.bindings[m.Path] = binding
	}
}

// globalTypes looks types up among those linked in.
type globalTypes struct{}

func (globalTypes) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageDescriptor, error) {
	found, err := protoregistry.GlobalTypes.FindMessageByName(name)
	if err != nil {
		return nil, err
	}
	return found.Descriptor(), nil
}

func (globalTypes) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionDescriptor, error) {
	found, err := protoregistry.GlobalTypes.FindExtensionByName(name)
	if err != nil {
		return nil, err
	}
	return found.TypeDescriptor(), nil
}

func (globalTypes) FindExtensionByNumber(message protoreflect.FullName, number protoreflect.FieldNumber) (protoreflect.ExtensionDescriptor, error) {
	found, err := protoregistry.GlobalTypes.FindExtensionByNumber(message, number)
	if err != nil {
		return nil, err
	}
	return found.TypeDescriptor(), nil
}

func (e *edge) serve(t testing.TB) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.address = listener.Addr().String()
	e.url = "http://" + e.address
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: e, Protocols: protocols, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
}

// ServeHTTP implements http.Handler. It does what internal/gateway does, with
// no policy but one: the header x-refuse.
func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := protocols.Table.Detect(r)
	binding := e.bindings[r.URL.EscapedPath()]
	if binding == nil {
		e.errors.Write(w, r, p, status.Error(codes.Unimplemented, "unknown method"))
		return
	}
	p, ok := protocols.Table.OnPath(binding.Method, r, p)
	if !ok {
		e.errors.Write(w, r, p, rpcerror.New(http.StatusMethodNotAllowed, codes.Unimplemented, "not this way"))
		return
	}
	x := exchange.Exchange{W: exchange.FrontOf(w), R: r, BeforeHeader: func(h http.Header) { h.Set("X-Policy", "yes") }}
	client := p.Open(binding, x)
	result, err := e.call(binding.Method, p, r, client)
	if client.Finish(err, result.Trailer) == proxy.Aborted {
		panic(http.ErrAbortHandler)
	}
}

func (e *edge) call(m *transcoder.Method, p *transcoder.Protocol, r *http.Request, client proxy.Downstream) (proxy.Result, error) {
	if r.Header.Get("X-Refuse") != "" {
		return proxy.Result{}, rpcerror.New(http.StatusForbidden, codes.PermissionDenied, "not you")
	}
	var md proxy.Metadata
	if err := e.headers.Request(&md, r.Header, p.RPC); err != nil {
		return proxy.Result{}, err
	}
	ctx := r.Context()
	timeout, limited, err := transcoder.ClientTimeout(r.Header)
	if err != nil {
		return proxy.Result{}, err
	}
	if limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	if ctx, err = client.Open(ctx); err != nil {
		return proxy.Result{}, err
	}
	result := proxy.Relay(ctx, &proxy.Call{
		Downstream: client, Backend: e.upstream, Method: m.Path, Shape: m.Shape, Header: md,
	})
	return result, result.Err
}
