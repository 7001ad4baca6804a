// Package grpctest runs servers of gRPC on loopback and connects to them, for as long as
// a test lasts.
//
//	server := grpc.NewServer()
//	pb.RegisterShopServer(server, shop)
//	conn := grpctest.Dial(t, grpctest.Serve(t, server))
package grpctest

import (
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/transom-gateway/transom/internal/testing/loopback"
)

// Serve serves on a free port until the test ends, and returns the address. The server
// may be stopped before: nobody else has its address then.
func Serve(t testing.TB, server *grpc.Server) (address string) {
	t.Helper()
	l := loopback.Listen(t)
	ServeOn(t, l, server)
	return l.Addr().String()
}

// ServeOn serves on a listener until the test ends. The server may be stopped before.
func ServeOn(t testing.TB, l net.Listener, server *grpc.Server) {
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l) // it ends by Stop
	}()
	t.Cleanup(func() {
		server.Stop()
		<-served
	})
}

// ServeAny is Serve of a server with one handler for every method.
func ServeAny(t testing.TB, handler grpc.StreamHandler, options ...grpc.ServerOption) (address string) {
	t.Helper()
	return Serve(t, grpc.NewServer(append(options, grpc.UnknownServiceHandler(handler))...))
}

// Dial connects in cleartext until the test ends.
func Dial(t testing.TB, address string, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
