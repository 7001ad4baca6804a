package schema

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Same reports whether two files of one name, and all that they import but for the
// built-in files, say the same. Comments do not count: a server tells none.
func Same(a, b protoreflect.FileDescriptor) bool {
	return same(a, b, map[string]bool{})
}

// same is Same for what is not seen yet.
func same(a, b protoreflect.FileDescriptor, seen map[string]bool) bool {
	if seen[a.Path()] {
		return true
	}
	seen[a.Path()] = true
	if a.Path() != b.Path() || a.Imports().Len() != b.Imports().Len() || !proto.Equal(bare(a), bare(b)) {
		return false
	}
	for i := range a.Imports().Len() {
		if next := a.Imports().Get(i).FileDescriptor; !isWellKnown(next.Path()) && !same(next, b.Imports().Get(i).FileDescriptor, seen) {
			return false
		}
	}
	return true
}

// bare is a file without its comments, and with options as bytes, whoever knows them.
func bare(file protoreflect.FileDescriptor) *descriptorpb.FileDescriptorProto {
	whole := protodesc.ToFileDescriptorProto(file)
	whole.SourceCodeInfo = nil
	wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(whole)
	if err != nil {
		return whole
	}
	raw := new(descriptorpb.FileDescriptorProto)
	if err := (proto.UnmarshalOptions{Resolver: new(protoregistry.Types)}).Unmarshal(wire, raw); err != nil {
		return whole
	}
	return raw
}
