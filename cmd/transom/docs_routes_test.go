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

// startSite starts the plain HTTP server of pages and returns its address.
func startSite(t *testing.T) string {
	t.Helper()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s for %s, client %s\n", r.Method, r.RequestURI, r.Host, r.Header.Get("X-Client")) // the client is curl
	}))
	t.Cleanup(site.Close)
	return strings.TrimPrefix(site.URL, "http://")
}

// TestRoutesPage runs the examples of docs/routes.md.
func TestRoutesPage(t *testing.T) {
	page := readPage(t, "../../docs/routes.md")
	dir := t.TempDir()
	for _, block := range walkthrough.Blocks(page) {
		if block.File != "" {
			write(t, filepath.Join(dir, block.File), strings.ReplaceAll(block.Text, "localhost:3000", startSite(t)))
		}
	}
	gateway := startGateway(t, input{config: filepath.Join(dir, "transom.yaml")})
	walkthrough.Shell{Dir: dir, Bin: commandFolder(t), Replace: []string{
		"localhost:8080", strings.TrimPrefix(gateway.url, "http://"),
	}}.Run(t, walkthrough.Steps(page))
}
