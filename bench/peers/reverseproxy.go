package peers

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
)

// serveReverseProxy is net/http's own proxy in front of the JSON server, with
// a BufferPool and with enough idle connections (the default of two would
// measure connecting).
func serveReverseProxy(ctx context.Context, listener net.Listener, backends Backends) error {
	target := &url.URL{Scheme: "http", Host: backends.JSON}
	transport := http.DefaultTransport.(*http.Transport).Clone() // As net/http documents.
	transport.MaxIdleConnsPerHost = 256
	defer transport.CloseIdleConnections()
	proxy := &httputil.ReverseProxy{
		Rewrite:    func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:  transport,
		BufferPool: &buffers{},
	}
	return serveHTTP(ctx, listener, proxy)
}

// buffers is a pool of 32 KB, the size that ReverseProxy makes by itself.
type buffers struct{ pool sync.Pool }

// Interface guard.
var _ httputil.BufferPool = (*buffers)(nil)

// Get returns a buffer that nobody else uses.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

// Put takes a buffer back.
func (b *buffers) Put(p []byte) { b.pool.Put(&p) }
