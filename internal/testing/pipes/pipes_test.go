package pipes_test

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/pipes"
)

func TestListener(t *testing.T) {
	l := pipes.Listen()
	go func() {
		conn := l.Dial()
		_, _ = io.WriteString(conn, "hello")
		_ = conn.Close()
	}()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(conn); string(text) != "hello" || err != nil {
		t.Errorf("%q %v", text, err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	if _, err := l.Dial().Read(make([]byte, 1)); err == nil {
		t.Error("a connection to nobody")
	}
}
