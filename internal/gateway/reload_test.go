package gateway_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// edit replaces text in a file of the gateway's protos.
func edit(t *testing.T, g *gatewaytest.Gateway, file, from, to string) {
	t.Helper()
	path := filepath.Join(g.Folder, file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), from) {
		t.Fatalf("%s has no %q", file, from)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), from, to, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

const bookstoreProto = "bookstore/v1/bookstore.proto"

func TestReload(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	edit(t, g, bookstoreProto, `get: "/v1/{name=shelves/*}"`, `get: "/v2/{name=shelves/*}"`)
	change, err := g.Reload(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := change.String(); got != "+1 routes, -1, ~0" {
		t.Errorf("the change is %q", got)
	}
	if a := g.Do(t, "GET", "/v2/shelves/1", ""); a.Status != 200 {
		t.Errorf("the new route: %d %s", a.Status, a.Body)
	}
	if a := g.Do(t, "GET", "/v1/shelves/1", ""); a.Status != 405 {
		t.Errorf("the old route: %d %s", a.Status, a.Body)
	}
}

func TestBrokenReloadKeepsTheLastGood(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	edit(t, g, bookstoreProto, "rpc GetShelf(GetShelfRequest)", "rpc GetShelf(GetShelfRequesst)")
	_, err := g.Reload(t.Context())
	problems, ok := err.(gateway.Problems) //nolint:errorlint // Reload returns it as it is
	if !ok || len(problems) == 0 {
		t.Fatalf("Semantics 50: the error is %v", err)
	}
	if p := problems[0]; !strings.HasSuffix(p.File, "bookstore.proto") || p.Line == 0 || p.Column == 0 || !strings.Contains(p.Message, "GetShelfRequesst") {
		t.Errorf("Semantics 50: the problem is %v", p)
	}
	if a := g.Do(t, "GET", "/v1/shelves/1", ""); a.Status != 200 {
		t.Errorf("Semantics 50: the last good schema: %d %s", a.Status, a.Body)
	}
	if s := g.Status(); s.Generation != 1 || s.FailedAt.IsZero() || len(s.Problems) == 0 {
		t.Errorf("Semantics 50: the status is %+v", s)
	}
	edit(t, g, bookstoreProto, "GetShelfRequesst", "GetShelfRequest")
	if _, err := g.Reload(t.Context()); err != nil || g.Status().Generation != 2 || !g.Status().FailedAt.IsZero() {
		t.Errorf("mended: %v, %+v", err, g.Status())
	}
}

// TestReloadUnderLoad swaps again and again while requests run; none may fail.
func TestReloadUnderLoad(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var requests, failures atomic.Int64
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				request, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, g.URL+"/v1/shelves/1", http.NoBody)
				if err != nil {
					failures.Add(1)
					return
				}
				response, err := g.Client.Do(request)
				requests.Add(1)
				if err != nil {
					failures.Add(1)
					continue
				}
				if response.StatusCode != http.StatusOK {
					failures.Add(1)
				}
				_ = response.Body.Close()
			}
		})
	}
	for i := range 10 {
		from, to := `get: "/v1/shelves"`, `get: "/v9/shelves"`
		if i%2 == 1 {
			from, to = to, from
		}
		for before := requests.Load(); requests.Load() < before+20; {
			if _, err := g.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		edit(t, g, bookstoreProto, from, to)
	}
	cancel()
	clients.Wait()
	if failures.Load() > 0 {
		t.Errorf("%d of %d requests failed", failures.Load(), requests.Load())
	}
}

// TestBackendAwayAndBack: 503 at once, and service again when it is back.
func TestBackendAway(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1"})
	a := g.Do(t, "GET", "/v1/shelves/1", "")
	if a.Status != 503 || contains(a.Body, `{"code": 14, "message": "the backend cannot be reached: connection refused"}`) != nil {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}
