package upstream_test

import (
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// TestFlood has a backend flood its connections with SETTINGS: its calls are
// UNAVAILABLE and say why, and so does the log (Semantics 51).
func TestFlood(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return // the test has ended
			}
			_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
			if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err == nil {
				fr := http2.NewFramer(conn, conn)
				for fr.WriteSettings() == nil {
				}
			}
			_ = conn.Close()
		}
	}()
	log := new(logtext.Text)
	conn, err := upstream.NewPool(slog.New(slog.NewTextHandler(log, nil))).Get(upstream.Target{Address: l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = l.Close()
		conn.Release()
		<-done
	})
	const why = "floods the connection with control frames"
	for deadline := time.Now().Add(30 * time.Second); ; {
		_, _, err := ask(t, conn)
		if status.Code(err) != codes.Unavailable {
			t.Fatalf("the call ended with %v", err)
		}
		if strings.Contains(err.Error(), why) && strings.Contains(log.String(), why) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v; the log: %s", err, log)
		}
	}
}
