// Command listeners measures what clients' connections cost Transom beside bare servers of net/http and quic-go: requests
// by HTTP/3, handshakes of TLS, sessions that are resumed, and the memory of connections that are idle.
//
//	cd bench && go run ./listeners -time 2s -rounds 5 -idle 10000
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"time"

	"github.com/transom-gateway/transom/bench/process"
)

// settings are the flags.
type settings struct {
	time    time.Duration
	rounds  int
	idle    int
	transom string
	only    string
	admin   string
}

// bareCommand makes this program the bare servers.
const bareCommand = "bare"

func main() {
	runtime.LockOSThread() // processes die with the thread that started them
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "listeners:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if len(os.Args) == 4 && os.Args[1] == bareCommand {
		return serveBare(ctx, os.Args[2], os.Args[3])
	}
	var s settings
	flag.DurationVar(&s.time, "time", 2*time.Second, "how long each server is loaded in each round")
	flag.IntVar(&s.rounds, "rounds", 5, "rounds; in each, every server is loaded once; 0 measures memory alone")
	flag.IntVar(&s.idle, "idle", 10_000, "how many connections lie idle; 0 measures rates alone")
	flag.StringVar(&s.only, "only", "", "measure only the rates whose name has this")
	flag.StringVar(&s.admin, "admin", "-", "the address of Transom's admin listener, for profiles")
	flag.StringVar(&s.transom, "transom", "", "the transom binary")
	flag.Parse()
	if s.transom == "" {
		return errors.New("-transom: found nothing, expected the program, as `go build -pgo cmd/transom/load.pgo ./cmd/transom` makes it")
	}
	dir, err := os.MkdirTemp("", "transom-listeners-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // they are temporary
	if err := writeCertificate(dir); err != nil {
		return err
	}
	return measure(ctx, dir, s)
}

// server is a process that takes load by TLS and, at the same port, by QUIC.
type server struct {
	*process.Process
	address string
}

// answer is what every server says to what is asked of /ready.
const answer = `{"name":"items/1","title":"A small answer","size":42}`

// startTransom starts the gateway in front of a backend.
func startTransom(dir string, s settings, backend string) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	protos, err := filepath.Abs("proto")
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`listeners: [{ address: %q, http3: true, idle_timeout: 600s, tls: { certificate: cert.pem, key: key.pem } }]
admin: { address: %q }
schemas: [{ directory: %q }]
upstreams: { items: { grpc: { target: %q } } }
routes: [{ match: { path: /ready }, respond: { status: 200, headers: { Content-Type: application/json }, body: %q } }]
telemetry: { log: { access: false } }
`, address, s.admin, protos, backend, answer)
	file := filepath.Join(dir, "transom.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	return start("transom", address, exec.Command(s.transom, "serve", "--config", file))
}

// startBare starts bare servers.
func startBare(dir string) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	return start("bare", address, exec.Command(os.Args[0], bareCommand, address, dir))
}

// start starts a program and waits until it listens.
func start(name, address string, cmd *exec.Cmd) (*server, error) {
	p, err := process.Start(name, cmd)
	if err != nil {
		return nil, err
	}
	for until := time.Now().Add(30 * time.Second); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		if err := p.Err(); err != nil {
			return nil, err
		}
		if c, err := net.Dial("tcp", address); err == nil {
			return &server{p, address}, c.Close()
		}
	}
	p.Stop()
	return nil, fmt.Errorf("%s does not listen at %s", name, address)
}

// freeAddress is one that nobody listens at.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// writeCertificate makes a certificate of ECDSA, as most have.
func writeCertificate(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o600),
		os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
	)
}
