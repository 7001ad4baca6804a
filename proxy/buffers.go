package proxy

import (
	"math/bits"
	"sync"

	"google.golang.org/grpc/mem"
)

// Buffers lends the buffers of all messages, those that grpc-go reads into
// included. Its buffers come back when the last reference to a Frame is freed.
var Buffers mem.BufferPool = new(buffers)

const (
	minShift = 8  // 256 bytes
	maxShift = 20 // 1 MiB; larger buffers are left to the garbage collector
)

// buffers is a pool of byte slices by powers of two. Unlike grpc-go's own it
// does not clear what it lends: every user writes a buffer before it reads it,
// and clearing 64 KiB costs more than many a call.
type buffers struct {
	sizes [maxShift - minShift + 1]sync.Pool
}

var _ mem.BufferPool = (*buffers)(nil)

// class is the index of the smallest size that holds n bytes; past the last one
// for what is not pooled.
func class(n int) int {
	return max(bits.Len(uint(max(n, 1)-1)), minShift) - minShift
}

// Get implements mem.BufferPool.
func (b *buffers) Get(length int) *[]byte {
	c := class(length)
	if c >= len(b.sizes) {
		buf := make([]byte, length)
		return &buf
	}
	if buf, ok := b.sizes[c].Get().(*[]byte); ok {
		*buf = (*buf)[:length]
		return buf
	}
	buf := make([]byte, length, 1<<(c+minShift))
	return &buf
}

// Put implements mem.BufferPool. It takes back what Get made.
func (b *buffers) Put(buf *[]byte) {
	size := cap(*buf)
	if c := class(size); c < len(b.sizes) && size == 1<<(c+minShift) {
		b.sizes[c].Put(buf)
	}
}
