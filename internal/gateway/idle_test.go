package gateway_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/pipes"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// upgradeRaw opens a WebSocket without a library, which costs the client next to
// nothing.
func upgradeRaw(c net.Conn, path string) error {
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(c, 512), nil)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	return nil
}

// closeRaw reads frames up to the close frame, answers it and returns its code.
func closeRaw(c net.Conn) (code int, err error) {
	defer func() { _ = c.Close() }()
	for {
		var head [4]byte
		if _, err := io.ReadFull(c, head[:2]); err != nil {
			return 0, err
		}
		size := int(head[1] & 0x7f)
		if size == 126 {
			if _, err := io.ReadFull(c, head[2:]); err != nil {
				return 0, err
			}
			size = int(binary.BigEndian.Uint16(head[2:]))
		}
		payload := make([]byte, size)
		if _, err := io.ReadFull(c, payload); err != nil {
			return 0, err
		}
		if head[0]&0x0f == 8 {
			_, err := c.Write(append([]byte{0x88, 0x82, 0, 0, 0, 0}, payload[:2]...))
			return int(binary.BigEndian.Uint16(payload)), err
		}
	}
}

// idleSockets opens n WebSockets on which nothing happens, measures, and shuts
// the gateway down.
func idleSockets(t testing.TB, n int) (bytesEach int64) {
	var running atomic.Int64
	s := &stub{watch: func(_ *pb.WatchBooksRequest, stream watchStream) error {
		running.Add(1)
		<-stream.Context().Done()
		return stream.Context().Err()
	}}
	g := startStub(t, s, "")
	// Ten thousand connections that need no file descriptors. The server in front opens
	// sockets alone, and is not measured here.
	l := pipes.Listen()
	server := &http.Server{Handler: g}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l) // it ends by Close or Stop
	}()
	defer func() {
		_ = server.Close()
		<-served
	}()
	before := inUse()
	conns := make([]net.Conn, n)
	for i := range conns {
		conns[i] = l.Dial()
		if err := upgradeRaw(conns[i], watchPath); err != nil {
			t.Fatal(err)
		}
	}
	poll.Until(t, "the streams to reach the backend", func() bool { return running.Load() == int64(n) })
	bytesEach = (inUse() - before) / int64(n)

	g.Drain()
	var clean atomic.Int64
	var all sync.WaitGroup
	for _, c := range conns {
		all.Go(func() {
			if code, err := closeRaw(c); err == nil && code == 1012 {
				clean.Add(1)
			}
		})
	}
	all.Wait()
	if clean.Load() != int64(n) {
		t.Errorf("%d of %d WebSockets were closed cleanly", clean.Load(), n)
	}
	if err := g.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	return bytesEach
}

// inUse is the memory of heap and stacks after a collection, in bytes.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// TestIdleWebSockets counts the client's and the backend's halves, too, as they
// are in the same process.
func TestIdleWebSockets(t *testing.T) {
	n := 10_000
	if raceDetector {
		n = 500
	}
	each := idleSockets(t, n)
	t.Logf("%d idle WebSockets take %d bytes each", n, each)
	if each > 64<<10 && !raceDetector {
		t.Errorf("an idle WebSocket takes %d bytes, at most 64 KiB are wanted", each)
	}
}

// BenchmarkIdleWebSocket reports the memory of a stream.
func BenchmarkIdleWebSocket(b *testing.B) {
	for b.Loop() {
		b.ReportMetric(float64(idleSockets(b, 10_000)), "B/stream")
	}
}
