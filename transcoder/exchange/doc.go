// Package exchange has what an edge needs of the server in front of it: the request, the
// header and body of the answer, deadlines, and how the two halves of a call share one
// connection. What it knows of net/http stands in net_http.go, and nowhere else among the
// edges.
//
//	x := exchange.Exchange{W: exchange.FrontOf(w), R: r, Readings: &readings}
package exchange
