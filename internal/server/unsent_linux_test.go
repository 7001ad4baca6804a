package server

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/server/sockets"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestUnsent holds Events 185 for what the kernel keeps of an answer: of a client who does not read it is little more than
// maxUnsent, also behind a load balancer, and what was written arrives when the client reads.
func TestUnsent(t *testing.T) {
	for name, c := range map[string]*transomv1.Listener{
		"a client":      {Address: "127.0.0.1:0"},
		"load balancer": {Address: "127.0.0.1:0", ProxyProtocol: &transomv1.ProxyProtocol{From: []string{"127.0.0.0/8"}}},
	} {
		t.Run("Events 185: "+name, func(t *testing.T) {
			l, err := openListener(new(sockets.Set), c, nil, nil, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			client := dial(t, l.Addr())
			if err := client.(*net.TCPConn).SetReadBuffer(32 << 10); err != nil {
				t.Fatal(err)
			}
			server, err := l.connections.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = server.Close() }()
			if c.GetProxyProtocol() != nil {
				if _, err := io.WriteString(client, "PROXY UNKNOWN\r\n"); err != nil {
					t.Fatal(err)
				}
			}
			most := 0
			for err == nil { // until it has waited for the client in vain
				var n int
				if err = server.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
					t.Fatal(err)
				}
				n, err = server.Write(make([]byte, 64<<10))
				most += n
			}
			if !errors.Is(err, os.ErrDeadlineExceeded) || most > 1<<20 {
				t.Fatalf("the kernel has taken %d bytes: %v", most, err)
			}
			if _, err := io.CopyN(io.Discard, client, int64(most)); err != nil {
				t.Error(err)
			}
		})
	}
}
