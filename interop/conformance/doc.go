// Package conformance runs the conformance tests of Connect
// (connectrpc.com/conformance) on the real gateway: thousands of calls by
// Connect, gRPC and gRPC-Web, well-formed and broken ones, each compared with what
// the protocols demand. It has tests alone.
//
// Their runner starts the server or the client under test as a program that
// takes its orders from standard input. Here that program is the test binary
// itself, as a stand-in: it starts a gateway and, beside it, the reference server
// or client that the gateway serves.
//
//	go test ./conformance
package conformance
