package transport_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy/transport"
)

// TestDrip: a server that takes little at a time, in the connection's window, the
// streams' and changes of both, gets all of every call in the end, though others that
// wait beside are given up.
func TestDrip(t *testing.T) {
	const calls, size = 80, 3000
	conn := connect(t, listen(t, func(s *rawServer) {
		s.greet(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 700})
		kept := 65_000                        // of the connection's window: the rest goes round
		random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // no secret
		got, live := map[uint32]int{}, map[uint32]bool{}
		for {
			frame, err := s.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.MetaHeadersFrame:
				live[frame.StreamID] = true
			case *http2.RSTStreamFrame:
				delete(live, frame.StreamID)
			case *http2.DataFrame:
				id, n := frame.StreamID, frame.Length
				got[id] += int(n)
				if frame.StreamEnded() {
					s.answer(id, fmt.Sprint(got[id]))
					delete(live, id)
				}
				if n == 0 {
					continue
				}
				if live[id] {
					_ = s.WriteWindowUpdate(id, n)
				}
				if kept > 0 {
					kept -= int(n)
					n = uint32(max(0, -kept))
				}
				// What came is given back in two pieces, also of calls that have ended.
				if half := n / 2; half > 0 {
					_ = s.WriteWindowUpdate(0, half)
				}
				if n > 0 {
					_ = s.WriteWindowUpdate(0, n-n/2)
				}
				if random.IntN(20) == 0 {
					_ = s.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 + random.Uint32N(1400)})
				}
			}
		}
	}))
	var work sync.WaitGroup
	for i := range calls {
		work.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			given := i%4 == 0
			if given {
				short, stop := context.WithCancel(ctx)
				ctx = short
				work.Go(func() {
					for range i * 50 {
						_ = conn.Active() // a little later, more or less
					}
					stop()
				})
			}
			text, err := call(ctx, conn, strings.Repeat("x", size))
			if given && status.Code(err) == codes.Canceled {
				return
			}
			if err != nil || text != fmt.Sprint(size+5) {
				t.Errorf("call %d: %q, %v", i, text, err)
			}
		})
	}
	work.Wait()
}

// TestOneUpdate: one update of the connection's window is enough for all that wait,
// however many are woken at first.
func TestOneUpdate(t *testing.T) {
	const calls, size = 300, 3000 // more than the writer takes at once
	conn := connect(t, listen(t, func(s *rawServer) {
		s.greet(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		got, ended := map[uint32]int{}, 0
		for sum := 0; ; {
			frame, err := s.ReadFrame()
			if err != nil {
				return
			}
			data, ok := frame.(*http2.DataFrame)
			if !ok {
				continue
			}
			id := data.StreamID
			got[id] += int(data.Length)
			if sum += int(data.Length); sum == 65535 {
				_ = s.WriteWindowUpdate(0, 1<<30)
			}
			if !data.StreamEnded() {
				continue
			}
			if ended++; ended < calls {
				continue // the end of a call wakes others, too
			}
			for id, n := range got {
				s.answer(id, fmt.Sprint(n))
			}
		}
	}))
	var work sync.WaitGroup
	for range calls {
		work.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if text, err := call(ctx, conn, strings.Repeat("x", size)); text != fmt.Sprint(size+5) {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
	work.Wait()
}

// TestWokenInVain: where the one that an update woke is given up, another one that
// waits has its turn.
func TestWokenInVain(t *testing.T) {
	const rounds, givenUp, size = 200, 9, 3000
	given := make(chan struct{})
	conn := connect(t, listen(t, func(s *rawServer) {
		s.greet(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		s.answer(s.request(), "") // which takes all of the connection's window
		for begun := 0; ; {
			frame, err := s.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.MetaHeadersFrame:
				if begun++; begun%(givenUp+1) == 0 {
					given <- struct{}{}
					_ = s.WriteWindowUpdate(0, size+5)
				}
			case *http2.DataFrame:
				if string(frame.Data()[5:6]) == "x" { // of a call that is given up
					_ = s.WriteWindowUpdate(0, size+5)
				} else {
					s.answer(frame.StreamID, "well")
				}
			}
		}
	}))
	all := &transport.Request{Method: "/test.Test/Unary", Limit: testLimit, Message: mem.BufferSlice{mem.SliceBuffer(strings.Repeat("x", 65535-5))}}
	if _, err := conn.Call(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	for round := range rounds {
		var work sync.WaitGroup
		short, stop := context.WithCancel(t.Context())
		for range givenUp {
			work.Go(func() { _, _ = call(short, conn, strings.Repeat("x", size)) }) // whatever becomes of it
		}
		work.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if text, err := call(ctx, conn, strings.Repeat("y", size)); text != "well" {
				t.Errorf("round %d: %q, %v", round, text, err)
			}
		})
		<-given
		stop()
		if work.Wait(); t.Failed() {
			return
		}
	}
}
