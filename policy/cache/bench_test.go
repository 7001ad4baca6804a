package cache

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/bufbuild/protocompile"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
)

const source = `syntax = "proto3"; package t;
message Ask { string name = 1; int64 n = 2; enum E { ZERO = 0; ONE = 1; } E e = 3; Ask of = 4; bool b = 5; repeated string many = 6; bytes raw = 7; sint32 s = 8; fixed64 f = 9; }
message Told { string name = 1; string text = 2; }
service S {
  rpc Get(Ask) returns (Told) { option idempotency_level = NO_SIDE_EFFECTS; }
  rpc Other(Ask) returns (Told) { option idempotency_level = NO_SIDE_EFFECTS; }
  rpc Put(Ask) returns (Told);
  rpc Watch(Ask) returns (stream Told) { option idempotency_level = NO_SIDE_EFFECTS; }
}`

// service is that of source.
func service(t testing.TB) protoreflect.ServiceDescriptor {
	t.Helper()
	c := protocompile.Compiler{Resolver: &protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(map[string]string{"t.proto": source})}}
	files, err := c.Compile(context.Background(), "t.proto")
	if err != nil {
		t.Fatal(err)
	}
	return files[0].Services().Get(0)
}

// authKind knows the field auth, and admits all.
var authKind = policy.Kind{Field: "auth", Compile: func(*policy.Scope) policy.Part { return nil }}

// bench compiles policies of one service.
type bench struct {
	*policytest.Bench
	t       testing.TB
	clock   *policytest.Clock
	service protoreflect.ServiceDescriptor
}

func newBench(t testing.TB) *bench {
	clock := policytest.NewClock()
	b := &bench{policytest.NewBench(t, policy.StateOptions{Now: clock.Now}, authKind, Kind()), t, clock, service(t)}
	b.Config = &transomv1.Config{}
	return b
}

// caching is a method with its policy, in front of a backend.
type caching struct {
	set     *policy.Set
	wrapped proxy.Backend
	path    string
}

func (b *bench) method(name protoreflect.Name, text string, backend proxy.Backend) *caching {
	b.t.Helper()
	b.Method = b.service.Methods().ByName(name)
	set := b.Set(text)
	return &caching{set, set.Wrap(backend), "/t.S/" + string(name)}
}

// server is a backend that answers as it is told, and counts.
type server struct {
	proxy.Backend
	mu     sync.Mutex
	calls  int
	answer func(ctx context.Context, n int, request string) (string, metadata.MD, error)
}

func (s *server) Call(ctx context.Context, _ string, _ proxy.Metadata, request proxy.Frame) (proxy.Reply, error) {
	s.mu.Lock()
	s.calls++
	n := s.calls
	s.mu.Unlock()
	text, md, err := s.answer(ctx, n, string(request.Bytes()))
	request.Free()
	return proxy.Reply{Message: proxy.NewFrame(told(text)), Header: md}, err
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// saying is a backend whose answers have numbers.
func saying(pairs ...string) *server {
	return &server{answer: func(_ context.Context, n int, _ string) (string, metadata.MD, error) {
		return string(rune('0' + n)), metadata.Pairs(pairs...), nil
	}}
}

// told is a message Told with a text.
func told(text string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), text)
}

// ask is a message Ask with a name.
func ask(name string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), name)
}

// call makes a call and returns the text of its answer, or the code.
func (m *caching) call(ctx context.Context, r *policy.Request, request []byte) string {
	text, _ := m.reply(ctx, r, request)
	return text
}

func (m *caching) reply(ctx context.Context, r *policy.Request, request []byte) (string, error) {
	ctx, err := m.set.Admit(ctx, r)
	defer m.set.Done(r, &policy.Outcome{})
	if err != nil {
		return status.Code(err).String(), err
	}
	reply, err := m.wrapped.Call(policy.NewContext(ctx, r), m.path, r.Metadata, proxy.WrapFrame(request))
	defer reply.Message.Free()
	if err != nil {
		return status.Code(err).String(), err
	}
	value := reply.Message.Bytes()
	_, _, n := protowire.ConsumeTag(value)
	text, _ := protowire.ConsumeString(value[n:])
	return text, nil
}

// get calls with a name.
func (m *caching) get(name string, headers ...string) string {
	return m.call(context.Background(), policytest.Request("192.0.2.1", headers...), ask(name))
}

// as is a request of a principal.
func as(principal string, edit ...func(*policy.Identity)) *policy.Request {
	r := policytest.Request("192.0.2.1", "Authorization: Bearer x")
	r.Identity = &policy.Identity{Principal: principal, Mechanism: "jwt"}
	for _, e := range edit {
		e(r.Identity)
	}
	return r
}

// failing is the status that a backend gave.
func failing(code codes.Code) error { return transport.Told(status.New(code, "told")) }

const minute = time.Minute
