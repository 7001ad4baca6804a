package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/examples/behaviour"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	kafkatest "github.com/transom-gateway/transom/internal/testing/kafka"
	"github.com/transom-gateway/transom/internal/testing/walkthrough"
)

// TestBehaviour plays the README of examples/behaviour: from a beacon by a topic to a method, and
// from its answer to those who listen.
func TestBehaviour(t *testing.T) { playBehaviour(t, "transom.yaml") }

// TestBehaviourByKafka plays it with the topic on a real broker: Events 161.
func TestBehaviourByKafka(t *testing.T) {
	t.Setenv("KAFKA", kafkatest.Start(t).Plaintext)
	playBehaviour(t, "transom-kafka.yaml")
}

func playBehaviour(t *testing.T, config string) {
	page := readPage(t, "../../examples/behaviour/README.md")
	api, site := gatewaytest.StartServers(t, behaviour.Serve)
	dir := t.TempDir()
	if err := os.CopyFS(dir, behaviour.Files); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CLICKS", api)
	t.Setenv("SHOP", site)
	t.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state"))
	gateway := startGateway(t, input{config: filepath.Join(dir, config)})
	walkthrough.Shell{Dir: t.TempDir(), Replace: []string{"localhost:8080", strings.TrimPrefix(gateway.url, "http://")}}.Run(t, walkthrough.Steps(page))
}
