package gateway

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// DescriptorSet is the file of a message of the schemas and those that it imports, as a FileDescriptorSet in which
// imports come first, without comments; nil where there is no such message.
func (g *Gateway) DescriptorSet(message string) ([]byte, error) {
	s := g.acquire()
	if s == nil {
		return nil, nil
	}
	defer s.release()
	name := protoreflect.FullName(message)
	if !name.IsValid() {
		return nil, nil
	}
	d, ok := s.declared(name).(protoreflect.MessageDescriptor)
	if !ok {
		return nil, nil
	}
	set, seen := &descriptorpb.FileDescriptorSet{}, map[string]bool{}
	appendFile(set, seen, d.ParentFile())
	return proto.MarshalOptions{Deterministic: true}.Marshal(set)
}

// appendFile appends a file behind its imports, once.
func appendFile(set *descriptorpb.FileDescriptorSet, seen map[string]bool, file protoreflect.FileDescriptor) {
	if seen[file.Path()] {
		return
	}
	seen[file.Path()] = true
	imports := file.Imports()
	for i := range imports.Len() {
		if one := imports.Get(i); !one.IsPlaceholder() {
			appendFile(set, seen, one.FileDescriptor)
		}
	}
	made := protodesc.ToFileDescriptorProto(file)
	made.SourceCodeInfo = nil
	set.File = append(set.File, made)
}
