package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/examples/bookstore"
	gatewaytest "github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/walkthrough"
)

// TestUpstreamsPage runs the examples of docs/upstreams.md.
func TestUpstreamsPage(t *testing.T) {
	page := readPage(t, "../../docs/upstreams.md")
	dir := t.TempDir()
	if err := os.CopyFS(dir, bookstore.Protos); err != nil {
		t.Fatal(err)
	}
	replace := []string{"localhost:50051", gatewaytest.StartBookstore(t), "localhost:50052", gatewaytest.StartBookstore(t), "/etc/transom/", dir + "/"}
	for _, block := range append(walkthrough.Blocks(readPage(t, "../../docs/configuration.md")), walkthrough.Blocks(page)...) {
		if block.File == "try.sh" || block.File != "" && strings.Contains(page, "file="+block.File+"\n") {
			write(t, filepath.Join(dir, block.File), strings.NewReplacer(replace...).Replace(block.Text))
		}
	}
	walkthrough.Shell{Dir: dir, Bin: commandFolder(t), Replace: replace}.Run(t, walkthrough.Steps(page))
}
