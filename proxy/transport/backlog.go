package transport

import (
	"encoding/binary"

	"google.golang.org/grpc/mem"
)

const (
	// maxPacked is the size up to which a message that waits behind others is kept
	// packed: a buffer of its own would cost a multiple of it.
	maxPacked = 1 << 10
	// packSize is how many bytes of packed messages are kept in one piece.
	packSize = 4 << 10
)

// backlog are the messages of a server that nobody has asked for yet, first come, first
// served. What small ones take is about the bytes that they came in, prefixes included:
// those are what the windows bound.
type backlog struct {
	parts []part
	room  [2]part
}

// part is one message, or several that are packed.
type part struct {
	one  mem.Buffer // nil stands for an empty message
	pack []byte     // messages with their prefixes; nil: one is the message
}

// len is how many parts there are: 0 where there is no message.
func (b *backlog) len() int { return len(b.parts) }

// add adds a message, nil for an empty one.
func (b *backlog) add(message mem.Buffer) { b.append(part{one: message}) }

func (b *backlog) append(p part) {
	if b.parts == nil {
		b.parts = b.room[:0]
	}
	b.parts = append(b.parts, p)
}

// pack copies a small message that is not the only one, nil for an empty one. It reports
// false where it is not one of those.
func (b *backlog) pack(prefix *[prefixSize]byte, message *[]byte) bool {
	size := prefixSize
	if message != nil {
		size += len(*message)
	}
	if len(b.parts) == 0 || size > maxPacked {
		return false
	}
	last := &b.parts[len(b.parts)-1]
	if cap(last.pack)-len(last.pack) < size {
		b.append(part{pack: make([]byte, 0, packSize)})
		last = &b.parts[len(b.parts)-1]
	}
	last.pack = append(last.pack, prefix[:]...)
	if message != nil {
		last.pack = append(last.pack, *message...)
	}
	return true
}

// next takes the first message; nil is an empty one. There is one.
func (b *backlog) next() (message mem.Buffer) {
	first := &b.parts[0]
	if first.pack == nil {
		message = first.one
	} else {
		end := prefixSize + int(binary.BigEndian.Uint32(first.pack[1:]))
		if end > prefixSize {
			message = mem.SliceBuffer(first.pack[prefixSize:end:end])
		}
		if first.pack = first.pack[end:]; len(first.pack) > 0 {
			return message
		}
	}
	*first = part{}
	if b.parts = b.parts[1:]; len(b.parts) == 0 {
		b.parts = nil
	}
	return message
}
