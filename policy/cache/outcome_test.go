package cache

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/proxy"
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
	for name, test := range map[string]struct {
		err      error
		attempts int
		drops    bool
	}{
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
