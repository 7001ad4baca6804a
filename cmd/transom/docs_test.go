package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/transom-gateway/transom/examples/bookstore"
	"github.com/transom-gateway/transom/internal/server"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/redis"
	"github.com/transom-gateway/transom/internal/testing/walkthrough"
)

// beTransom has a test binary be the command itself.
const beTransom = "TRANSOM_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(beTransom) != "" {
		main()
	}
	code := m.Run()
	if built.folder != "" {
		_ = os.RemoveAll(built.folder) // a temporary folder
	}
	os.Exit(code)
}

// commandFolder makes a folder with a `transom` in it that is this test binary.
func commandFolder(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	// With the race detector, a program that ends would sleep for a second first.
	script := "#!/bin/sh\nexport " + beTransom + "=1 GORACE=\"atexit_sleep_ms=20 $GORACE\"\nexec '" + self + "' \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "transom"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return bin
}

// TestPolicyPages runs the example of each page of docs/policies. What a page
// says of services and messages takes the place of the bookstore's own; its
// ```yaml is added to transom.yaml, and its files are written beside that.
func TestPolicyPages(t *testing.T) {
	bin := commandFolder(t)
	for _, path := range policyPages(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".md"), func(t *testing.T) {
			t.Parallel()
			page := readPage(t, path)
			steps := walkthrough.Steps(page)
			if len(steps) == 0 {
				t.Fatal("the page shows no command")
			}
			dir := exampleFolder(t, page)
			gateway := startGateway(t, input{config: filepath.Join(dir, "transom.yaml")})
			walkthrough.Shell{Dir: dir, Bin: bin, Replace: []string{
				"localhost:8080", strings.TrimPrefix(gateway.url, "http://"),
				"localhost:9901", strings.TrimPrefix(gateway.admin, "http://"),
			}}.Run(t, steps)
		})
	}
}

// redisURL is what pages call the Redis that a test starts.
const redisURL = "redis://localhost:6379"

// policyPages lists docs/policies/*.md.
func policyPages(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("../../docs/policies/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal("no pages", err)
	}
	return pages
}

func readPage(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// exampleFolder writes what a page is about: transom.yaml and protos.
func exampleFolder(t *testing.T, page string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, bookstore.Protos); err != nil {
		t.Fatal(err)
	}
	books, accounts := gatewaytest.StartBookstore(t), startAccounts(t)
	config := `schemas: [{ directory: ./protos }]
upstreams:
  books: { grpc: { target: "` + books + `" }, services: ["bookstore.v1.*"] }
  accounts: { grpc: { target: "` + accounts + `" }, services: ["accounts.v1.*"] }
`
	servers := strings.NewReplacer("localhost:50051", books, "localhost:50052", accounts)
	for _, block := range walkthrough.Blocks(page) {
		switch {
		case block.File != "":
			write(t, filepath.Join(dir, block.File), servers.Replace(block.Text))
		case block.Language == "yaml":
			config += block.Text
		case block.Language == "proto":
			patch(t, filepath.Join(dir, "protos/bookstore/v1/bookstore.proto"), block.Text)
		}
	}
	if strings.Contains(config, redisURL) {
		config = strings.ReplaceAll(config, redisURL, redistest.Start(t).URL)
	}
	write(t, filepath.Join(dir, "transom.yaml"), config)
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// startGateway serves until the end of the test.
func startGateway(t *testing.T, in input) *running {
	t.Helper()
	in.listen, in.admin = "127.0.0.1:0", "127.0.0.1:0"
	return startServing(t, func(ctx context.Context, s streams, started func(*server.Server)) error {
		return serve(ctx, in.load, s, started)
	})
}

// startServing runs a command that serves until stop or the end of the test.
func startServing(t *testing.T, command func(context.Context, streams, func(*server.Server)) error) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{log: &logtext.Text{}}
	up := make(chan *server.Server, 1)
	done := make(chan error, 1)
	go func() { done <- command(ctx, streams{out: r.log, err: r.log}, func(s *server.Server) { up <- s }) }()
	var once sync.Once
	var failed error
	r.stop = func() int {
		once.Do(func() {
			cancel()
			failed = <-done
		})
		if failed != nil {
			t.Error(failed)
			return 1
		}
		return 0
	}
	t.Cleanup(func() { r.stop() })
	select {
	case s := <-up:
		r.url = "http://" + s.Addresses()[0].String()
		r.admin = "http://" + s.Admin().String()
	case err := <-done:
		done <- err
		t.Fatal(err, r.log.String())
	}
	return r
}

// TestConfigurationPage runs the examples of docs/configuration.md.
func TestConfigurationPage(t *testing.T) {
	page := readPage(t, "../../docs/configuration.md")
	dir := t.TempDir()
	if err := os.CopyFS(dir, bookstore.Protos); err != nil {
		t.Fatal(err)
	}
	replace := []string{"localhost:50051", gatewaytest.StartBookstore(t), "localhost:50052", startAccounts(t)}
	for _, block := range walkthrough.Blocks(page) {
		if block.File != "" {
			write(t, filepath.Join(dir, block.File), strings.NewReplacer(replace...).Replace(block.Text))
		}
	}
	cert, key := keytest.Certificate(t, "localhost")
	for name, text := range map[string]string{"cert.pem": cert, "key.pem": key, "secrets/jwt": "a secret for this test, of 32 bytes or more\n"} { // check reads them
		write(t, filepath.Join(dir, name), text)
	}
	walkthrough.Shell{Dir: dir, Bin: commandFolder(t)}.Run(t, walkthrough.Steps(page))
}

// TestRestPage runs the examples of docs/rest.md against the demo.
func TestRestPage(t *testing.T) {
	page := readPage(t, "../../docs/rest.md")
	address := strings.TrimPrefix(startDemo(t).url, "http://")
	walkthrough.Shell{Dir: t.TempDir(), Replace: []string{"localhost:8080", address}}.Run(t, walkthrough.Steps(page))
}
