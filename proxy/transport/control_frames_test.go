package transport_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy/transport"
)

// drainAside reads what the client sends while the script writes.
func (s *rawServer) drainAside() {
	go s.drain() // it ends with the connection
}

// TestControlFloods has servers send frames without end that carry nothing of a
// call: the connection is closed after some two thousand of them (Semantics 51).
func TestControlFloods(t *testing.T) {
	for name, flood := range map[string]func(s *rawServer, live, ended uint32) error{
		"settings": func(s *rawServer, _, _ uint32) error { return s.WriteSettings() },
		"settings that change the windows": func(s *rawServer, _, _ uint32) error {
			return s.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		},
		"acknowledgements of settings": func(s *rawServer, _, _ uint32) error { return s.WriteSettingsAck() },
		"pings":                        func(s *rawServer, _, _ uint32) error { return s.WritePing(false, [8]byte{}) },
		"answers to pings":             func(s *rawServer, _, _ uint32) error { return s.WritePing(true, [8]byte{}) },
		"the connection's window": func(s *rawServer, _, _ uint32) error {
			return s.WriteWindowUpdate(0, 1)
		},
		"many settings in a frame": func(s *rawServer, _, _ uint32) error {
			return s.WriteSettings(slices.Repeat([]http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 1 << 20}}, 2700)...)
		},
		"interim responses": func(s *rawServer, live, _ uint32) error {
			return s.WriteHeaders(http2.HeadersFrameParam{StreamID: live, BlockFragment: s.fields(":status", "103"), EndHeaders: true})
		},
		"a stream's window": func(s *rawServer, live, _ uint32) error { return s.WriteWindowUpdate(live, 1) },
		"no room in a window": func(s *rawServer, _, ended uint32) error {
			return s.WriteRawFrame(http2.FrameWindowUpdate, 0, ended, []byte{0, 0, 0, 0})
		},
		"resets of a call that has ended": func(s *rawServer, _, ended uint32) error {
			return s.WriteRSTStream(ended, http2.ErrCodeCancel)
		},
		"priorities": func(s *rawServer, live, _ uint32) error {
			return s.WritePriority(live, http2.PriorityParam{})
		},
		"frames of an unknown type": func(s *rawServer, _, _ uint32) error { return s.WriteRawFrame(0xbe, 0, 0, nil) },
		"empty data":                func(s *rawServer, live, _ uint32) error { return s.WriteData(live, false, nil) },
		"padding alone": func(s *rawServer, live, _ uint32) error {
			return s.WriteDataPadded(live, false, nil, []byte{0})
		},
		"data of a call that has ended": func(s *rawServer, _, ended uint32) error {
			return s.WriteData(ended, false, []byte("x"))
		},
		"headers of a call that has ended": func(s *rawServer, _, ended uint32) error {
			return s.WriteHeaders(http2.HeadersFrameParam{StreamID: ended, BlockFragment: s.fields("grpc-status", "0"), EndHeaders: true, EndStream: true})
		},
		"empty continuations": func(s *rawServer, live, _ uint32) error { return s.WriteContinuation(live, false, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent := 0
				conn := connectPipe(t, func(s *rawServer) {
					ended := s.request()
					s.answer(ended, "x")
					live := s.request()
					s.drainAside()
					if name == "empty continuations" {
						_ = s.WriteHeaders(http2.HeadersFrameParam{StreamID: live, BlockFragment: s.fields(":status", "200")})
					} else {
						s.begin(live)
					}
					for ; sent < 1e6 && flood(s, live, ended) == nil; sent++ {
					}
				})
				succeed(t, conn, "x")
				err := exchange(t.Context(), conn, &transport.Request{}, "x")
				if status.Code(err) != codes.Unavailable || !errors.Is(err, transport.ErrFlood) {
					t.Errorf("the call ended with %v", err)
				}
				<-conn.Done()
				synctest.Wait()
				most := 3000
				if name == "many settings in a frame" {
					most = 3 // each setting counts
				}
				if sent > most {
					t.Errorf("%d frames were taken", sent)
				}
				if !conn.Flooded() {
					t.Error("nobody is told of the flood")
				}
			})
		})
	}
}

