// Package mirror is the field mirror: copies of unary calls go to another upstream, and
// nobody waits for what becomes of them.
package mirror

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/attempt"
)

const (
	name = "mirror"

	// maxCopy bounds a copy and its answer, in bytes, and maxCopies how many are under way to
	// one upstream, so that the memory for all is bounded.
	maxCopy   = 256 << 10
	maxCopies = 100
	// timeout is what a copy may take.
	timeout = 5 * time.Second

	// header tells the server that nobody reads its answer.
	header = "x-transom-mirror"
)

// Kind is the policy mirror.
func Kind() policy.Kind {
	return policy.Kind{Field: name, Compile: compile, Needs: []policy.Need{{Field: "mirror.upstream", Config: "upstreams"}}}
}

// part sends copies of the calls of one method.
type part struct {
	to       proxy.Backend
	upstream string
	rpc      string
	share    float64
	copies   *copies
	observer policy.Observer // may be nil
}

var _ policy.Wrapper = (*part)(nil)

// copies are those under way to one upstream; they outlive reloads.
type copies struct {
	n       atomic.Int64
	ctx     context.Context // ends with the State
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// key is that of copies in the State.
type key struct{ upstream string }

// Close implements io.Closer: it ends what is under way.
func (c *copies) Close() error {
	c.cancel()
	c.running.Wait()
	return nil
}

func compile(s *policy.Scope) policy.Part {
	rule := s.Policy.GetMirror()
	if rule == nil || !applies(s) {
		return nil
	}
	before := s.Noted()
	p := &part{upstream: rule.GetUpstream(), rpc: s.RPC, share: 1, observer: s.Observer}
	if rule.Percent != nil {
		if n := rule.GetPercent(); !(n > 0 && n <= 100) {
			s.Refuse("mirror.percent", "mirror.percent: found %v, expected more than 0 and up to 100", n)
		}
		p.share = rule.GetPercent() / 100
	}
	if p.to = s.Backends(p.upstream); p.to == nil {
		s.Refuse("mirror.upstream", "mirror.upstream: found %q, expected the name of a gRPC upstream%s", p.upstream, s.KnownUpstreams(p.upstream))
	}
	if limiting, ok := p.to.(interface{ Limiting(int) *attempt.GRPC }); ok {
		p.to = limiting.Limiting(maxCopy)
	}
	if s.Noted() > before || s.Suppresses("mirror.upstream") {
		return nil
	}
	var err error
	p.copies, err = policy.Lease(s.Generation, key{p.upstream}, func() (*copies, error) {
		c := &copies{}
		c.ctx, c.cancel = context.WithCancel(context.Background())
		return c, nil
	})
	if err != nil {
		s.Refuse(name, "%v", err)
		return nil
	}
	return p
}

// applies reports whether calls of the target can be copied. What is inherited and cannot
// hold is left out.
func applies(s *policy.Scope) bool {
	var why string
	switch {
	case s.Method == nil:
		why = "it is for unary gRPC methods, and this is a plain HTTP route: remove it"
	case s.Upstream == "" && len(s.Config.GetUpstreams()) > 0:
		return false // a service of the gateway's own
	case s.Stream():
		why = "it is for unary methods, and this one streams: remove it"
	case !s.Policy.GetMirror().GetSideEffects() && !harmless(s):
		why = "a copy may have side effects, as the proto does not say otherwise: set the method's option idempotency_level to IDEMPOTENT or " +
			"NO_SIDE_EFFECTS, if that is what it is, or mirror.side_effects: true"
	default:
		return true
	}
	if s.Exact(name) {
		s.Refuse(name, "mirror: %s", why)
	} else {
		s.Leave(name)
	}
	return false
}

// harmless reports whether the proto says that a call may be made twice.
func harmless(s *policy.Scope) bool {
	options, ok := s.Method.Options().(*descriptorpb.MethodOptions)
	return ok && options.GetIdempotencyLevel() != descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN
}

// Name implements policy.Part.
func (*part) Name() string { return name }

// Summary is one line for explain.
func (p *part) Summary() string {
	return fmt.Sprintf("%.4g %% of the calls to %s, too", 100*p.share, p.upstream)
}

// Decides implements policy.Wrapper: it refuses no call.
func (*part) Decides() bool { return false }

// Wrap implements policy.Wrapper.
func (p *part) Wrap(next proxy.Backend) proxy.Backend { return &backend{next, p} }

// backend is one whose calls are copied.
type backend struct {
	proxy.Backend
	mirror *part
}

// Call implements proxy.Backend.
func (b *backend) Call(ctx context.Context, method string, header proxy.Metadata, request proxy.Frame) (proxy.Reply, error) {
	if p := b.mirror; p.share >= 1 || rand.Float64() < p.share {
		p.count(p.send(method, header, &request))
	}
	return b.Backend.Call(ctx, method, header, request)
}

// send sends a copy of a call and does not wait for it. It returns what to count, "" for
// nothing yet.
func (p *part) send(method string, md proxy.Metadata, request *proxy.Frame) string {
	if request.Len() > maxCopy {
		return "too_large"
	}
	c := p.copies
	if c.n.Add(1) > maxCopies {
		c.n.Add(-1)
		return "too_many"
	}
	if c.ctx.Err() != nil {
		c.n.Add(-1)
		return "failed"
	}
	message, told := bytes.Clone(request.Bytes()), slices.Clone(md)
	told.Set(header, "1")
	c.running.Go(func() {
		defer c.n.Add(-1)
		ctx, cancel := context.WithTimeout(c.ctx, timeout)
		defer cancel()
		reply, err := p.to.Call(ctx, method, told, proxy.WrapFrame(message))
		reply.Message.Free()
		if err != nil {
			p.count("failed")
			return
		}
		p.count("answered")
	})
	return ""
}

// count counts what became of a copy.
func (p *part) count(result string) {
	if result != "" && p.observer != nil {
		p.observer.Decision(name, p.rpc, result)
	}
}
