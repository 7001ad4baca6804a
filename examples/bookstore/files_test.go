package bookstore_test

import (
	"strings"
	"testing"

	"github.com/transom-gateway/transom/examples/bookstore"
	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/schema"
)

// What lies in the folder is what a gateway takes.
func TestFolder(t *testing.T) {
	if _, problems := config.Load("transom.yaml"); len(problems) > 0 {
		t.Errorf("transom.yaml: %v", problems)
	}
	if _, problems := schema.Directory("protos").Load(t.Context()); len(problems) > 0 {
		t.Errorf("protos: %v", problems)
	}
}

// TestWelcomePage checks that the page comes whole and as HTML.
func TestWelcomePage(t *testing.T) {
	page, err := bookstore.NewServer().GetWelcomePage(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if page.GetContentType() != "text/html; charset=utf-8" || !strings.HasSuffix(strings.TrimSpace(string(page.GetData())), "</html>") {
		t.Errorf("%s of %d bytes", page.GetContentType(), len(page.GetData()))
	}
}

func TestTourHasFiveCommands(t *testing.T) {
	const base = "http://127.0.0.1:1234"
	tour := bookstore.Tour(base)
	if len(tour) != 5 {
		t.Fatalf("got %d commands, want 5", len(tour))
	}
	for _, line := range tour {
		if !strings.HasPrefix(line, "curl ") || !strings.Contains(line, base+"/v1/") || strings.Contains(line, "\n") {
			t.Errorf("%q is no command against %s", line, base)
		}
	}
}
