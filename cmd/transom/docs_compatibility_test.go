package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/examples/bookstore"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/walkthrough"
)

// TestCompatibilityPage runs the example of docs/compatibility.md. Semantics 56.
func TestCompatibilityPage(t *testing.T) {
	page := readPage(t, "../../docs/compatibility.md")
	dir := t.TempDir()
	if err := os.CopyFS(dir, bookstore.Protos); err != nil {
		t.Fatal(err)
	}
	for _, block := range walkthrough.Blocks(page) {
		if block.File != "" {
			write(t, filepath.Join(dir, block.File), strings.ReplaceAll(block.Text, "localhost:50051", gatewaytest.StartBookstore(t)))
		}
	}
	gateway := startGateway(t, input{config: filepath.Join(dir, "transom.yaml")})
	walkthrough.Shell{Dir: dir, Bin: commandFolder(t), Replace: []string{
		"localhost:8080", strings.TrimPrefix(gateway.url, "http://"),
	}}.Run(t, walkthrough.Steps(page))
}
