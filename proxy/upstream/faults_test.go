package upstream_test

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/grpc/resolver"

	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// TestManyAddresses: Traffic 173: of 10,000 addresses the first ones are used, those in
// use already among them; the log hears of it once.
func TestManyAddresses(t *testing.T) {
	a := startOn(t, loopback.Listen(t))
	r, target := names(t, a.address)
	lines := &logtext.Text{}
	conn, err := upstream.NewPool(slog.New(slog.NewTextHandler(lines, nil))).Get(upstream.Target{Address: target})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	answering(t, conn)
	var many []string
	for i := range 10_000 {
		many = append(many, fmt.Sprintf("127.%d.%d.%d:1", 100+i/65536, i/256%256, i%256))
	}
	before := runtime.NumGoroutine()
	for range 5 {
		r.UpdateState(state(append(many, a.address)...))
	}
	if n := runtime.NumGoroutine() - before; n > 2*upstream.MaxAddresses {
		t.Errorf("%d goroutines for 10,001 addresses", n)
	}
	answering(t, conn)
	if n := strings.Count(lines.String(), "more addresses than are used"); n != 1 || !strings.Contains(lines.String(), "found 10001 addresses, expected at most 1000") {
		t.Errorf("%d lines:\n%s", n, lines)
	}
}

// TestBounded: Traffic 173: what is left out of an answer is what has the largest
// priority number, and then what is not in use.
func TestBounded(t *testing.T) {
	var found resolver.State
	for i := range 3 * upstream.MaxAddresses {
		e := resolver.Endpoint{Addresses: []resolver.Address{{Addr: fmt.Sprint(i)}}}
		share := upstream.Share{Weight: 1, Priority: 1}
		if i == 2500 {
			share.Priority = 0
		}
		found.Endpoints = append(found.Endpoints, upstream.WithShare(e, share))
	}
	kept, n := upstream.Bounded(found, func(address string) bool { return address == "2000" })
	if n != 3*upstream.MaxAddresses || len(kept.Endpoints) != upstream.MaxAddresses || len(kept.Addresses) != upstream.MaxAddresses {
		t.Fatalf("%d of %d", len(kept.Endpoints), n)
	}
	for i, want := range []string{"2500", "2000", "0", "1"} {
		if got := kept.Endpoints[i].Addresses[0].Addr; got != want {
			t.Errorf("the address at %d is %s, want %s", i, got, want)
		}
	}
}

// TestFlappingNames: Traffic 173: a resolver whose answers change all the time leaves
// nothing behind, and few lines in the log.
func TestFlappingNames(t *testing.T) {
	a, b := startOn(t, loopback.Listen(t)), startOn(t, loopback.Listen(t))
	r, target := names(t, a.address)
	lines := &logtext.Text{}
	conn, err := upstream.NewPool(slog.New(slog.NewTextHandler(lines, nil))).Get(upstream.Target{Address: target})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	answering(t, conn)
	before := runtime.NumGoroutine()
	for range 300 {
		r.UpdateState(state(b.address))
		r.CC().ReportError(fmt.Errorf("no answer"))
		r.UpdateState(state(a.address))
	}
	poll.Until(t, "what was left to end", func() bool { return runtime.NumGoroutine() < before+20 })
	answering(t, conn)
	if n := strings.Count(lines.String(), "\n"); n > 10 {
		t.Errorf("%d lines:\n%s", n, lines)
	}
	if !strings.Contains(lines.String(), "more of these are left out for up to 10 minutes") {
		t.Errorf("the last line does not say so:\n%s", lines)
	}
}
