package transport

import (
	"bufio"
	"encoding/binary"
	"io"
	"math"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

const (
	// prefixSize is that of gRPC's message prefix: a flag and a length.
	prefixSize = 5
	// trusted is how much memory a message's claimed length gets at once; more as
	// it arrives.
	trusted = 1 << 20
	// maxWindow is what a stream's window grows to where the client keeps up.
	maxWindow = 1 << 20
)

// incoming is the half of a stream that the server sends. Its mutex is the
// stream's; what it says is the reader's own is not guarded.
type incoming struct {
	messages backlog
	held     int64  // bytes in messages
	window   int64  // what the server may still send
	target   int64  // what window and held should add up to
	missing  int64  // bytes of the message that is arriving
	wanted   bool   // somebody waits for a message
	claim    *claim // the room of the message that is arriving, nil for none

	// reader's own
	prefix [prefixSize]byte
	have   int     // bytes of the prefix, while buffer is nil
	buffer *[]byte // of the message that is arriving
	filled int
	size   int
	count  int // messages
}

// expect takes a DATA frame into account and reports whether it is wanted.
func (in *incoming) expect(s *Stream, length int64) bool {
	s.mu.Lock()
	ending := s.ending
	in.window -= length
	broken := in.window < 0
	s.mu.Unlock()
	if !ending && broken {
		s.closeWith(http2.ErrCodeFlowControl, status.Error(codes.Internal, "the backend breaks the rules of HTTP/2"))
	}
	return !ending && !broken
}

// read reads n bytes of a DATA frame into messages. What is left of it is
// returned when the stream was ended for what it held; an error is the
// connection's.
func (in *incoming) read(s *Stream, br *bufio.Reader, n int) (left int, err error) {
	for n > 0 {
		if in.buffer == nil {
			k := min(prefixSize-in.have, n)
			if _, err := io.ReadFull(br, in.prefix[in.have:in.have+k]); err != nil {
				return 0, err
			}
			n -= k
			if in.have += k; in.have < prefixSize {
				break
			}
			if err := in.begin(s); err != nil {
				s.closeWith(http2.ErrCodeCancel, err)
				return n, nil
			}
			continue
		}
		if in.filled == len(*in.buffer) {
			in.grow(s)
		}
		k := min(len(*in.buffer)-in.filled, n)
		if _, err := io.ReadFull(br, (*in.buffer)[in.filled:in.filled+k]); err != nil {
			return 0, err
		}
		n -= k
		if in.filled += k; in.filled == in.size {
			in.complete(s, in.buffer)
		}
	}
	if in.buffer != nil {
		s.mu.Lock()
		in.missing = int64(in.size - in.filled)
		credit := in.grant(s)
		s.mu.Unlock()
		s.widen(credit)
	}
	return 0, nil
}

// within reports whether a message has begun and not ended.
func (in *incoming) within() bool { return in.buffer != nil || in.have > 0 }

// begin looks at a message's prefix.
func (in *incoming) begin(s *Stream) error {
	size := binary.BigEndian.Uint32(in.prefix[1:])
	switch {
	case in.prefix[0] == 1:
		return status.Errorf(codes.Internal, "the backend compressed its answer with %.40q, though nobody asked for it", s.encoding)
	case in.prefix[0] != 0:
		return status.Errorf(codes.Internal, "the backend sent a message with the flag %d, want 0", in.prefix[0])
	case int64(size) > int64(s.limit):
		return &TooLargeError{Size: size, Limit: uint32(s.limit)}
	case s.unary && in.count > 0:
		return ErrManyAnswers
	}
	in.count++
	in.size, in.filled = int(size), 0
	if size == 0 {
		in.complete(s, nil)
		return nil
	}
	first := trusted
	if in.size > freeMessage {
		if s.claim(in.size); s.waitsForRoom() {
			first = defaultMaxFrame
		}
	}
	in.buffer = s.conn.options.Pool.Get(min(in.size, first))
	return nil
}

// grow makes room for more of a large message.
func (in *incoming) grow(s *Stream) {
	larger := s.conn.options.Pool.Get(min(2*in.filled, in.size))
	copy(*larger, *in.buffer)
	s.conn.options.Pool.Put(in.buffer)
	in.buffer = larger
}

// complete hands a message over, nil for an empty one.
func (in *incoming) complete(s *Stream, buffer *[]byte) {
	in.buffer, in.have = nil, 0
	pool := s.conn.options.Pool
	if in.size > freeMessage {
		pool = s.bufferPool()
	}
	s.mu.Lock()
	in.missing = 0
	if s.ending {
		s.mu.Unlock()
		if buffer != nil {
			pool.Put(buffer) // without the lock: it may make room for other streams
		}
		return
	}
	packed := in.messages.pack(&in.prefix, buffer)
	if !packed {
		var message mem.Buffer
		if buffer != nil {
			message = mem.NewBuffer(buffer, pool)
		}
		in.messages.add(message)
	}
	in.held += int64(in.size + prefixSize)
	if !s.unary {
		signal(s.wake)
	}
	s.mu.Unlock()
	if packed && buffer != nil {
		pool.Put(buffer)
	}
}

// grant returns by how much the window has to grow for a message that is larger,
// once it is the one that is waited for. s.mu is held.
func (in *incoming) grant(s *Stream) (credit int64) {
	if in.claim != nil && in.claim.waiting {
		return 0
	}
	if need := min(in.missing, math.MaxInt32); (s.unary || in.wanted) && need > in.window {
		credit = need - in.window
		in.window += credit
	}
	return credit
}

// next takes the first message and returns by how much the window grows for it.
// s.mu is held.
func (in *incoming) next() (message mem.Buffer, credit int64) {
	message = in.messages.next()
	in.held -= prefixSize
	if message != nil {
		in.held -= int64(message.Len())
	}
	if in.held == 0 && in.window < in.target/2 && in.target < maxWindow {
		in.target = min(2*in.target, maxWindow) // the network is what this stream waits for
	}
	if credit = in.target - in.window - in.held; credit < in.target/2 {
		return message, 0
	}
	in.window += credit
	return message, credit
}

// widen lets the server send n bytes more.
func (s *Stream) widen(n int64) {
	if n == 0 {
		return
	}
	c := s.conn
	c.mu.Lock()
	if !c.table.has(s) {
		c.mu.Unlock()
		return
	}
	if c.writer.stuck() {
		c.mu.Unlock()
		c.fail(status.Error(codes.Unavailable, "the backend does not read"))
		return
	}
	c.writer.number(http2.FrameWindowUpdate, s.id, uint32(n))
	turn := c.claim()
	c.mu.Unlock()
	c.flush(turn)
}
