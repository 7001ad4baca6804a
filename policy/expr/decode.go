package expr

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Decode reads a message to look into it. protobuf-go panics on some wire data
// that no serialiser writes (a map entry with its key twice, once of another wire
// type, into a dynamic message); whoever sends that is told that it is not valid.
func Decode(d protoreflect.MessageDescriptor, wire []byte) (m *dynamicpb.Message, err error) {
	defer func() {
		if p := recover(); p != nil {
			m, err = nil, fmt.Errorf("not a valid %s in wire format", d.FullName())
		}
	}()
	m = dynamicpb.NewMessage(d)
	return m, proto.UnmarshalOptions{AllowPartial: true}.Unmarshal(wire, m)
}
