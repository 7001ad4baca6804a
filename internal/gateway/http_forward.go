package gateway

import (
	"context"
	"net/http"

	"github.com/transom-gateway/transom/internal/httproute"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/httpbackend"
)

// httpForward sends the requests of a route to a plain HTTP upstream.
type httpForward struct {
	upstream *httpbackend.Upstream
	rewrite  httproute.Rewrite
	// host is the Host that the server sees; ofServer: its own. Neither: the client's.
	host     string
	ofServer bool
	// mapsBack: what the answer says of places is mapped to what the client sees.
	mapsBack bool
	upgrades []string
	maxBody  int64
	via      bool // answers carry Via
}

// serve implements httpAction.
func (f *httpForward) serve(ctx context.Context, c *call, d *httpDownstream) proxy.Result {
	x := httpbackend.Exchange{
		W: c.w, R: c.r,
		Target: withQuery(f.rewrite.Apply(c.match.clean), c.r), Host: f.hostFor(c),
		Header:   c.onHeader,
		Answer:   c.onAnswer,
		Upgrades: f.upgrades, MaxBody: f.maxBody, ViaAnswers: f.via,
	}
	if placing := c.route.guard.placing; placing != nil {
		x.Place = placing.place(placing.begin(ctx, c), nil)
	}
	result := f.upstream.Forward(ctx, &x)
	d.written, d.upgraded = result.Status, result.Upgraded
	return proxy.Result{Err: result.Err, Tries: result.Tries, RequestBytes: result.Sent, ResponseBytes: result.Received}
}

// hostFor is the Host that the server sees; "" for its own.
func (f *httpForward) hostFor(c *call) string {
	if f.host != "" || f.ofServer {
		return f.host
	}
	return c.r.Host
}

// withQuery is a path with the query of a request.
func withQuery(path string, r *http.Request) string {
	if r.URL.RawQuery == "" && !r.URL.ForceQuery {
		return path
	}
	return path + "?" + r.URL.RawQuery
}

// explain implements httpAction.
func (f *httpForward) explain(row func(name, format string, args ...any), c *call) {
	host := f.hostFor(c)
	if host == "" {
		host = "the server's own"
	}
	row("sends", "%s %s, Host: %s", c.r.Method, withQuery(f.rewrite.Apply(c.match.clean), c.r), host)
}
