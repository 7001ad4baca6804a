// Package peers holds the programs that the benchmark runs beside Transom: the
// backends, and the gateways it is compared with, each the way its users build
// it. They know nothing of load and figures. Each runs in a process of its own:
//
//	err := peers.Run(ctx, "grpc-gateway", peers.Backends{GRPC: "127.0.0.1:4001"}, os.Stdout)
package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/metrics"
	"slices"
	"strings"
)

// Backends are the addresses ("host:port") that a gateway sends calls to.
type Backends struct {
	// GRPC is the gRPC backend.
	GRPC string
	// JSON is the backend that answers the same in JSON.
	JSON string
}

// Address is what a peer says on its first line once it listens.
type Address struct {
	// Serve is where it takes calls, "host:port".
	Serve string `json:"serve"`
	// Debug is where GET / returns its Counters as JSON.
	Debug string `json:"debug"`
}

// Counters are a peer's own figures since its start.
type Counters struct {
	// Mallocs counts the heap objects ever allocated.
	Mallocs uint64 `json:"mallocs"`
}

// serve takes calls on a listener until ctx is done.
type serve func(ctx context.Context, listener net.Listener, backends Backends) error

var programs = map[string]serve{
	"backend":       serveBackend,
	"json-server":   serveJSON,
	"floor":         serveFloor,
	"grpc-gateway":  serveGRPCGateway,
	"vanguard":      serveVanguard,
	"reverse-proxy": serveReverseProxy,
	"grpc-proxy":    serveGRPCProxy,
}

// Names lists what Run can run.
func Names() []string {
	var names []string
	for name := range programs {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Run listens on free ports of the loopback interface, writes its Address to
// out as one line of JSON, and serves until ctx is done.
func Run(ctx context.Context, name string, backends Backends, out io.Writer) error {
	program, ok := programs[name]
	if !ok {
		return fmt.Errorf("there is no peer %q, expected one of %s", name, strings.Join(Names(), ", "))
	}
	listener, err := listen(ctx)
	if err != nil {
		return err
	}
	debug, err := listen(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	debugged := make(chan error, 1)
	go func() { debugged <- serveHTTP(ctx, debug, http.HandlerFunc(writeCounters)) }()
	line, err := json.Marshal(Address{Serve: listener.Addr().String(), Debug: debug.Addr().String()})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "%s\n", line); err != nil {
		return err
	}
	err = program(ctx, listener, backends)
	cancel()
	if e := <-debugged; err == nil {
		err = e
	}
	return err
}

func listen(ctx context.Context) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
}

// serveHTTP serves HTTP/1.1 and cleartext HTTP/2 until ctx is done.
func serveHTTP(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	release := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer release()
	if err := server.Serve(listener); ctx.Err() == nil {
		return err
	}
	return nil
}

func writeCounters(w http.ResponseWriter, _ *http.Request) {
	// The two together are what runtime.MemStats calls Mallocs.
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/tiny/allocs:objects"}}
	metrics.Read(samples)
	counters := Counters{Mallocs: samples[0].Value.Uint64() + samples[1].Value.Uint64()}
	if err := json.NewEncoder(w).Encode(counters); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
