// Package http1head checks the framing of HTTP/1 requests at the connection, before
// net/http reads them. Where net/http repairs or ignores (a Content-Length beside a
// Transfer-Encoding, folded lines, HTTP/1.0 with chunks, whitespace before a colon in
// trailers), a Scanner refuses, and what net/http would refuse in its own words is
// refused here in the client's. What is accepted passes on byte for byte, without a
// copy. It knows heads and where bodies end, and nothing of routes, protocols above
// HTTP.
//
//	listener = http1head.Listener(listener, http1head.Options{MaxHead: 256 << 10, Answer: answer})
//	server.Serve(listener)
//
// HTTP/2 with prior knowledge passes untouched, and so does what follows a request that
// was answered 101. Under TLS a Conn is made of the connection after its handshake.
package http1head
