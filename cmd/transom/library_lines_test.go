package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log"
	"testing"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/server"
	"github.com/transom-gateway/transom/internal/testing/logtext"
)

// TestLibraryLines: the log has no line that is not one of its own form, also where a
// library writes to the standard log, as net/http's client does.
func TestLibraryLines(t *testing.T) {
	dir := folder(t, map[string]string{"p.proto": goodProto})
	in := input{folders: []string{dir}, upstream: "localhost:1", listen: "127.0.0.1:0", admin: config.NoAdmin}
	lines := &logtext.Text{}
	ctx, cancel := context.WithCancel(t.Context())
	err := serve(ctx, in.load, streams{out: lines, err: lines}, func(*server.Server) {
		log.Print("a library's line")
		cancel()
	})
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for line := range bytes.Lines([]byte(lines.String())) {
		var e struct{ Msg, Level string }
		if err := json.Unmarshal(line, &e); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		found = found || e.Msg == "a library's line" && e.Level == "WARN"
	}
	if !found {
		t.Errorf("the library's line is not in the log:\n%s", lines.String())
	}
}
