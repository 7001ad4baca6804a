package schema

import (
	"iter"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// FieldMessages are the messages of a message's fields, in their order, one as often as there are fields of it, without those
// whose files are missing.
func FieldMessages(m protoreflect.MessageDescriptor) iter.Seq[protoreflect.MessageDescriptor] {
	return func(yield func(protoreflect.MessageDescriptor) bool) {
		for i := range m.Fields().Len() {
			below := m.Fields().Get(i).Message()
			if below != nil && !below.IsPlaceholder() && !yield(below) {
				return
			}
		}
	}
}

// Reachable are a message and all that its fields lead to, each once.
func Reachable(m protoreflect.MessageDescriptor) iter.Seq[protoreflect.MessageDescriptor] {
	return func(yield func(protoreflect.MessageDescriptor) bool) {
		seen := map[protoreflect.MessageDescriptor]bool{m: true}
		for queue := []protoreflect.MessageDescriptor{m}; len(queue) > 0; queue = queue[1:] {
			if !yield(queue[0]) {
				return
			}
			for next := range FieldMessages(queue[0]) {
				if !seen[next] {
					seen[next] = true
					queue = append(queue, next)
				}
			}
		}
	}
}
