package httpcache

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/cache/internal/memory"
	"github.com/transom-gateway/transom/proxy/httpbackend"
)

// origin is a way to a server, which says by serve how it answers.
type origin struct {
	asked atomic.Int64
	serve func(ctx context.Context, w http.ResponseWriter, r *http.Request) error
}

var _ httpbackend.Way = (*origin)(nil)

// begun is where an answer goes of which the exchange is told.
type begun struct {
	http.ResponseWriter
	x      *httpbackend.Exchange
	status int
}

// WriteHeader implements http.ResponseWriter.
func (b *begun) WriteHeader(status int) {
	if status >= 200 {
		b.status = status
		if b.x.Answer != nil {
			b.x.Answer(status, "origin:80", b.Header())
		}
	}
	b.ResponseWriter.WriteHeader(status)
}

// Forward implements httpbackend.Way.
func (o *origin) Forward(ctx context.Context, x *httpbackend.Exchange) httpbackend.Result {
	o.asked.Add(1)
	w := &begun{ResponseWriter: x.W, x: x}
	err := o.serve(ctx, w, x.R)
	return httpbackend.Result{Status: w.status, Err: err, Aborted: err != nil && w.status != 0}
}

// Detach implements httpbackend.Way.
func (o *origin) Detach(x *httpbackend.Exchange) *httpbackend.Exchange {
	own := *x
	own.R = x.R.Clone(context.Background())
	own.W, own.Answer = nil, nil
	delete(own.R.Header, "If-None-Match")
	delete(own.R.Header, "If-Modified-Since")
	return &own
}

// answering is an origin whose answers have a header and a body, known beforehand.
func answering(body string, header ...string) *origin {
	o := &origin{}
	o.serve = func(_ context.Context, w http.ResponseWriter, _ *http.Request) error {
		begin(w, 200, header...)
		_, err := w.Write([]byte(body))
		return err
	}
	return o
}

// begin writes the head of an answer; header has names and values in turn.
func begin(w http.ResponseWriter, status int, header ...string) {
	for i := 0; i < len(header); i += 2 {
		w.Header().Add(header[i], header[i+1])
	}
	w.WriteHeader(status)
}

// newPart makes a part whose answers are kept in a memory of its own.
func newPart(t testing.TB, edit func(*part)) *part {
	p := &part{rpc: "/**", flights: newFlights(memory.New(64 << 20)), now: time.Now, count: func(string) {}}
	p.group = &group{id: p.flights.groups.Add(1), rpc: p.rpc, flights: p.flights}
	if edit != nil {
		edit(p)
	}
	t.Cleanup(func() { _ = p.flights.Close() })
	return p
}

// client is one request and its answer.
type client struct {
	*httptest.ResponseRecorder
	request policy.Request
	x       httpbackend.Exchange
	result  httpbackend.Result
	stuck   chan struct{} // a write waits for it; nil: none does
	infos   []int
}

// Write implements io.Writer.
func (c *client) Write(p []byte) (int, error) {
	if c.stuck != nil {
		<-c.stuck
	}
	return c.ResponseRecorder.Write(p)
}

// WriteHeader implements http.ResponseWriter.
func (c *client) WriteHeader(status int) {
	if status < 200 {
		c.infos = append(c.infos, status)
		return
	}
	c.ResponseRecorder.WriteHeader(status)
}

func newClient(method, path string, header ...string) *client {
	c := &client{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	c.request = policy.Request{HTTP: r, Host: "site.example", Scheme: "http"}
	c.x = httpbackend.Exchange{W: c, R: r, Target: r.URL.RequestURI(), Host: r.Host}
	return c
}

// ask makes the request.
func (c *client) ask(ctx context.Context, p *part, o *origin) *client {
	c.result = p.Serve(ctx, &c.request, c.x.R.URL.RequestURI(), &c.x, o)
	return c
}

// get makes a GET of a path.
func get(p *part, o *origin, path string, header ...string) *client {
	return newClient("GET", path, header...).ask(context.Background(), p, o)
}

// expect compares what became of a request.
func (c *client) expect(t testing.TB, result string, status int, body string) {
	t.Helper()
	if c.request.Cache.Result != result || c.Code != status || c.Body.String() != body || c.result.Err != nil || c.result.Status != status {
		t.Errorf("%s, %d %q, %+v; want %s, %d %q", c.request.Cache.Result, c.Code, short(c.Body.Bytes()), c.result, result, status, short([]byte(body)))
	}
}

func short(b []byte) string {
	if len(b) > 40 {
		return string(b[:40]) + "…"
	}
	return string(bytes.Clone(b))
}

// blank is where answers go that a benchmark does not look at.
type blank struct{ header http.Header }

func (b *blank) Header() http.Header         { return b.header }
func (b *blank) WriteHeader(int)             {}
func (b *blank) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkHit is a request that is answered from memory, by sizes of its answer.
func BenchmarkHit(b *testing.B) {
	for _, size := range []int{100, 100_000} {
		b.Run(map[int]string{100: "100B", 100_000: "100KB"}[size], func(b *testing.B) {
			p, o := newPart(b, nil), answering(string(make([]byte, size)), "Cache-Control", "max-age=3600", "Content-Type", "text/plain", "Etag", `"a"`)
			get(p, o, "/a?b=c")
			c := newClient("GET", "/a?b=c", "Accept", "*/*", "Accept-Encoding", "gzip", "User-Agent", "bench")
			w := &blank{header: http.Header{}}
			c.x.W = w
			b.ReportAllocs()
			for b.Loop() {
				p.Serve(b.Context(), &c.request, "/a?b=c", &c.x, o)
			}
			if n := o.asked.Load(); n != 1 {
				b.Errorf("the origin was asked %d times", n)
			}
		})
	}
}

// TestHitAllocations: a hit copies nothing: what it allocates does not grow with the answer.
func TestHitAllocations(t *testing.T) {
	var counts [2]float64
	for i, size := range []int{10, 1_000_000} {
		p, o := newPart(t, nil), answering(string(make([]byte, size)), "Cache-Control", "max-age=3600")
		get(p, o, "/a")
		c := newClient("GET", "/a")
		c.x.W = &blank{header: http.Header{}}
		counts[i] = testing.AllocsPerRun(100, func() { p.Serve(t.Context(), &c.request, "/a", &c.x, o) })
	}
	if counts[0] > 3 || counts[1] > counts[0] {
		t.Errorf("hits allocate %v times; want up to 3, whatever their size", counts)
	}
}
