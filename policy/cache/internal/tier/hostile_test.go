package tier

import (
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transom-gateway/transom/policy/store"
)

// subscribed is a server to which gateways listen. Who listens first is told text.
func subscribed(t *testing.T, text string) (address string, listeners <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var once sync.Once
	told := make(chan struct{}, 100)
	serve := func(conn net.Conn) {
		defer func() { _ = conn.Close() }()
		asked := make([]byte, 64<<10)
		for {
			n, err := conn.Read(asked)
			if err != nil {
				return
			}
			switch asked := strings.ToLower(string(asked[:n])); {
			case strings.Contains(asked, "hello"):
				_, _ = io.WriteString(conn, "-ERR unknown command 'HELLO'\r\n")
			case strings.Contains(asked, "subscribe"):
				_, _ = io.WriteString(conn, "*3\r\n$9\r\nsubscribe\r\n$15\r\np:cache-dropped\r\n:1\r\n")
				told <- struct{}{}
				once.Do(func() { _, _ = io.WriteString(conn, text) })
			default:
				_, _ = io.WriteString(conn, "-ERR no\r\n")
			}
		}
	}
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // the test has ended
			}
			all.Go(func() { serve(conn) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return l.Addr().String(), told
}

// TestHostileMessages: Traffic 127: whatever a Redis says to who listens to other gateways, the gateway
// goes on, and listens again.
func TestHostileMessages(t *testing.T) {
	for _, text := range []string{
		"*0\r\n", ">0\r\n", "*-1\r\n", "$-1\r\n", ":1\r\n", "*1\r\n:1\r\n", "*1\r\n*0\r\n", "*1\r\n$7\r\nmessage\r\n", "*1\r\n$-1\r\n",
		"*3\r\n$7\r\nmessage\r\n:1\r\n$1\r\na\r\n", "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n:1\r\n", "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n*1\r\n:1\r\n",
		"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n$1\r\na\r\n", "*1\r\n$9\r\nsubscribe\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n$-1\r\n",
		"*2\r\n$4\r\npong\r\n:1\r\n", "*1\r\n$4\r\npong\r\n", "*4\r\n$8\r\npmessage\r\n:1\r\n:1\r\n:1\r\n", "*1\r\n$8\r\npmessage\r\n",
		"%1\r\n*0\r\n+a\r\n", "~1\r\n+a\r\n", "*2\r\n-ERR a\r\n-ERR b\r\n", "-ERR no\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n",
	} {
		t.Run(strings.TrimSpace(strings.ReplaceAll(text, "\r\n", " ")), func(t *testing.T) {
			address, listeners := subscribed(t, text)
			client := redis.NewClient(&redis.Options{Addr: address, Protocol: 2, DisableIdentity: true})
			tier := New(Options{
				Redis: &store.Redis{Client: client, Timeout: 100 * time.Millisecond, Prefix: "p:", Health: store.NewHealth(time.Now, func() bool { return true })},
				Now:   time.Now, Log: slog.New(slog.DiscardHandler), Listener: deaf{},
			})
			for range 2 {
				select {
				case <-listeners:
				case <-time.After(patience):
					t.Error("nobody listens any more")
				}
			}
			_ = tier.Close()
			_ = client.Close()
		})
	}
}
