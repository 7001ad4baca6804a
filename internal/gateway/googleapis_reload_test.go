package gateway_test

import (
	"context"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/googleapis"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// TestGoogleapisReloadUnderLoad loads everything, twice, in place of a small
// service while requests run; none may fail.
//
//transom:norace
func TestGoogleapisReloadUnderLoad(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var requests, failed atomic.Int64
	var client sync.WaitGroup
	client.Go(func() {
		// As fast as it can, it would take the time that loading needs.
		pace := time.NewTicker(2 * time.Millisecond)
		defer pace.Stop()
		for ; ctx.Err() == nil; <-pace.C {
			response, err := g.Client.Get(g.URL + "/v1/shelves/1") //nolint:noctx // a request in flight is to end
			requests.Add(1)
			if err != nil {
				failed.Add(1)
				continue
			}
			if response.StatusCode != http.StatusOK {
				failed.Add(1)
			}
			_ = response.Body.Close()
		}
	})
	text, err := os.ReadFile(g.Config)
	if err != nil {
		t.Fatal(err)
	}
	more := strings.Replace(string(text), "}]", "}, { descriptor_set: "+strconv.Quote(googleapis.File(t))+" }]", 1)
	if err := os.WriteFile(g.Config, []byte(more), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := g.Reload(t.Context()); err != nil {
			t.Fatalf("%.2000s", err.Error())
		}
	}
	if n := len(g.Routes()); n < 12_000 {
		t.Errorf("only %d routes", n)
	}
	cancel()
	client.Wait()
	if requests.Load() == 0 || failed.Load() > 0 {
		t.Errorf("%d of %d requests failed", failed.Load(), requests.Load())
	}
}
