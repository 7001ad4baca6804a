package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/transom-gateway/transom/examples/bookstore"
	"github.com/transom-gateway/transom/internal/server"
)

func newDemo(s streams) *cobra.Command {
	in := input{}
	overTLS := false
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run the bookstore example and a gateway in one process",
		Long: `Demo starts a real gRPC server, the bookstore, and a gateway in front of it. It
writes the bookstore's protos into a new folder that the gateway watches: edit
them and see the API change.`,
		Args: takes(0, 0, "none"),
		RunE: func(c *cobra.Command, _ []string) error { return demo(c.Context(), in, s, overTLS, nil) },
	}
	in.listenFlags(c)
	c.Flags().BoolVar(&overTLS, "tls", false, "serve TLS, with a certificate that is made at start")
	return c
}

// demo runs the example until ctx ends.
func demo(ctx context.Context, in input, s streams, overTLS bool, started func(*server.Server)) (err error) {
	folder, err := os.MkdirTemp("", "transom-demo-")
	if err != nil {
		return problem(err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if err := writeProtos(folder); err != nil {
		return problem(err)
	}
	load, certificate := in.load, ""
	if overTLS {
		secrets, err := os.MkdirTemp("", "transom-demo-tls-")
		if err != nil {
			return problem(err)
		}
		defer func() { _ = os.RemoveAll(secrets) }() // a temporary folder
		files, err := demoCertificate(secrets, in.listen)
		if err != nil {
			return problem(err)
		}
		load, certificate = withCertificate(load, files), files.GetCertificate()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return problem(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The bookstore ends after the gateway, which may still have calls to it.
	store, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	backend := make(chan error, 1)
	go func() {
		backend <- bookstore.ServeListener(store, l)
		cancel()
	}()
	in.folders = []string{folder}
	in.upstream = l.Addr().String()
	err = serve(ctx, load, s, func(running *server.Server) {
		printTour(s, running, folder, certificate)
		if started != nil {
			started(running)
		}
	})
	end()
	return errors.Join(err, <-backend)
}

func writeProtos(folder string) error {
	protos, err := fs.Sub(bookstore.Protos, "protos")
	if err != nil {
		return err
	}
	return os.CopyFS(folder, protos)
}

// printTour says what to try.
func printTour(s streams, running *server.Server, folder, certificate string) {
	base := "http://" + browsable(running.Addresses()[0])
	if certificate != "" {
		base = "https://" + browsable(running.Addresses()[0])
	}
	_, _ = fmt.Fprintf(s.out, "\nThe bookstore is served. Its page: %s/\n", base)
	if certificate != "" {
		_, _ = fmt.Fprint(s.out, "The certificate has signed itself: a browser warns of it, and goes on if you tell it to.\n")
	}
	tour := bookstore.Tour(base)
	for i, line := range tour {
		if certificate != "" {
			tour[i] = strings.Replace(line, "curl ", "curl --cacert "+certificate+" ", 1)
		}
	}
	printLines(s, "In a terminal", tour)
	printLines(s, "By gRPC, on the same port", bookstore.TourByGRPC(browsable(running.Addresses()[0]), certificate))
	printLines(s, "In the console of that page, by EventSource and WebSocket", bookstore.TourInConsole())
	_, _ = fmt.Fprintf(s.out, "\nIts protos are in %s:\nedit one and see the API change.", filepath.Clean(folder))
	if address := running.Admin(); address != nil {
		_, _ = fmt.Fprintf(s.out, " Console, metrics, health: http://%s", address)
	}
	_, _ = fmt.Fprint(s.out, "\n\n")
}

func printLines(s streams, where string, lines []string) {
	_, _ = fmt.Fprintf(s.out, "\n%s:\n\n", where)
	for _, line := range lines {
		_, _ = fmt.Fprintf(s.out, "  %s\n", line)
	}
}

// browsable makes an address that a client can use of one to listen on.
func browsable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(strings.Trim(host, "[]")); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
