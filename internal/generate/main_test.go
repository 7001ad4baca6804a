package main

import (
	"path/filepath"
	"testing"
)

// Generated code is committed, so that nobody needs a generator to build; it
// must be what the .proto files beside it give.
func TestGeneratedCodeIsFresh(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	stale, err := run(true)
	if err != nil {
		t.Fatal(err)
	}
	if len(stale) > 0 {
		t.Errorf("stale, run make generate: %q", stale)
	}
}
