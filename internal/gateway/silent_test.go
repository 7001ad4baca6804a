package gateway_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// TestSilentClients has clients send the beginning of a zstd frame with a window
// of 8 MiB, and then nothing: they hold what they have sent, and no window of that
// size (Semantics 303).
func TestSilentClients(t *testing.T) {
	const clients = 40
	var zipped bytes.Buffer
	z, err := zstd.NewWriter(&zipped, zstd.WithWindowSize(8<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // blocks
		if _, err := io.WriteString(z, `{"text":"a book"}`); err != nil {
			t.Fatal(err)
		}
		if err := z.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	g := gatewaytest.Start(t, gatewaytest.Options{})
	for path, framing := range map[string]string{"/v1/shelves/1/books": "Content-Length: 100000", "/v1/discuss:stream": "Transfer-Encoding: chunked"} {
		stream := strings.HasSuffix(framing, "chunked")
		before := liveHeap()
		for range clients {
			conn, r := beginBody(t, g.Addr, path, framing)
			defer func() { _ = conn.Close() }()
			if stream {
				_, _ = fmt.Fprintf(conn, "%x\r\n", zipped.Len())
			}
			if _, err := conn.Write(zipped.Bytes()); err != nil {
				t.Fatal(err)
			}
			if !stream {
				continue
			}
			response, err := http.ReadResponse(r, nil)
			if err != nil || response.StatusCode != http.StatusOK {
				t.Fatal(response, err) // every remark is answered
			}
		}
		most := int64(0)
		for range 10 {
			most = max(most, liveHeap()-before)
		}
		limit := int64(clients * 512 << 10)
		if stream {
			limit *= 2 // its decompressor works, with room for four blocks
		}
		if most > limit {
			t.Errorf("%s: %d clients hold %d KiB", path, clients, most>>10)
		}
	}
}

// beginBody sends the header of a request and waits until its body is wanted.
func beginBody(t *testing.T, address, path, framing string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Encoding: zstd\r\n%s\r\nExpect: 100-continue\r\n\r\n", path, framing)
	r := bufio.NewReader(conn)
	response, err := http.ReadResponse(r, nil)
	if err != nil || response.StatusCode != http.StatusContinue {
		t.Fatal(response, err) // the body is not read
	}
	return conn, r
}

func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below
}
