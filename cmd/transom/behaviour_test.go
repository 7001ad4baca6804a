package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/examples/behaviour"
	"github.com/transom-gateway/transom/internal/testing/walkthrough"
)

// TestBehaviour plays the README of examples/behaviour: from a beacon by a topic to a method, and
// from its answer to those who listen.
func TestBehaviour(t *testing.T) {
	page := readPage(t, "../../examples/behaviour/README.md")
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
	go func() { served <- behaviour.Serve(ctx, api, site) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	dir := t.TempDir()
	if err := os.CopyFS(dir, behaviour.Files); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CLICKS", api.Addr().String())
	t.Setenv("SHOP", site.Addr().String())
	t.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state"))
	gateway := startGateway(t, input{config: filepath.Join(dir, "transom.yaml")})
	walkthrough.Shell{Dir: t.TempDir(), Replace: []string{"localhost:8080", strings.TrimPrefix(gateway.url, "http://")}}.Run(t, walkthrough.Steps(page))
}
