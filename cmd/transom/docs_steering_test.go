package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/walkthrough"
)

// startVersion starts a version of a plain HTTP site and returns its address.
func startVersion(t *testing.T, name string) string {
	t.Helper()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s: %s %s\n", name, r.Method, r.RequestURI) // the client is curl
	}))
	t.Cleanup(site.Close)
	return strings.TrimPrefix(site.URL, "http://")
}

// TestSteeringPage runs the examples of docs/steering.md (Traffic 207, 210).
func TestSteeringPage(t *testing.T) {
	page := readPage(t, "../../docs/steering.md")
	dir := t.TempDir()
	for _, block := range walkthrough.Blocks(page) {
		if block.File != "" {
			text := strings.ReplaceAll(block.Text, "localhost:3000", startVersion(t, "old"))
			write(t, filepath.Join(dir, block.File), strings.ReplaceAll(text, "localhost:3001", startVersion(t, "new")))
		}
	}
	gateway := startGateway(t, input{config: filepath.Join(dir, "transom.yaml")})
	walkthrough.Shell{Dir: dir, Bin: commandFolder(t), Replace: []string{
		"localhost:8080", strings.TrimPrefix(gateway.url, "http://"),
		"localhost:9901", strings.TrimPrefix(gateway.admin, "http://"),
	}}.Run(t, walkthrough.Steps(page))
}
