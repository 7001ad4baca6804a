// Package stream has the edge of streaming calls by plain HTTP: server-sent events, JSON
// lines, JSON arrays and uploads. Which RPC a request means, and how a message is made of
// path and query, is for package transcoder.
//
//	client := stream.Open(binding, x)
package stream
