// Package mirror is the field mirror: copies of unary calls, and of the requests of plain HTTP
// routes, go to another upstream, and nobody waits for what becomes of them.
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

	"github.com/transom-gateway/transom/internal/projection"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
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

// sender sends copies of the calls of one method, or of the requests of one route.
type sender struct {
	upstream string
	rpc      string
	share    float64
	redacts  bool
	copies   *copies
	decided  func(result string)
}

// part sends copies of the calls of one method.
type part struct {
	sender
	to       proxy.Backend
	redactor *projection.Projection // of messages; nil: they go as they are
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

// Name implements policy.Part.
func (*sender) Name() string { return name }

// Summary is one line for explain.
func (p *sender) Summary() string {
	text := fmt.Sprintf("%.4g %% of the calls to %s, too", 100*p.share, p.upstream)
	if p.redacts {
		text += ", redacted"
	}
	return text
}

// drawn decides whether a call is copied.
func (p *sender) drawn() bool { return p.share >= 1 || rand.Float64() < p.share }

// begin takes a place among the copies under way, and says why there is none. end gives it
// back.
func (p *sender) begin() string {
	c := p.copies
	switch {
	case c.n.Add(1) > maxCopies:
		c.n.Add(-1)
		return "too_many"
	case c.ctx.Err() != nil:
		c.n.Add(-1)
		return "failed"
	}
	return ""
}

func (p *sender) end() { p.copies.n.Add(-1) }

// launch has a copy sent that has its place, without waiting for it.
func (p *sender) launch(send func(ctx context.Context) bool) {
	p.copies.running.Go(func() {
		defer p.end()
		ctx, cancel := context.WithTimeout(p.copies.ctx, timeout)
		defer cancel()
		if send(ctx) {
			p.count("answered")
		} else {
			p.count("failed")
		}
	})
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
	if p := b.mirror; p.drawn() {
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
	if why := p.begin(); why != "" {
		return why
	}
	message, told := bytes.Clone(request.Bytes()), slices.Clone(md)
	p.launch(func(ctx context.Context) bool {
		if p.redacts {
			told.DelFunc(isCredential)
			less, err := p.redactor.Append(make([]byte, 0, len(message)), message)
			if err != nil {
				return false
			}
			message = less
		}
		told.Set(header, "1")
		reply, err := p.to.Call(ctx, method, told, proxy.WrapFrame(message))
		reply.Message.Free()
		return err == nil
	})
	return ""
}

// count counts what became of a copy.
func (p *sender) count(result string) {
	if result != "" {
		p.decided(result)
	}
}
