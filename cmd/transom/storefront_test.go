package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/examples/storefront"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/walkthrough"
)

// startStorefront starts the servers of examples/storefront and a gateway in front of them.
func startStorefront(t *testing.T) *running {
	t.Helper()
	api, site := gatewaytest.StartServers(t, storefront.Serve)
	dir := t.TempDir()
	if err := os.CopyFS(dir, storefront.Files); err != nil {
		t.Fatal(err)
	}
	t.Setenv("STORE_API", api)
	t.Setenv("STORE_SITE", site)
	return startGateway(t, input{config: filepath.Join(dir, "transom.yaml")})
}

// TestStorefront plays the README of examples/storefront.
func TestStorefront(t *testing.T) {
	page := readPage(t, "../../examples/storefront/README.md")
	gateway := startStorefront(t)
	walkthrough.Shell{Dir: t.TempDir(), Replace: []string{"localhost:8080", strings.TrimPrefix(gateway.url, "http://")}}.Run(t, walkthrough.Steps(page))
}
