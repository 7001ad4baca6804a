package proxy

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// passthrough hands wire bytes to grpc-go as they are. Its name is grpc-go's
// default, so the content type on the wire is that of any other client.
type passthrough struct{}

var _ encoding.CodecV2 = passthrough{}

func (passthrough) Name() string { return "proto" }

// Marshal lends the frame's buffers; grpc-go frees the reference it gets.
func (passthrough) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*Frame)
	if !ok {
		return nil, fmt.Errorf("cannot send a %T, want a frame", v)
	}
	f.buffers.Ref()
	return f.buffers, nil
}

// Unmarshal keeps the buffers beyond the call, so it takes a reference.
func (passthrough) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*Frame)
	if !ok {
		return fmt.Errorf("cannot receive into a %T, want a frame", v)
	}
	data.Ref()
	f.buffers = data
	return nil
}
