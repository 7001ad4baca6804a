package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/walkthrough"
)

// TestReadme runs the commands of the README's tour and compares what they
// print. In the README "…" stands for anything.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	bin := commandFolder(t)
	tours := regexp.MustCompile(`(?s)<!-- tour: (\w+) -->(.*?)<!-- end -->`).FindAllStringSubmatch(string(text), -1)
	if len(tours) != 2 {
		t.Fatalf("the README has %d tours, want 2", len(tours))
	}
	for _, tour := range tours {
		t.Run(tour[1], func(t *testing.T) {
			shell := walkthrough.Shell{Dir: t.TempDir(), Bin: bin}
			if tour[1] == "demo" {
				shell.Replace = []string{"localhost:8080", strings.TrimPrefix(startDemo(t).url, "http://")}
			}
			shell.Run(t, walkthrough.Steps(tour[2]))
		})
	}
}
