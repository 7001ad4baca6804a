package mirror

import (
	"context"
	"io"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy/httpbackend"
)

// plain sends copies of the requests of one route.
type plain struct {
	sender
	all bool // of methods, too, that may have side effects
}

var _ policy.Part = (*plain)(nil)

// Mirror names the upstream that copies go to.
func (p *plain) Mirror() string { return p.upstream }

// Copy has a copy made of a request that is about to be forwarded, and sent to another
// upstream once its body is complete: what is forwarded of the body is kept meanwhile. The
// request is as it was when done is called, which has to be when it was forwarded; done is
// nil where there is nothing to do then.
func (p *plain) Copy(to *httpbackend.Upstream, x *httpbackend.Exchange) (done func()) {
	if !p.drawn() || !p.all && !repeatable(x.R.Method) {
		return nil
	}
	if x.R.ContentLength > maxCopy {
		p.count("too_large")
		return nil
	}
	c := to.Copied(x)
	if c == nil {
		return nil
	}
	if why := p.begin(); why != "" {
		p.count(why)
		return nil
	}
	if p.redacts {
		redactRequest(c)
	}
	c.Header[canonicalHeader] = []string{"1"}
	if x.R.Body == nil || x.R.ContentLength == 0 {
		p.send(to, c)
		return nil
	}
	b := &body{ReadCloser: x.R.Body, p: p, to: to, copy: c, length: x.R.ContentLength, most: maxCopy}
	if x.MaxBody > 0 && x.MaxBody < maxCopy {
		b.most, b.refused = int(x.MaxBody), true
	}
	x.R.Body = b
	return func() {
		x.R.Body = b.ReadCloser
		b.drop("incomplete")
	}
}

// send sends a copy that is complete.
func (p *plain) send(to *httpbackend.Upstream, c *httpbackend.Copy) {
	p.launch(func(ctx context.Context) bool { return to.Send(ctx, c, maxCopy) })
}

// body is the body of a request. What is read of it is kept for a copy, which is sent when
// the body is complete.
type body struct {
	io.ReadCloser
	p       *plain
	to      *httpbackend.Upstream
	copy    *httpbackend.Copy // nil once it was sent, or is none any more
	length  int64             // -1: not known
	most    int
	refused bool // with more than most bytes the request is refused
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.copy == nil {
		return n, err
	}
	switch size := len(b.copy.Body) + n; {
	case size > b.most && b.refused:
		b.drop("incomplete")
	case size > b.most:
		b.drop("too_large")
	default:
		b.copy.Body = append(b.copy.Body, p[:n]...)
		if err == io.EOF || int64(size) == b.length {
			c := b.copy
			b.copy = nil
			b.p.send(b.to, c)
		}
	}
	return n, err
}

// drop has no copy sent, if none was.
func (b *body) drop(why string) {
	if b.copy == nil {
		return
	}
	b.copy = nil
	b.p.end()
	b.p.count(why)
}
