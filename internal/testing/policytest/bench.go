// Package policytest helps to test policies: benches that compile policies of the
// kinds a test names, requests, and the tokens, sessions and schemas that many tests
// need. It knows no kind, so that the packages of all of them can use it.
package policytest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Clock is a clock that stands still until it is moved.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock is a clock at Noon.
func NewClock() *Clock { return &Clock{now: Noon} }

// Now is the time of the clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Bench compiles policies for one method, over and over, as reloads do.
type Bench struct {
	// Inherited tells that policies stand at a wider place than the method.
	Inherited bool
	// Authorization is that of the environment.
	Authorization []string

	t        testing.TB
	State    *policy.State
	Config   *transomv1.Config
	Method   protoreflect.MethodDescriptor
	Observer policy.Observer
	kinds    []policy.Kind
}

// NewBench makes the bench of some kinds.
func NewBench(t testing.TB, options policy.StateOptions, kinds ...policy.Kind) *Bench {
	t.Helper()
	state := policy.NewState(options)
	t.Cleanup(func() {
		if err := state.Close(); err != nil {
			t.Error(err)
		}
	})
	return &Bench{t: t, State: state, Config: &transomv1.Config{}, Method: TestMethod("UnaryCall"), kinds: kinds}
}

// TestMethod is a method of gRPC's own test service.
func TestMethod(name protoreflect.Name) protoreflect.MethodDescriptor {
	return grpc_testing.File_grpc_testing_test_proto.Services().ByName("TestService").Methods().ByName(name)
}

// compile makes the Set of a policy in text form.
func (b *Bench) compile(text string) (*policy.Set, policy.Problems) {
	b.t.Helper()
	c, problems := policy.New(b.kinds, policy.Environment{Config: b.Config, State: b.State, Observer: b.Observer, Authorization: b.Authorization})
	b.t.Cleanup(c.Close)
	if len(problems) > 0 {
		return nil, problems
	}
	return c.Compile(b.Target(text))
}

// Target is the bench's method with a policy in text form.
func (b *Bench) Target(text string) policy.Target {
	b.t.Helper()
	p := &transomv1.Policy{}
	if err := prototext.Unmarshal([]byte(text), p); err != nil {
		b.t.Fatal(err)
	}
	t := policy.Target{Method: b.Method, RPC: "plain", Layers: []policy.Layer{{Policy: p, Where: "test.proto:7:3", Exact: !b.Inherited}}}
	if b.Method != nil {
		t.RPC = string(b.Method.Parent().FullName()) + "/" + string(b.Method.Name())
	}
	return t
}

// Set compiles a policy in text form that must be good.
func (b *Bench) Set(text string) *policy.Set {
	b.t.Helper()
	s, problems := b.compile(text)
	if len(problems) > 0 {
		b.t.Fatalf("the policy does not compile:\n%v", problems)
	}
	return s
}

// Refused compiles what must not compile, and looks for words in the problems.
func (b *Bench) Refused(text string, words ...string) {
	b.t.Helper()
	_, problems := b.compile(text)
	if len(problems) == 0 {
		b.t.Errorf("%s compiled, want a problem about %q", text, words)
		return
	}
	for _, word := range words {
		if !strings.Contains(problems.Error(), word) {
			b.t.Errorf("%s: found the problem %q, want words %q", text, problems, word)
		}
	}
	if p := problems[0]; p.File != "test.proto" || p.Line != 7 || p.Column != 3 {
		b.t.Errorf("%s: the problem %q has no place", text, p)
	}
}

// GenerationOf is a Kind that hands out the generation it is opened for.
func GenerationOf(g **policy.Generation) policy.Kind {
	return policy.Kind{Field: "test", Open: func(opened *policy.Generation) { *g = opened }, Compile: func(*policy.Scope) policy.Part { return nil }}
}

// ScopeOf is the scope of a plain HTTP route without policies.
func ScopeOf(t testing.TB) (scope *policy.Scope) {
	t.Helper()
	b := NewBench(t, policy.StateOptions{})
	c, _ := policy.New([]policy.Kind{{Compile: func(s *policy.Scope) policy.Part { scope = s; return nil }}}, policy.Environment{State: b.State})
	t.Cleanup(c.Close)
	_, _ = c.Compile(policy.Target{})
	return scope
}

// Request is a call from an address with headers, "name: value" each.
func Request(address string, headers ...string) *policy.Request {
	r := &policy.Request{
		HTTP:           httptest.NewRequest(http.MethodPost, "https://gateway.example/v1/things", nil),
		RPC:            "grpc.testing.TestService/UnaryCall",
		ResponseHeader: http.Header{},
		ClientIP:       netip.MustParseAddr(address),
		RequestID:      "req-1",
		Protocol:       "rest",
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.HTTP.Header.Add(name, value)
	}
	return r
}

// Admit asks the Set and forgets the context.
func Admit(s *policy.Set, r *policy.Request) error {
	_, err := s.Admit(context.Background(), r)
	return err
}

// CountAdmitted sends n calls and counts those that were let in.
func CountAdmitted(s *policy.Set, n int, make func() *policy.Request) int {
	admitted := 0
	for range n {
		if Admit(s, make()) == nil {
			admitted++
		}
	}
	return admitted
}
