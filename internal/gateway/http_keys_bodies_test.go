package gateway_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

// TestRouteKeyBodies: Traffic 95: a client who sends bodies and ends none has an eighth of the
// memory of bodies, and the requests of others are made all the same.
func TestRouteKeyBodies(t *testing.T) {
	const size, share = 1 << 20, 8
	s, g := startTill(t, "", "trusted_proxies: [\"127.0.0.0/8\"]\n")
	keys := 0
	post := func(client string) int {
		keys++
		return g.Do(t, "POST", "/pay", "7 euros", "Idempotency-Key", fmt.Sprint("k", keys), "X-Forwarded-For", client).Status
	}
	var open []net.Conn
	hold := func(client string, length int) {
		conn, err := net.Dial("tcp", g.Addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		open = append(open, conn)
		_, err = fmt.Fprintf(conn, "POST /pay HTTP/1.1\r\nHost: x\r\nIdempotency-Key: open%d\r\nX-Forwarded-For: %s\r\nContent-Length: %d\r\n\r\n%s",
			len(open), client, length, strings.Repeat("x", length-1))
		if err != nil {
			t.Fatal(err)
		}
	}
	const hostile = "2001:db8::1"
	for range share {
		hold(hostile, size)
	}
	poll.Until(t, "the client has its share", func() bool { return post("2001:db8::2") == 503 })
	if status := post("2001:db8:1::1"); status != 200 {
		t.Errorf("another client gets %d, want 200", status)
	}
	if n := s.times("/pay"); n < 1 {
		t.Errorf("%d requests reached the server", n)
	}
	for _, conn := range open {
		_ = conn.Close()
	}
	poll.Until(t, "the client has room again", func() bool { return post(hostile) == 200 })
}
