package sinks

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/internal/testing/keytest"
)

// TestPage holds that the example of the page is right.
func TestPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "event-sinks.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	block, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the page has no example")
	}
	var file map[string]any
	if err := yaml.Unmarshal([]byte(block), &file); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(file["events"])
	if err != nil {
		t.Fatal(err)
	}
	env := env(t)
	cert, _ := keytest.Certificate(t, "kafka.example")
	for name, content := range map[string]string{"kafka-ca.pem": cert, "kafka-password": "p", "partner-secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "nats.creds": "c"} {
		if err := os.WriteFile(env.Resolve(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e := parse(t, string(text))
	Check("events", e, env, func(path, message string) { t.Errorf("%s: %s", path, message) })
	all := events.Configured(e)
	if len(all) != 3 {
		t.Errorf("got %d sinks, want 3", len(all))
	}
	for name, sink := range all {
		s, err := Open(name, sink, env)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
