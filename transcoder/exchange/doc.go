// Package exchange has what an edge needs of the server in front of it: the request, the
// header and body of the answer, deadlines, and how the two halves of a call share one
// connection. What it knows of net/http stands in net_http.go, and nowhere else among the
// edges.
//
//	x := exchange.Exchange{W: exchange.FrontOf(w), R: r, Readings: &readings}
//
// Another server brings a [Front] of its own. It costs a unary call nothing that can be
// measured where the Front is part of the call's own memory, as internal/gateway's is
// (bench/README.md has the figures). The request is an *http.Request whoever has read it:
// internal/gateway finds routes by it and policies see it, so that a server that reads
// requests by itself fills one. What such a server has to mind besides: the errors of its
// bodies are told from others by [ServerLimit] and [IsMisframed], trailers are announced by
// [TrailerPrefix], and [Exchange.Abort] and [Exchange.CloseConnection] speak to it as to
// net/http.
package exchange
