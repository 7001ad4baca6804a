package nats

import (
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/events"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestEndlessGreeting: Events 125: a server whose first line has no end takes no memory, and is away.
func TestEndlessGreeting(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	sent := make(chan int, 16)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			total, line := 0, strings.Repeat("x", 64<<10)
			for err == nil {
				var n int
				n, err = io.WriteString(conn, line)
				total += n
			}
			_ = conn.Close()
			sent <- total
		}
	}()
	s, err := Open("nats", &transomv1.NatsSink{Url: "nats://" + l.Addr().String()}, events.Env{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	errs := make([]error, 1)
	s.Send(t.Context(), []*events.Event{{ID: "1", Source: "/s", Type: "t", Data: []byte("{}")}}, errs)
	if errs[0] == nil || !strings.Contains(errs[0].Error(), "has no end") {
		t.Errorf("got %v", errs[0])
	}
	if n := <-sent; n > 16<<20 { // what the system holds between the two, and the bound
		t.Errorf("it took %d bytes", n)
	}
}
