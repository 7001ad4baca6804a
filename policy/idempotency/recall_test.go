package idempotency

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
)

// counting is a backend that says how often it was called, or fails.
type counting struct {
	proxy.Backend
	calls int
	err   error
}

// Call implements proxy.Backend.
func (b *counting) Call(_ context.Context, _ string, _ proxy.Metadata, request proxy.Frame) (proxy.Reply, error) {
	request.Free()
	b.calls++
	return proxy.Reply{Message: proxy.WrapFrame(fmt.Append(nil, "call ", b.calls)), Tries: proxy.Tries{Attempts: 1}}, b.err
}

// written is a request as its client wrote it. Its message is the body.
type written struct {
	key, rule, target, contentType, body string
	more                                 []string // headers
}

// send makes a call as the gateway does, and reports whether its message was not needed.
func (w written) send(t *testing.T, set *policy.Set, backend proxy.Backend) (answer string, recalled bool, err error) {
	t.Helper()
	r := policytest.Request("192.0.2.1", append([]string{header + ": " + w.key}, w.more...)...)
	ctx, err := set.Admit(t.Context(), r)
	defer set.Done(r, &policy.Outcome{})
	if err != nil {
		t.Fatal(err)
	}
	var reply proxy.Reply
	if set.Recalls(r) {
		reply, recalled, err = set.Recall(ctx, r, proxy.Source{Texts: [3]string{w.rule, w.target, w.contentType}, Body: []byte(w.body)})
		if recalled && r.Received != int64(len(w.body)) {
			t.Errorf("%+v: the message is said to have %d bytes", w, r.Received)
		}
	}
	if !recalled {
		reply, err = set.Wrap(backend).Call(policy.NewContext(ctx, r), "/grpc.testing.TestService/UnaryCall", r.Metadata, proxy.WrapFrame([]byte(w.body)))
	}
	if replayed := r.ResponseHeader.Get(replayed); recalled && replayed != "true" || !r.Replayed && replayed != "" {
		t.Errorf("%+v: %s: %q", w, header, replayed)
	}
	return string(reply.Message.Bytes()), recalled, err
}

// TestRecall: Traffic 83, 85, 91: the answer is recalled for the same bytes of the same request, and what was
// written otherwise is judged by its message.
func TestRecall(t *testing.T) {
	bench := policytest.NewBench(t, policy.StateOptions{}, Kind())
	const text = `idempotency_key { scope: METHOD }`
	set, backend := bench.Set(text), &counting{}
	first := written{key: "one", rule: "POST /v1/things", target: "/v1/things?a=1", contentType: "application/json", body: "\x0a\x01a"}
	for i := range 3 {
		if answer, recalled, err := first.send(t, set, backend); err != nil || answer != "call 1" || recalled != (i > 0) {
			t.Fatalf("call %d: %q, recalled: %v, %v", i, answer, recalled, err)
		}
	}
	change := func(f func(w *written)) written {
		w := first
		f(&w)
		return w
	}
	for _, test := range []struct {
		what    string
		request written
		set     *policy.Set
		want    string
	}{
		{"by another rule", change(func(w *written) { w.rule = "PUT /v1/things" }), set, "call 1"},
		{"to another target", change(func(w *written) { w.target = "/v1/things?a=2" }), set, "call 1"},
		{"of another type", change(func(w *written) { w.contentType = "text/json" }), set, "call 1"},
		{"what stands on either side of a border", change(func(w *written) { w.rule, w.target = "POST /v1/things/", "v1/things?a=1" }), set, "call 1"},
		{"with another message", change(func(w *written) { w.body = "\x0a\x01b" }), set, "InvalidArgument"},
		{"with no message", change(func(w *written) { w.body = "" }), set, "InvalidArgument"},
		{"with another key", change(func(w *written) { w.key = "two" }), set, "call 2"},
		{"with a key in quotes", change(func(w *written) { w.key = `"one"` }), set, "recalled call 1"},
		{"with a bad key", change(func(w *written) { w.key = "o n e" }), set, "InvalidArgument"},
		{"with two keys", change(func(w *written) { w.more = []string{header + ": one"} }), set, "InvalidArgument"},
		{"once the schema has been loaded again", first, bench.Set(text), "call 1"},
	} {
		answer, recalled, err := test.request.send(t, test.set, backend)
		if recalled {
			answer = "recalled " + answer
		}
		if err != nil {
			answer = status.Code(err).String()
		}
		if answer != test.want {
			t.Errorf("%s: %s (%v), want %s", test.what, answer, err, test.want)
		}
	}
}

