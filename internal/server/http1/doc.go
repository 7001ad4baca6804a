// Package http1 serves the requests of HTTP/1.1 that have no body, which are most
// of a gateway's that a cache or a quick backend answers, at less than net/http's
// server takes for them (bench, scenario kept). Everything else it leaves to
// another server: at the first request that it does not serve, such as one with a
// body, of HTTP/1.0 or HTTP/2, with Upgrade or Expect, the connection is handed
// over for good, with what was read of it. What it answers is
// what net/http's server would, byte for byte but for where chunks are cut.
//
// It reads from connections that pass on sound heads alone, one request at a time,
// as those of package http1head do. It knows nothing of what is served.
//
//	s := &http1.Server{Handler: handler, Rest: &http.Server{Handler: handler}}
//	s.Serve(http1head.Listener(listener, heads))
//
// It is cheaper as nobody watches for a client that leaves until somebody asks for
// the Done of a request's context, as an answer is one write, and as little is
// made for a request that the last one had.
package http1
