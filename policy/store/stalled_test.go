package store

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// TestStalledMessage: Traffic 127: a message of which half has come when a listener's time is over is not taken for the
// beginning of the next one: the connection ends, so that the listener knows that it has missed something.
func TestStalledMessage(t *testing.T) {
	const first, rest = "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n", "$5\r\nhello\r\n"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	late, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		asked := make([]byte, 4096)
		for {
			n, err := conn.Read(asked)
			if err != nil {
				return
			}
			switch text := strings.ToLower(string(asked[:n])); {
			case strings.Contains(text, "hello"):
				_, _ = io.WriteString(conn, "-ERR unknown command 'HELLO'\r\n"+strings.Repeat("+OK\r\n", strings.Count(text, "*")-1))
			case strings.Contains(text, "subscribe"):
				_, _ = io.WriteString(conn, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"+first)
				<-late
				_, _ = io.WriteString(conn, rest)
			}
		}
	}()
	store, _ := storeOf(t, "redis://"+l.Addr().String(), time.Now)
	channel := store.Client.Subscribe(t.Context(), "c")
	if got, err := channel.ReceiveTimeout(t.Context(), 10*time.Second); err != nil {
		t.Fatalf("%v, %v", got, err)
	}
	got, err := channel.ReceiveTimeout(t.Context(), 50*time.Millisecond)
	var netErr net.Error
	if err == nil || errors.As(err, &netErr) && netErr.Timeout() {
		t.Errorf("half a message is %v, %v, which says that there was none", got, err)
	}
	close(late)
	if got, err := channel.ReceiveTimeout(t.Context(), 50*time.Millisecond); err == nil {
		if _, again := got.(*redis.Subscription); !again {
			t.Errorf("the other half is taken for %v", got)
		}
	}
	_ = channel.Close()
	_ = l.Close()
	<-ended
}