// TestRecallErrors: Traffic 89, 90: an error that is kept is recalled, and a key of which nobody knows
// whether its call was made is not: its answer is the refusal.
func TestRecallErrors(t *testing.T) {
	bench := policytest.NewBench(t, policy.StateOptions{}, Kind())
	set := bench.Set(`idempotency_key { scope: METHOD }`)
	for _, test := range []struct {
		err      error
		again    codes.Code
		calls    int
		recalled bool
	}{
		{transport.Told(status.New(codes.FailedPrecondition, "no money")), codes.FailedPrecondition, 1, true},
		{transport.Told(status.New(codes.Unavailable, "come again")), codes.Unavailable, 2, false},
		{status.Error(codes.Unavailable, "the connection broke"), codes.Unavailable, 1, false},
	} {
		backend, request := &counting{err: test.err}, written{key: fmt.Sprintf("%v-%d", test.again, test.calls), body: "\x0a\x01a"}
		if _, recalled, err := request.send(t, set, backend); recalled || !errors.Is(err, test.err) {
			t.Errorf("%v: the first call was answered %v, recalled: %v", test.err, err, recalled)
		}
		_, recalled, err := request.send(t, set, backend)
		if status.Code(err) != test.again || recalled != test.recalled || backend.calls != test.calls {
			t.Errorf("%v: the second call was answered %v, recalled: %v; %d calls", test.err, err, recalled, backend.calls)
		}
	}
}

// reader is a policy that sees messages.
type reader struct{ policy.Part }

func (reader) Name() string                                           { return "reader" }
func (reader) Message(context.Context, *policy.Request, []byte) error { return nil }

// watcher is a policy that stands before the others, and sees some calls.
type watcher struct{ policy.Part }

func (watcher) Name() string                          { return "watcher" }
func (watcher) Decides() bool                         { return false }
func (watcher) Wrap(next proxy.Backend) proxy.Backend { return next }
func (watcher) Concerns(r *policy.Request) bool       { return r.HTTP.Header.Get("Watched") != "" }

// TestRecallNot: where a policy is to see the message, or that has the key, it is read.
func TestRecallNot(t *testing.T) {
	request := written{key: "one", body: "\x0a\x01a"}
	for _, test := range []struct {
		what string
		text string
		part policy.Part
		want bool
	}{
		{"alone", "", nil, true},
		{"with the key in the message", ` field: "owner"`, nil, false},
		{"behind a policy that reads messages", "", reader{}, false},
		{"behind a wrapper that sees some calls", "", watcher{}, true},
	} {
		kinds := []policy.Kind{Kind()}
		if test.part != nil {
			kinds = append([]policy.Kind{{Compile: func(*policy.Scope) policy.Part { return test.part }}}, kinds...)
		}
		bench := policytest.NewBench(t, policy.StateOptions{}, kinds...)
		bench.Method = policytest.ShopMethod("Buy")
		set, backend := bench.Set(`idempotency_key { scope: METHOD`+test.text+` }`), &counting{}
		for i := range 3 {
			request := request
			if i == 2 {
				request.more = []string{"Watched: yes"}
			}
			_, recalled, err := request.send(t, set, backend)
			if want := test.want && (i == 1 || i == 2 && test.part == nil); recalled != want || err != nil {
				t.Errorf("%s: call %d: recalled: %v, %v", test.what, i, recalled, err)
			}
		}
	}
}
