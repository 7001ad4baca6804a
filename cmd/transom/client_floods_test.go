package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

// TestClientFloods: Semantics 51: frames without end that ask for nothing, or take
// back what they asked for, leave nothing behind, and other clients are served
// meanwhile. What each frame costs is for net/http to bound.
func TestClientFloods(t *testing.T) {
	const frames = 50_000
	block := func(path string) []byte {
		var b bytes.Buffer
		e := hpack.NewEncoder(&b)
		for _, f := range []hpack.HeaderField{{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "a"}, {Name: ":path", Value: path}} {
			_ = e.WriteField(f) // a bytes.Buffer takes all
		}
		return b.Bytes()
	}
	missing, wrong := block("/missing"), block("/v1/things/x:wrong")
	begin := func(f *http2.Framer, id uint32, ends bool) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: wrong, EndHeaders: true, EndStream: ends})
	}
	address := listeningBefore(t, startBulky(t).address, `[{ address: "127.0.0.1:0" }]`)
	for name, flood := range map[string]func(f *http2.Framer, i uint32) error{
		"settings": func(f *http2.Framer, _ uint32) error { return f.WriteSettings() },
		"settings of windows": func(f *http2.Framer, i uint32) error {
			return f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 + i%100})
		},
		"pings":                   func(f *http2.Framer, _ uint32) error { return f.WritePing(false, [8]byte{}) },
		"the connection's window": func(f *http2.Framer, _ uint32) error { return f.WriteWindowUpdate(0, 1) },
		"priorities":              func(f *http2.Framer, i uint32) error { return f.WritePriority(1+2*i, http2.PriorityParam{}) },
		"frames of no known kind": func(f *http2.Framer, _ uint32) error { return f.WriteRawFrame(0xbb, 0, 0, nil) },
		"requests that are reset": func(f *http2.Framer, i uint32) error {
			_ = begin(f, 1+2*i, true)
			return f.WriteRSTStream(1+2*i, http2.ErrCodeCancel)
		},
		"requests that nobody ends": func(f *http2.Framer, i uint32) error { return begin(f, 1+2*i, false) },
		"data without bytes": func(f *http2.Framer, i uint32) error {
			if i == 0 {
				_ = begin(f, 1, false)
			}
			return f.WriteData(1, false, nil)
		},
		"continuations": func(f *http2.Framer, i uint32) error {
			if i == 0 {
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: missing})
			}
			return f.WriteContinuation(1, false, bytes.Repeat(missing[len(missing)-1:], 100))
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := liveHeap()
			conn, err := net.Dial(address.Network(), address.String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(time.Minute))
			last := [8]byte{1}
			done, read := make(chan struct{}), make(chan struct{}) // the server has got to the end, or closed; nothing is read any more
			go func() {
				defer close(read)
				over := sync.OnceFunc(func() { close(done) })
				defer over()
				for answers := http2.NewFramer(io.Discard, conn); ; {
					frame, err := answers.ReadFrame()
					if err != nil {
						return
					}
					if ping, ok := frame.(*http2.PingFrame); ok && ping.IsAck() && ping.Data == last {
						over()
					}
				}
			}()
			w := bufio.NewWriterSize(conn, 32<<10)
			f := http2.NewFramer(w, nil)
			f.AllowIllegalWrites = true
			_, _ = w.WriteString(http2.ClientPreface)
			_ = f.WriteSettings()
			for i := uint32(0); i < frames && flood(f, i) == nil; i++ { // where it fails, the server has closed
			}
			_ = f.WritePing(false, last)
			_ = w.Flush()
			<-done
			// Calls of requests that were reset end a little later.
			poll.Until(t, "the gateway to hold at most 16 MiB for all the frames", func() bool { return liveHeap()-before <= 16<<20 })
			response, err := http.Get("http://" + address.String() + "/missing")
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != http.StatusNotFound {
				t.Errorf("another client is answered %s", response.Status)
			}
			_ = conn.Close()
			<-read
		})
	}
}