// TestFloodGoAway: the server is told why it is left.
func TestFloodGoAway(t *testing.T) {
	code := make(chan http2.ErrCode, 1)
	conn := connect(t, listen(t, func(s *rawServer) {
		s.greet()
		// In one piece, so that nothing is left unread, for which TCP would reset.
		_, _ = s.conn.Write(bytes.Repeat([]byte{0, 0, 0, byte(http2.FrameSettings), byte(http2.FlagSettingsAck), 0, 0, 0, 0}, 1100))
		if frame, ok := s.await(http2.FrameGoAway).(*http2.GoAwayFrame); ok {
			code <- frame.ErrCode
		}
		close(code)
	}))
	wait(t, "the connection's end", conn.Done())
	if got := <-code; got != http2.ErrCodeEnhanceYourCalm {
		t.Errorf("GOAWAY says %v", got)
	}
}

// TestControlFrames has servers send control frames in measure, and long after one
// another: they are left alone.
func TestControlFrames(t *testing.T) {
	t.Run("beside answers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			conn := connectPipe(t, func(s *rawServer) {
				for range 1000 {
					id := s.request()
					for range 5 {
						_ = s.WriteWindowUpdate(0, 1)
						_ = s.WritePing(false, [8]byte{})
					}
					s.answer(id, "x")
				}
				s.drain()
			})
			for range 1000 {
				succeed(t, conn, "x")
			}
		})
	})
	t.Run("beside what the client sends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			const messages = 5000
			conn := connectPipe(t, func(s *rawServer) {
				id := s.call()
				for range messages {
					s.await(http2.FrameData)
					_ = s.WriteWindowUpdate(0, 6)
					_ = s.WriteWindowUpdate(id, 6)
				}
				s.await(http2.FrameData)
				s.answer(id, "x")
				s.drain()
			})
			stream, err := conn.Open(t.Context(), &transport.Request{Method: "/test.Test/Stream", Limit: testLimit})
			if err != nil {
				t.Fatal(err)
			}
			for range messages {
				if err := stream.Send(mem.BufferSlice{mem.SliceBuffer("x")}); err != nil {
					t.Fatal(err)
				}
			}
			_ = stream.CloseSend()
			if _, err := stream.Recv(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("a ping a second", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			conn := connectPipe(t, func(s *rawServer) {
				s.drainAside()
				for range 10_000 {
					if s.WritePing(false, [8]byte{}) != nil {
						return
					}
					time.Sleep(time.Second)
				}
			})
			select {
			case <-conn.Done():
			case <-time.After(9999 * time.Second):
			}
			if conn.Flooded() {
				t.Error("the connection was closed")
			}
		})
	})
}

// TestDataOfResetCalls: what a server had sent of a call until it heard of the reset is no flood, however
// small its messages, as long as it is within the call's window (Semantics 51).
func TestDataOfResetCalls(t *testing.T) {
	const window, frame = 65535, 6 // of a message of one byte
	for name, test := range map[string]struct {
		frames int
		floods bool
	}{
		"within the window": {window / frame, false},
		"beyond it":         {1e6, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent := 0
				conn := connectPipe(t, func(s *rawServer) {
					id := s.call()
					s.begin(id)
					s.await(http2.FrameRSTStream)
					for ; sent < test.frames && s.WriteData(id, false, []byte("\x00\x00\x00\x00\x01x")) == nil; sent++ {
					}
					if !test.floods {
						s.answer(s.request(), "x")
					}
					s.drain()
				})
				ctx, cancel := context.WithCancel(t.Context())
				stream, err := conn.Open(ctx, &transport.Request{Method: "/test.Test/Stream", Limit: testLimit})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := stream.Header(); err != nil {
					t.Fatal(err)
				}
				cancel()
				synctest.Wait() // the reset is before the next call
				if !test.floods {
					succeed(t, conn, "x")
					return
				}
				<-conn.Done()
				if most := window/frame + 3000; !conn.Flooded() || sent > most {
					t.Errorf("flooded: %v; %d frames were taken, want at most %d", conn.Flooded(), sent, most)
				}
			})
		})
	}
}

func succeed(t *testing.T, conn *transport.Conn, text string) {
	if err := exchange(t.Context(), conn, &transport.Request{}, text); err != nil {
		t.Errorf("%s: %v", text, err)
	}
}
