// Package digest tells whether two methods, of two schemas, have the same messages.
package digest

import (
	"crypto/sha256"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Of is of a method's messages, with all that are in them, and of further messages. method
// may be nil, for what has none.
func Of(method protoreflect.MethodDescriptor, more ...proto.Message) [sha256.Size]byte {
	h := sha256.New()
	write := func(m proto.Message) {
		b, _ := proto.MarshalOptions{Deterministic: true}.Marshal(m) // nil has no bytes
		_, _ = fmt.Fprintf(h, "%d:%s", len(b), b)
	}
	done := map[protoreflect.FullName]bool{}
	var messages func(m protoreflect.MessageDescriptor)
	messages = func(m protoreflect.MessageDescriptor) {
		if done[m.FullName()] {
			return
		}
		done[m.FullName()] = true
		write(protodesc.ToDescriptorProto(m))
		for i := range m.Fields().Len() {
			if inner := m.Fields().Get(i).Message(); inner != nil {
				messages(inner)
			}
		}
	}
	if method != nil {
		messages(method.Input())
		messages(method.Output())
	}
	for _, m := range more {
		write(m)
	}
	return [sha256.Size]byte(h.Sum(nil))
}
