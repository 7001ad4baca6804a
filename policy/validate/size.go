package validate

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	// freeMessages is how many messages inside a message are never too many. A
	// message with so many has at least twice as many bytes.
	freeMessages = 10_000
	// messageBytes is how many bytes there must be, on average, for each message
	// beyond that. Looked at, an empty message of two bytes takes some 220; with
	// three no request takes 100 times its size (Semantics 51).
	messageBytes = 3
	// maxDepth is where protobuf itself stops.
	maxDepth = 10_000
)

// scope is a message or group that is being read.
type scope struct {
	message protoreflect.MessageDescriptor
	rest    int // how many bytes of the input remain where it ends; -1 for a group
}

// tooManyMessages reports whether looking into a message would cost more than its
// size allows.
func tooManyMessages(root protoreflect.MessageDescriptor, b []byte) bool {
	limit := freeMessages + len(b)/messageBytes
	return countInside(root, b, limit) > limit
}

// countInside counts the messages inside a message without making them, up to
// one more than the limit. It reads each byte once. It stops where the bytes are
// no message: that is for the decoder to refuse.
func countInside(root protoreflect.MessageDescriptor, b []byte, limit int) (count int) {
	stack := []scope{{message: root}}
	for count <= limit {
		top := stack[len(stack)-1]
		if top.rest >= 0 && len(b) <= top.rest {
			if len(stack) == 1 {
				return count
			}
			stack = stack[:len(stack)-1]
			continue
		}
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 || len(stack) > maxDepth {
			return count
		}
		b = b[n:]
		inside := fieldMessage(top.message, number)
		switch {
		case kind == protowire.EndGroupType:
			if top.rest >= 0 {
				return count
			}
			stack = stack[:len(stack)-1]
			continue
		case kind == protowire.StartGroupType:
			stack = append(stack, scope{message: inside, rest: -1})
		case kind == protowire.BytesType && inside != nil:
			size, n := protowire.ConsumeVarint(b)
			if n < 0 || size > uint64(len(b)-n) {
				return count
			}
			b = b[n:]
			stack = append(stack, scope{message: inside, rest: len(b) - int(size)})
		default:
			if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
				return count
			}
			b = b[n:]
			continue
		}
		if inside != nil {
			count++
		}
	}
	return count
}

// fieldMessage is what a field holds, nil for scalars and unknown fields. An
// unknown group is read with nil: nothing in it is known.
func fieldMessage(m protoreflect.MessageDescriptor, number protowire.Number) protoreflect.MessageDescriptor {
	if m == nil {
		return nil
	}
	if field := m.Fields().ByNumber(number); field != nil {
		return field.Message()
	}
	return nil
}
