package schema

import (
	"iter"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// OptionMessage is the value of an option of a descriptor by its number, in whatever type it
// has there: one of the program's, or one that the user's own files declare. It is nil where the
// option is not set or is no message; unknown is true where it is set and no file that the
// descriptor's own imports, and none of the program, says what it is. It is called when a schema is
// described, not on a request.
func OptionMessage(d protoreflect.Descriptor, number protoreflect.FieldNumber) (value protoreflect.Message, unknown bool) {
	options := d.Options()
	if options == nil || !options.ProtoReflect().IsValid() {
		return nil, false
	}
	message := options.ProtoReflect()
	message.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if field.Number() == number && field.IsExtension() && field.Message() != nil && !field.IsList() {
			value = v.Message()
		}
		return value == nil
	})
	if value != nil || len(message.GetUnknown()) == 0 {
		return value, false
	}
	wire, found := bytesOf(message.GetUnknown(), number)
	if !found {
		return nil, false
	}
	kind := extensionType(d.ParentFile(), message.Descriptor().FullName(), number)
	if kind == nil || kind.Message() == nil || kind.IsList() {
		return nil, true
	}
	dynamic := dynamicpb.NewMessage(kind.Message())
	if (proto.UnmarshalOptions{AllowPartial: true, Resolver: new(protoregistry.Types), RecursionLimit: maxNesting}).Unmarshal(wire, dynamic) != nil {
		return nil, true
	}
	return dynamic, false
}

// bytesOf joins the values of a field among unknown ones: what is set twice is merged.
func bytesOf(unknown []byte, number protoreflect.FieldNumber) (wire []byte, found bool) {
	for len(unknown) > 0 {
		n, kind, size := protowire.ConsumeTag(unknown)
		if size < 0 {
			return wire, found
		}
		unknown = unknown[size:]
		if n == number && kind == protowire.BytesType {
			value, size := protowire.ConsumeBytes(unknown)
			if size < 0 {
				return wire, found
			}
			wire, found, unknown = append(wire, value...), true, unknown[size:]
			continue
		}
		if size = protowire.ConsumeFieldValue(n, kind, unknown); size < 0 {
			return wire, found
		}
		unknown = unknown[size:]
	}
	return wire, found
}

// extensionType is the extension of options under a number, of the files that a file imports or
// else of the program; nil where there is none.
func extensionType(file protoreflect.FileDescriptor, of protoreflect.FullName, number protoreflect.FieldNumber) protoreflect.FieldDescriptor {
	for f := range Known(file) {
		for i := range f.Extensions().Len() {
			x := f.Extensions().Get(i)
			if x.Number() == number && x.ContainingMessage().FullName() == of {
				return x
			}
		}
	}
	if known, err := protoregistry.GlobalTypes.FindExtensionByNumber(of, number); err == nil {
		return known.TypeDescriptor()
	}
	return nil
}

// Known are files and all that they import, each once, the nearest first.
func Known(files ...protoreflect.FileDescriptor) iter.Seq[protoreflect.FileDescriptor] {
	return func(yield func(protoreflect.FileDescriptor) bool) {
		seen := map[string]bool{}
		for queue := slices.Clone(files); len(queue) > 0; {
			f := queue[0]
			queue = queue[1:]
			if seen[f.Path()] {
				continue
			}
			seen[f.Path()] = true
			if !yield(f) {
				return
			}
			for i := range f.Imports().Len() {
				queue = append(queue, f.Imports().Get(i).FileDescriptor)
			}
		}
	}
}
