// Command bookstore-server runs the example backend by itself.
//
//	go run ./examples/bookstore/cmd/bookstore-server -addr localhost:50051
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/transom-gateway/transom/examples/bookstore"
)

func main() {
	addr := flag.String("addr", "localhost:50051", "where to listen, host:port")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	fmt.Fprintf(os.Stderr, "bookstore: gRPC at %s\n", *addr)
	if err := bookstore.Serve(ctx, *addr); err != nil {
		fmt.Fprintln(os.Stderr, "bookstore-server:", err)
		os.Exit(1)
	}
}
