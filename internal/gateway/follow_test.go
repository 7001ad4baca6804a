package gateway

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const oneService = `syntax = "proto3";
package one.v1;
message M { string name = 1; }
service One { rpc Get(M) returns (M); }
`

// following is a gateway of a folder with two services; building is called before each
// of its builds but the first.
func following(t *testing.T, log io.Writer, building func(n int, folder string)) (g *Gateway, folder string) {
	t.Helper()
	dir := t.TempDir()
	folder = filepath.Join(dir, "protos")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, folder, "one.proto", oneService)
	put(t, folder, "two.proto", strings.NewReplacer("one.v1", "two.v1", "One", "Two").Replace(oneService))
	put(t, dir, "transom.yaml", "schemas: [{ directory: protos }]\n")
	telemetry, err := observe.Setup(&transomv1.Telemetry{}, "test", log)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	g = New(Options{Telemetry: telemetry, Load: func() (*config.File, error) {
		if n++; n > 1 {
			building(n-1, folder)
		}
		file, problems := config.Load(filepath.Join(dir, "transom.yaml"))
		return file, problems.Err()
	}})
	t.Cleanup(g.Close)
	g.grace = time.Millisecond
	if _, err := g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	return g, folder
}

func put(t *testing.T, folder, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
		t.Error(err)
	}
}

// TestFollowLooksTwice pins Semantics 50: a file that is empty or away while somebody
// saves it costs no route.
func TestFollowLooksTwice(t *testing.T) {
	for name, lose := range map[string]func(folder string){
		"empty": func(folder string) { put(t, folder, "one.proto", "") },
		"away": func(folder string) {
			if err := os.Remove(filepath.Join(folder, "one.proto")); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			log := new(logtext.Text)
			g, _ := following(t, log, func(n int, folder string) {
				if n == 1 {
					lose(folder)
					return
				}
				put(t, folder, "one.proto", oneService+"service More { rpc Get(M) returns (M); }\n")
			})
			change, err := g.Follow(t.Context())
			if err != nil || len(change.Removed) > 0 || len(change.Added) == 0 || !knows(g, "one.v1.One/Get") {
				t.Errorf("%v, %v", change, err)
			}
			if !strings.Contains(log.String(), "services have vanished") || !strings.Contains(log.String(), "one.v1.One") {
				t.Errorf("the log does not say what is waited for: %s", log)
			}
		})
	}
}

// TestFollowBelieves: what is gone at the second look is gone (Semantics 50).
func TestFollowBelieves(t *testing.T) {
	g, folder := following(t, io.Discard, func(int, string) {})
	if err := os.Remove(filepath.Join(folder, "one.proto")); err != nil {
		t.Fatal(err)
	}
	if change, err := g.Follow(t.Context()); err != nil || len(change.Removed) == 0 || knows(g, "one.v1.One/Get") || !knows(g, "two.v1.Two/Get") {
		t.Errorf("%v, %v", change, err)
	}
}

// TestFollowKeepsTheLastRoutes: a change that leaves no route is not followed, and is
// obeyed where it was asked for; then the gateway is not ready (Semantics 50, 323).
func TestFollowKeepsTheLastRoutes(t *testing.T) {
	log := new(logtext.Text)
	g, folder := following(t, log, func(int, string) {})
	put(t, folder, "one.proto", "")
	put(t, folder, "two.proto", "")
	if _, err := g.Follow(t.Context()); err == nil || !strings.Contains(err.Error(), "transom.yaml:1:") ||
		!strings.Contains(err.Error(), "no route is left: one.v1.One, two.v1.Two are gone from the schemas; what was there before stays in service") {
		t.Errorf("an empty folder was followed: %v", err)
	}
	if !knows(g, "one.v1.One/Get") || g.Status().FailedAt.IsZero() {
		t.Errorf("the routes before are gone, or nobody is told: %+v", g.Status())
	}
	if ready, reason := g.Ready(); !ready {
		t.Error(reason)
	}
	if _, err := g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	ready, reason := g.Ready()
	if ready || !strings.HasPrefix(reason, "no route is served: ") || len(g.Routes()) > 0 {
		t.Errorf("ready: %t, %s", ready, reason)
	}
	if !strings.Contains(log.String(), `"level":"WARN","msg":"no route is served: `) {
		t.Errorf("the log does not warn: %s", log)
	}
	put(t, folder, "one.proto", oneService)
	if _, err := g.Follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ready, reason := g.Ready(); !ready {
		t.Error(reason)
	}
}

// TestFollowEnds: a gateway that shuts down does not wait.
func TestFollowEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	g, _ := following(t, io.Discard, func(_ int, folder string) {
		put(t, folder, "one.proto", "")
		cancel()
	})
	g.grace = time.Hour
	if _, err := g.Follow(ctx); err == nil || !knows(g, "one.v1.One/Get") {
		t.Errorf("%v", err)
	}
}
