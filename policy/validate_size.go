package policy

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
	// three no request takes 100 times its size (SEMANTICS 51).
	messageBytes = 3
	// maxDepth is where protobuf itself stops.
	maxDepth = 10_000
)

// scope is a message or group that is being read.
type scope struct {
	message protoreflect.MessageDescriptor
	rest    int // how many bytes of the input remain where it ends; -1 for a group
}

// tooManyMessages counts the messages inside a message without making them. It
// reads each byte once. Bytes that are no message are not too many: they are for
// the decoder to refuse.
func tooManyMessages(root protoreflect.MessageDescriptor, b []byte) bool {
	limit := freeMessages + len(b)/messageBytes
	stack := []scope{{message: root}}
	for count := 0; ; {
		top := stack[len(stack)-1]
		if top.rest >= 0 && len(b) <= top.rest {
			if len(stack) == 1 {
				return false
			}
			stack = stack[:len(stack)-1]
			continue
		}
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 || len(stack) > maxDepth {
			return false
		}
		b = b[n:]
		inside := fieldMessage(top.message, number)
		switch {
		case kind == protowire.EndGroupType:
			if top.rest >= 0 {
				return false
			}
			stack = stack[:len(stack)-1]
			continue
		case kind == protowire.StartGroupType:
			stack = append(stack, scope{message: inside, rest: -1})
		case kind == protowire.BytesType && inside != nil:
			size, n := protowire.ConsumeVarint(b)
			if n < 0 || size > uint64(len(b)-n) {
				return false
			}
			b = b[n:]
			stack = append(stack, scope{message: inside, rest: len(b) - int(size)})
		default:
			if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
				return false
			}
			b = b[n:]
			continue
		}
		if inside != nil {
			if count++; count > limit {
				return true
			}
		}
	}
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
