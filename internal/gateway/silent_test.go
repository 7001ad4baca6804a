package gateway_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/transom-gateway/transom/internal/gatewaytest"
)

// TestSilentClients has clients send the beginning of a zstd frame with a window
// of 8 MiB, and then nothing: they hold what they have sent, and no window
// (Semantics 303).
func TestSilentClients(t *testing.T) {
	const clients = 40
	var zipped bytes.Buffer
	z, err := zstd.NewWriter(&zipped, zstd.WithWindowSize(8<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // blocks
		if _, err := io.WriteString(z, `{"title":"a book"}`); err != nil {
			t.Fatal(err)
		}
		if err := z.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	g := gatewaytest.Start(t, gatewaytest.Options{})
	before := liveHeap()
	for range clients {
		conn, err := net.Dial("tcp", g.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		_, _ = fmt.Fprintf(conn, "POST /v1/shelves/1/books HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Encoding: zstd\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n")
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || response.StatusCode != http.StatusContinue {
			t.Fatal(response, err) // the body is not read
		}
		if _, err := conn.Write(zipped.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	most := int64(0)
	for range 10 {
		most = max(most, liveHeap()-before)
	}
	if most > clients*512<<10 {
		t.Errorf("%d clients hold %d KiB", clients, most>>10)
	}
}

func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below
}
