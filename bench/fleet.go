package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/transom-gateway/transom/bench/peers"
	"github.com/transom-gateway/transom/bench/process"
)

const (
	subjectTransom = "transom"
	subjectSelf    = "grpc-gateway"
	// peerCommand makes this program a peer.
	peerCommand = "peer"
	// patience is how long a process may take to listen.
	patience = 30 * time.Second
)

// fleet is all processes of a run. All of them stay until the end, so that
// none is measured on an emptier machine than another.
type fleet struct {
	dir      string // For files that peers read.
	self     string // This program.
	transom  string // The binary; empty where another stands in its place.
	backends peers.Backends
	running  []*peer
	failed   map[string]error // Why a peer does not run.
}

// peer is one process that takes load.
type peer struct {
	name    string
	base    string // "http://host:port"
	process *process.Process
	// counter is the URL that tells the allocations; empty: nobody counts them.
	counter string
	// parse reads them from its body.
	parse func([]byte) (float64, error)
}

// newFleet builds Transom, where it is needed, and makes the fleet's folder.
// Only stop removes it.
func newFleet(ctx context.Context, s settings) (*fleet, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	f := &fleet{self: self, transom: s.transom, failed: map[string]error{}}
	if s.subject == subjectTransom && s.transom == "" {
		if f.transom, err = buildTransom(ctx); err != nil {
			return nil, err
		}
	}
	if s.subject == subjectSelf {
		f.transom = ""
	}
	f.dir, err = os.MkdirTemp("", "transom-bench-")
	return f, err
}

// buildTransom builds the command of the module above and returns its path.
func buildTransom(ctx context.Context) (string, error) {
	path, err := filepath.Abs(filepath.Join("bin", "transom"))
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "grpcnotrace", "-pgo", "cmd/transom/load.pgo", "-o", path, "./cmd/transom")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building Transom: %w\n%s", err, out)
	}
	return path, nil
}

// start starts the backends and every peer that a scenario needs. A peer that
// does not start fails its scenarios alone.
func (f *fleet) start(ctx context.Context, chosen []scenario) error {
	grpc, err := f.startProgram(ctx, "backend", "backend")
	if err != nil {
		return err
	}
	jsonServer, err := f.startProgram(ctx, "json-server", "json-server")
	if err != nil {
		return err
	}
	f.backends = peers.Backends{GRPC: hostOf(grpc), JSON: hostOf(jsonServer)}
	var wanted []string
	for _, sc := range chosen {
		for _, name := range sc.peers {
			if !slices.Contains(wanted, name) {
				wanted = append(wanted, name)
			}
		}
	}
	for _, name := range wanted {
		if _, err := f.startPeer(ctx, name); err != nil {
			f.failed[name] = err
		}
	}
	return ctx.Err()
}

func (f *fleet) startPeer(ctx context.Context, name string) (*peer, error) {
	switch name {
	case caddy, traefik:
		return f.startPlain(ctx, name)
	case transom, transomAgain, transomLogged, transomSecured, transomKept, transomIdle, transomUnused, transomPlain, transomPlainAgain:
		if f.transom == "" {
			return f.startProgram(ctx, name, subjectSelf)
		}
		return f.startTransom(ctx, name)
	case nginx:
		return f.startNginx(ctx)
	case envoy:
		return f.startEnvoy(ctx)
	case envoyUnused:
		return f.startEnvoyUnused(ctx)
	default:
		return f.startProgram(ctx, name, name)
	}
}

// peer returns a running peer, or why it does not run.
func (f *fleet) peer(name string) (*peer, error) {
	if err := f.failed[name]; err != nil {
		return nil, err
	}
	for _, p := range f.running {
		if p.name == name {
			return p, p.process.Err()
		}
	}
	return nil, fmt.Errorf("%s was not started", name)
}

// stop ends all processes and removes the folder.
func (f *fleet) stop() {
	for _, p := range slices.Backward(f.running) {
		p.process.Stop()
	}
	_ = os.RemoveAll(f.dir) // It is the system's folder for such things.
}

// startProgram starts a program of package peers under a name.
func (f *fleet) startProgram(ctx context.Context, name, program string) (*peer, error) {
	cmd := exec.Command(f.self, peerCommand, program, "-grpc", f.backends.GRPC, "-json", f.backends.JSON)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p, err := f.add(name, cmd)
	if err != nil {
		return nil, err
	}
	said := make(chan []byte, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadBytes('\n') // What is no address is told below.
		said <- line
	}()
	var address peers.Address
	select {
	case line := <-said:
		if err := json.Unmarshal(line, &address); err != nil {
			return nil, errors.Join(fmt.Errorf("%s said %q, expected its address", name, line), p.process.Err())
		}
	case <-time.After(patience):
		return nil, fmt.Errorf("%s did not say its address within %v", name, patience)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.base, p.counter, p.parse = "http://"+address.Serve, "http://"+address.Debug, parseCounters
	return p, nil
}

// add starts a process that belongs to the fleet.
func (f *fleet) add(name string, cmd *exec.Cmd) (*peer, error) {
	started, err := process.Start(name, cmd)
	if err != nil {
		return nil, err
	}
	p := &peer{name: name, process: started}
	f.running = append(f.running, p)
	return p, nil
}

// ready waits until a process takes connections at an address.
func (p *peer) ready(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.process.Done():
			return p.process.Err()
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen at %s: %w", p.name, address, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// hostOf returns the "host:port" of a peer.
func hostOf(p *peer) string { return p.base[len("http://"):] }

// freeAddress returns an address nobody listens at, for programs that cannot
// tell which one the system gave them. It is an address of loopback that only
// this process uses: a free port of 127.0.0.1 may be another's a moment later.
func freeAddress() (string, error) {
	pid := os.Getpid()
	host := fmt.Sprintf("127.%d.%d.%d", 1+pid>>16%254, pid>>8&255, pid&255)
	listener, err := net.Listen("tcp", host+":0")
	if err != nil { // some systems have but one address of loopback
		if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return "", err
		}
	}
	return listener.Addr().String(), listener.Close()
}
