package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/examples/storefront"
	"github.com/transom-gateway/transom/internal/testing/walkthrough"
)

// startStorefront starts the servers of examples/storefront and a gateway in front of them.
func startStorefront(t *testing.T) *running {
	t.Helper()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	api, site := listen(), listen()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- storefront.Serve(ctx, api, site) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	dir := t.TempDir()
	if err := os.CopyFS(dir, storefront.Files); err != nil {
		t.Fatal(err)
	}
	t.Setenv("STORE_API", api.Addr().String())
	t.Setenv("STORE_SITE", site.Addr().String())
	return startGateway(t, input{config: filepath.Join(dir, "transom.yaml")})
}

// TestStorefront plays the README of examples/storefront.
func TestStorefront(t *testing.T) {
	page := readPage(t, "../../examples/storefront/README.md")
	gateway := startStorefront(t)
	walkthrough.Shell{Dir: t.TempDir(), Replace: []string{"localhost:8080", strings.TrimPrefix(gateway.url, "http://")}}.Run(t, walkthrough.Steps(page))
}
