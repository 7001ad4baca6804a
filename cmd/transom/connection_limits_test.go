package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// bulky is a backend whose every answer is a message of the same megabyte, which
// costs it no memory of its own.
type bulky struct {
	address string
	began   atomic.Int64
	written atomic.Int64
}

func startBulky(t *testing.T) *bulky {
	t.Helper()
	const size = 1 << 20
	message := []byte{0, 0, 0, 0, 0, 0x0a} // the prefix, and the tag of Message.name
	message = binary.AppendUvarint(message, size)
	message = append(message, bytes.Repeat([]byte("x"), size)...)
	binary.BigEndian.PutUint32(message[1:], uint32(len(message)-5))
	b := new(bulky)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Protocols: protocols, ReadHeaderTimeout: time.Minute, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 1000},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b.began.Add(1)
			w.Header().Set("Content-Type", "application/grpc")
			for rest := message; len(rest) > 0; {
				n, err := w.Write(rest[:min(len(rest), 16<<10)])
				b.written.Add(int64(n))
				if err != nil {
					return
				}
				rest = rest[n:]
			}
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // it ends by Close
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	b.address = l.Addr().String()
	return b
}

// miser is a client that gives its streams no window until it is told to.
type miser struct {
	conn    net.Conn
	mu      sync.Mutex // of writes
	framer  *http2.Framer
	streams atomic.Uint32 // that the server allows
	ended   atomic.Int64
	done    chan struct{}
}

func dialMiser(t *testing.T, address net.Addr) *miser {
	t.Helper()
	conn, err := net.Dial(address.Network(), address.String())
	if err != nil {
		t.Fatal(err)
	}
	m := &miser{conn: conn, framer: http2.NewFramer(conn, conn), done: make(chan struct{})}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := m.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
		t.Fatal(err)
	}
	go m.read()
	t.Cleanup(func() {
		_ = conn.Close()
		<-m.done
	})
	return m
}

func (m *miser) read() {
	defer close(m.done)
	for {
		frame, err := m.framer.ReadFrame()
		if err != nil {
			return
		}
		m.mu.Lock()
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if v, ok := frame.Value(http2.SettingMaxConcurrentStreams); ok {
				m.streams.Store(v)
			}
			if !frame.IsAck() {
				_ = m.framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			_ = m.framer.WritePing(true, frame.Data)
		case *http2.DataFrame:
			if n := len(frame.Data()); n > 0 {
				_ = m.framer.WriteWindowUpdate(0, uint32(n)) //nolint:gosec // the size of a frame
			}
		}
		m.mu.Unlock()
		if kind := frame.Header().Type; kind == http2.FrameData && frame.Header().Flags.Has(http2.FlagDataEndStream) {
			m.ended.Add(1)
		}
	}
}

// ask begins so many requests.
func (m *miser) ask(t *testing.T, requests int, fields ...string) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := range requests {
		block.Reset()
		for j := 0; j < len(fields); j += 2 {
			_ = encoder.WriteField(hpack.HeaderField{Name: fields[j], Value: fields[j+1]}) // a bytes.Buffer takes all
		}
		if err := m.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}); err != nil { //nolint:gosec // small
			t.Fatal(err)
		}
	}
}

// open gives all streams a window.
func (m *miser) open() {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
}

func await(t *testing.T, what string, reached func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !reached(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below
}

// TestClientsThatTakeNothing has clients ask for answers of a megabyte and give
// them no window: what waits for one connection is bounded, and all of it comes
// once there is a window (Semantics 303).
//
//transom:norace
func TestClientsThatTakeNothing(t *testing.T) { takeNothing(t, 3, 100) }

// TestClientThatTakesNothing has the race detector see the same of more than may wait.
func TestClientThatTakesNothing(t *testing.T) { takeNothing(t, 1, 20) }

func takeNothing(t *testing.T, clients, requests int) {
	for name, fields := range map[string][]string{
		"JSON":            {},
		"compressed JSON": {"accept-encoding", "gzip"},
	} {
		t.Run(name, func(t *testing.T) {
			backend := startBulky(t)
			address := listeningBefore(t, backend.address, `[{ address: "127.0.0.1:0", max_waiting_bytes: 8388608 }]`)
			before := liveHeap()
			var all []*miser
			for range clients {
				m := dialMiser(t, address)
				await(t, "the server's settings", func() bool { return m.streams.Load() != 0 })
				if got := m.streams.Load(); got != 100 {
					t.Errorf("the server allows %d streams, expected 100", got)
				}
				m.ask(t, requests, append([]string{":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/v1/things/x"}, fields...)...)
				all = append(all, m)
			}
			await(t, "the calls", func() bool { return backend.began.Load() == int64(clients*requests) })
			most, last := int64(0), int64(-1)
			for same := 0; same < 5; {
				most = max(most, liveHeap()-before)
				if now := backend.written.Load(); now != last {
					same, last = 0, now
				} else {
					same++
				}
			}
			t.Logf("%d MiB for %d connections", most>>20, clients)
			// Beside the 8 MiB that may wait, each of the 100 streams may have a compressor, of
			// about half a megabyte. Without the bound, all bodies of a megabyte would be there.
			if most > int64(clients)*60<<20 {
				t.Errorf("%d connections hold %d MiB", clients, most>>20)
			}
			for _, m := range all {
				m.open()
			}
			await(t, "the answers", func() bool {
				n := int64(0)
				for _, m := range all {
					n += m.ended.Load()
				}
				return n == int64(clients*requests)
			})
		})
	}
}

// TestMaxStreams: the number of streams of a client's connection is a setting, of
// which the client is told (Semantics 303).
func TestMaxStreams(t *testing.T) {
	address := listeningBefore(t, startBulky(t).address, `[{ address: "127.0.0.1:0", max_streams: 7 }]`)
	m := dialMiser(t, address)
	await(t, "the server's settings", func() bool { return m.streams.Load() != 0 })
	if got := m.streams.Load(); got != 7 {
		t.Errorf("the server allows %d streams, expected 7", got)
	}
}

// listeningBefore serves before a backend by a configuration with one listener,
// and returns its address. No access log is written: it would be kept in this
// process, whose memory is measured.
func listeningBefore(t *testing.T, backend, listeners string) net.Addr {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "p.proto"), goodProto)
	write(t, filepath.Join(dir, "transom.yaml"), strings.Join([]string{"listeners: " + listeners, `admin: { address: "127.0.0.1:0" }`,
		"telemetry: { log: { access: false } }", "schemas: [{ directory: . }]", `upstreams: { things: { grpc: { target: "` + backend + `" } } }`, ""}, "\n"))
	return served(t, filepath.Join(dir, "transom.yaml"))[0]
}
