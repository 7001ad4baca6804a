package proxy

import (
	"bytes"

	"google.golang.org/grpc/mem"
)

// Frame is one protobuf message in wire format: the one currency between
// packages. It holds a reference to counted buffers. Whoever holds a Frame owns
// it, passes it on or calls Free once; the zero Frame is the empty message.
type Frame struct {
	buffers mem.BufferSlice
	note    *Note
	forms   *Forms
}

// NewFrame copies b into pooled memory.
func NewFrame(b []byte) Frame {
	if len(b) == 0 {
		return Frame{}
	}
	if len(b) <= smallMessage {
		m := new(small)
		m.SliceBuffer = m.bytes[:copy(m.bytes[:], b)]
		m.list[0] = m
		return Frame{buffers: m.list[:]}
	}
	if mem.IsBelowBufferPoolingThreshold(len(b)) {
		return WrapFrame(bytes.Clone(b))
	}
	return Frame{buffers: mem.BufferSlice{mem.Copy(b, Buffers)}}
}

// smallMessage is up to where a message stands beside its buffer, in bytes.
const smallMessage = 160

// small is a small message, its buffer and the list of that in one piece of memory.
type small struct {
	wrapped
	bytes [smallMessage]byte
}

// wrapped is a buffer that nobody frees, and the list of it.
type wrapped struct {
	mem.SliceBuffer
	list [1]mem.Buffer
}

// WrapFrame takes b as it is. The caller must not change b any more; nobody
// frees it but the garbage collector.
func WrapFrame(b []byte) Frame {
	if len(b) == 0 {
		return Frame{}
	}
	w := &wrapped{SliceBuffer: b}
	w.list[0] = w
	return Frame{buffers: w.list[:]}
}

// FrameOf takes over one reference to each of the buffers.
func FrameOf(buffers mem.BufferSlice) Frame { return Frame{buffers: buffers} }

// Buffers returns the frame's buffers; they stay the frame's.
func (f Frame) Buffers() mem.BufferSlice { return f.buffers }

// Len returns the message's size in bytes.
func (f Frame) Len() int { return f.buffers.Len() }

// Bytes returns the message as one slice, valid until Free. A message that
// arrived in several pieces is joined once, in pooled memory.
func (f *Frame) Bytes() []byte {
	switch len(f.buffers) {
	case 0:
		return nil
	case 1:
		return f.buffers[0].ReadOnlyData()
	}
	joined := f.buffers.MaterializeToBuffer(Buffers)
	f.buffers.Free()
	f.buffers = mem.BufferSlice{joined}
	return joined.ReadOnlyData()
}

// Ref returns a second owner's handle on the same message.
func (f Frame) Ref() Frame {
	f.buffers.Ref()
	return f
}

// Free gives the frame's reference back.
func (f *Frame) Free() {
	f.buffers.Free()
	f.buffers = nil
}
