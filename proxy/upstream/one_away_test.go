package upstream_test

import (
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// TestOneEndpointAway: the log hears of one server of three that cannot be reached when it
// goes and when it comes back, once each, however often it is tried and called meanwhile.
func TestOneEndpointAway(t *testing.T) {
	a, b, c := startOn(t, loopback.Listen(t)), startOn(t, loopback.Listen(t)), startOn(t, loopback.Listen(t))
	r, target := names(t, a.address, b.address, c.address)
	lines := &logtext.Text{}
	conn, err := upstream.NewPool(slog.New(slog.NewTextHandler(lines, nil))).Get(upstream.Target{Address: target, LoadBalancing: "round_robin"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	settled(t, conn, a, b, c)
	count := func(text string) int { return strings.Count(lines.String(), `msg="`+text+`"`) }
	const away, back = "an endpoint cannot be reached", "an endpoint is reached again"
	if n := count(away); n != 0 {
		t.Errorf("%d lines at the start:\n%s", n, lines)
	}
	c.Stop()
	poll.Until(t, "a line of the one that is away", func() bool { return count(away) > 0 })
	if !strings.Contains(lines.String(), "level=WARN msg=\""+away+"\" target="+target+" endpoint="+c.address+" error=") {
		t.Errorf("the log has\n%s", lines)
	}
	for range 20 {
		settled(t, conn, a, b)
		r.UpdateState(state(a.address, b.address, c.address))
	}
	l, err := net.Listen("tcp", c.address)
	if err != nil {
		t.Fatal(err)
	}
	again := startOn(t, l)
	settled(t, conn, a, b, again)
	poll.Until(t, "a line of its return", func() bool { return count(back) > 0 })
	if n, m := count(away), count(back); n != 1 || m != 1 || strings.Contains(lines.String(), "the backend") {
		t.Errorf("%d and %d lines:\n%s", n, m, lines)
	}
}
