package policy

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

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// clock is a clock that stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// bench compiles policies for one method, over and over, as reloads do.
type bench struct {
	t        testing.TB
	state    *State
	config   *transomv1.Config
	method   protoreflect.MethodDescriptor
	observer Observer
	kinds    []Kind
}

// newBench makes the bench of some kinds.
func newBench(t testing.TB, options StateOptions, kinds ...Kind) *bench {
	t.Helper()
	state := NewState(options)
	t.Cleanup(func() {
		if err := state.Close(); err != nil {
			t.Error(err)
		}
	})
	return &bench{t: t, state: state, config: &transomv1.Config{}, method: testMethod("UnaryCall"), kinds: kinds}
}

func testMethod(name protoreflect.Name) protoreflect.MethodDescriptor {
	return grpc_testing.File_grpc_testing_test_proto.Services().ByName("TestService").Methods().ByName(name)
}

// compile makes the Set of a policy in text form.
func (b *bench) compile(text string) (*Set, Problems) {
	b.t.Helper()
	c, problems := New(b.kinds, Environment{Config: b.config, State: b.state, Observer: b.observer})
	b.t.Cleanup(c.Close)
	if len(problems) > 0 {
		return nil, problems
	}
	return c.Compile(b.target(text))
}

func (b *bench) target(text string) Target {
	b.t.Helper()
	p := &transomv1.Policy{}
	if err := prototext.Unmarshal([]byte(text), p); err != nil {
		b.t.Fatal(err)
	}
	t := Target{Method: b.method, RPC: "plain", Layers: []Layer{{Policy: p, Where: "test.proto:7:3", Exact: true}}}
	if b.method != nil {
		t.RPC = string(b.method.Parent().FullName()) + "/" + string(b.method.Name())
	}
	return t
}

func (b *bench) set(text string) *Set {
	b.t.Helper()
	s, problems := b.compile(text)
	if len(problems) > 0 {
		b.t.Fatalf("the policy does not compile:\n%v", problems)
	}
	return s
}

// refused compiles what must not compile, and looks for words in the problems.
func (b *bench) refused(text string, words ...string) {
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

// generationOf is a Kind that hands out the generation it is opened for.
func generationOf(g **Generation) Kind {
	return Kind{Field: "test", Open: func(opened *Generation) { *g = opened }, Compile: func(*Scope) Part { return nil }}
}

// scopeOf is the scope of a plain HTTP route without policies.
func scopeOf(t testing.TB) (scope *Scope) {
	t.Helper()
	b := newBench(t, StateOptions{})
	c, _ := New([]Kind{{Compile: func(s *Scope) Part { scope = s; return nil }}}, Environment{State: b.state})
	t.Cleanup(c.Close)
	_, _ = c.Compile(Target{})
	return scope
}

// request is a call from an address with headers, "name: value" each.
func request(address string, headers ...string) *Request {
	r := &Request{
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

// admit asks the Set and forgets the context.
func admit(s *Set, r *Request) error {
	_, err := s.Admit(context.Background(), r)
	return err
}

// countAdmitted sends n calls and counts those that were let in.
func countAdmitted(s *Set, n int, make func() *Request) int {
	admitted := 0
	for range n {
		if admit(s, make()) == nil {
			admitted++
		}
	}
	return admitted
}
