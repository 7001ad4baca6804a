package main

import (
	"cmp"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/examples/bookstore"
	gatewaytest "github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/walkthrough"
)

// tellRequest is the plain HTTP server of the page.
func tellRequest(w http.ResponseWriter, r *http.Request) {
	_, _ = fmt.Fprintf(w, "%s %s by %s, Authorization: %s\n", r.Method, r.RequestURI, r.Proto, cmp.Or(r.Header.Get("Authorization"), "none")) // the client is curl
}

// TestUpstreamsPage runs the examples of docs/upstreams.md.
func TestUpstreamsPage(t *testing.T) {
	page := readPage(t, "../../docs/upstreams.md")
	dir := t.TempDir()
	if err := os.CopyFS(dir, bookstore.Protos); err != nil {
		t.Fatal(err)
	}
	site, secure := httptest.NewServer(http.HandlerFunc(tellRequest)), httptest.NewUnstartedServer(http.HandlerFunc(tellRequest))
	secure.EnableHTTP2 = true
	secure.StartTLS()
	other := httptest.NewServer(http.HandlerFunc(tellRequest))
	for _, s := range []*httptest.Server{site, other, secure} {
		t.Cleanup(s.Close)
	}
	write(t, filepath.Join(dir, "site-ca.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})))
	replace := []string{
		"localhost:3000", site.Listener.Addr().String(), "localhost:3001", other.Listener.Addr().String(), "localhost:3443", secure.Listener.Addr().String(),
		"localhost:50051", gatewaytest.StartBookstore(t), "localhost:50052", gatewaytest.StartBookstore(t), "/etc/transom/", dir + "/",
	}
	for _, block := range append(walkthrough.Blocks(readPage(t, "../../docs/configuration.md")), walkthrough.Blocks(page)...) {
		if block.File == "try.sh" || block.File != "" && strings.Contains(page, "file="+block.File+"\n") {
			write(t, filepath.Join(dir, block.File), strings.NewReplacer(replace...).Replace(block.Text))
		}
	}
	walkthrough.Shell{Dir: dir, Bin: commandFolder(t), Replace: replace}.Run(t, walkthrough.Steps(page))
}
