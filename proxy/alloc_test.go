//go:build !race

package proxy

import (
	"context"
	"testing"

	"google.golang.org/grpc/metadata"
)

// still is both halves of a call without memory of its own.
type still struct{ request, reply Frame }

func (*still) Open(ctx context.Context) (context.Context, error) { return ctx, nil }
func (s *still) Recv() (Frame, error)                            { return s.request, nil }
func (*still) Header(metadata.MD)                                {}
func (*still) Send(Frame) error                                  { return nil }
func (*still) Flush()                                            {}
func (*still) Unblock()                                          {}
func (*still) Finish(error, metadata.MD) int                     { return 0 }

// stillBackend answers at once.
type stillBackend struct {
	Backend
	reply Frame
}

func (b stillBackend) Call(context.Context, string, Metadata, Frame) (Reply, error) {
	return Reply{Message: b.reply}, nil
}

// TestUnaryAllocations: the relay of a unary call takes no memory, also where its messages are shown.
//
//transom:norace
func TestUnaryAllocations(t *testing.T) {
	s := &still{WrapFrame([]byte("request")), WrapFrame([]byte("reply"))}
	shown := 0
	show := func(context.Context, *Frame) error {
		shown++
		return nil
	}
	call, of := new(Call), Call{Downstream: s, Backend: stillBackend{reply: s.reply}, OnRequest: show, OnReply: show}
	if n := testing.AllocsPerRun(100, func() {
		*call = of
		if r := Relay(t.Context(), call); r.Err != nil {
			t.Fatal(r.Err)
		}
	}); n != 0 || shown == 0 {
		t.Errorf("%v allocations a call, %d messages shown", n, shown)
	}
}
