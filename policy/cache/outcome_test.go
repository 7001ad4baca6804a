package cache

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
)

// tried is a backend whose calls took a number of attempts.
type tried struct {
	proxy.Backend
	attempts int
}

// Call implements proxy.Backend.
func (b *tried) Call(ctx context.Context, path string, header proxy.Metadata, request proxy.Frame) (proxy.Reply, error) {
	reply, err := b.Backend.Call(ctx, path, header, request)
	reply.Tries.Attempts = b.attempts
	return reply, err
}

// TestUnknownOutcome: Traffic 127: a write drops answers where nobody knows whether it was
// carried out.
func TestUnknownOutcome(t *testing.T) {
	open := proxy.RefusedBy("circuit_breaker", status.Error(codes.Unavailable, "it gets none for now"))
	for name, test := range map[string]struct {
		err      error
		attempts int
		drops    bool
	}{
		"refused by an open breaker":            {open, 0, false},
		"refused by a breaker after an attempt": {open, 2, true},
		"never sent":                            {fmt.Errorf("%w: no server", transport.ErrUnsent), 1, false},
		"not looked at by the backend":          {fmt.Errorf("%w: it goes away", transport.ErrUnprocessed), 1, false},
		"never sent, after another attempt was": {fmt.Errorf("%w: no server", transport.ErrUnsent), 2, true},

		"refused by the backend":                  {failing(codes.FailedPrecondition), 1, false},
		"cancelled at the backend":                {failing(codes.Canceled), 1, true},
		"too late at the backend":                 {failing(codes.DeadlineExceeded), 1, true},
		"refused at the second attempt":           {failing(codes.FailedPrecondition), 2, true},
		"no word of the backend":                  {status.Error(codes.Unavailable, "the connection broke"), 1, true},
		"given up by the gateway":                 {status.Error(codes.Canceled, "the client went away"), 1, true},
		"carried out":                             {nil, 1, true},
		"refused by a backend without attempts":   {failing(codes.AlreadyExists), 0, false},
		"cancelled at a backend without attempts": {failing(codes.Canceled), 0, true},
	} {
		t.Run("Traffic 127: "+name, func(t *testing.T) {
			b := newBench(t)
			get := b.method("Get", `cache { ttl { seconds: 60 } tags: "shelf:{name}" }`, saying())
			ctx, cancel := context.WithCancel(t.Context())
			put := b.method("Put", `cache { invalidates: "shelf:{name}" }`, &server{answer: func(context.Context, int, string) (string, metadata.MD, error) {
				cancel() // the client goes while the backend works
				return "", nil, test.err
			}})
			writer, ok := put.wrapped.(*writes)
			if !ok {
				t.Fatalf("a write goes by %T", put.wrapped)
			}
			writer.Backend = &tried{writer.Backend, test.attempts}
			before := get.get("a")
			put.call(ctx, policytest.Request("192.0.2.1"), ask("a"))
			if got := get.get("a"); (got != before) != test.drops {
				t.Errorf("%s, then %s; want another one: %v", before, got, test.drops)
			}
		})
	}
}

// TestUnreadableWrite: Traffic 127: a write that nobody can read is refused: a client that sends
// one and goes away must not have all answers of all methods dropped.
func TestUnreadableWrite(t *testing.T) {
	b := newBench(t)
	get := b.method("Get", `cache { ttl { seconds: 60 } }`, saying())
	tagged := b.method("Get", `cache { ttl { seconds: 61 } tags: "shelf:{name}" }`, saying())
	backend := &server{answer: func(context.Context, int, string) (string, metadata.MD, error) {
		return "", nil, status.Error(codes.Canceled, "the client went away")
	}}
	put := b.method("Put", `cache { invalidates: "shelf:{name}" }`, backend)
	before := get.get("a") + tagged.get("a")
	for _, message := range [][]byte{{0xff}, {0x0a, 0x05, 'a'}, {0x07}} {
		r := policytest.Request("192.0.2.1")
		if got := put.call(t.Context(), r, message); got != codes.InvalidArgument.String() || r.RefusedBy != name {
			t.Errorf("%x: %s, refused by %q", message, got, r.RefusedBy)
		}
	}
	if n := backend.count(); n != 0 {
		t.Errorf("%d calls reached the backend, want none", n)
	}
	if got := get.get("a") + tagged.get("a"); got != before {
		t.Errorf("answers were dropped: %s, then %s", before, got)
	}
}
