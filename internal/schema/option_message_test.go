package schema

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// TestOptionMessage: Surface 219: an option that is bytes alone has the type that an imported file
// says, or the program; without either it is unknown, and never panics, whatever the bytes are.
func TestOptionMessage(t *testing.T) {
	message := protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), "a summary")
	option := func(number protowire.Number, wire []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), wire)
	}
	own := &descriptorpb.FileDescriptorProto{
		Name: proto.String("own.proto"), Package: proto.String("own"), Syntax: proto.String("proto3"), Dependency: []string{"google/protobuf/descriptor.proto"},
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Own"), Field: []*descriptorpb.FieldDescriptorProto{{
			Name: proto.String("text"), Number: proto.Int32(2), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}}}},
		Extension: []*descriptorpb.FieldDescriptorProto{{
			Name: proto.String("own"), Number: proto.Int32(50001), Extendee: proto.String(".google.protobuf.ServiceOptions"), TypeName: proto.String(".own.Own"),
			Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}},
	}
	imported, err := protodesc.NewFile(own, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	files := new(protoregistry.Files)
	if err := files.RegisterFile(imported); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		unknown []byte
		number  protoreflect.FieldNumber
		typed   protoreflect.FullName
		isThere bool // and of an unknown type
	}{
		{"imported", option(50001, message), 50001, "own.Own", false},
		{"of the program", option(1042, message), 1042, "grpc.gateway.protoc_gen_openapiv2.options.Tag", false},
		{"of nobody", option(1295, message), 1295, "", true},
		{"not set", option(50001, message), 1042, "", false},
		{"set twice", append(option(50001, message), option(50001, message)...), 50001, "own.Own", false},
		{"broken within", option(50001, []byte{0x12, 0x7f}), 50001, "", true},
		{"broken behind", append(option(50001, message), 0xff), 50001, "own.Own", false},
	} {
		options := &descriptorpb.ServiceOptions{}
		options.ProtoReflect().SetUnknown(test.unknown)
		file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
			Name: proto.String("a.proto"), Syntax: proto.String("proto3"), Dependency: []string{"own.proto"},
			Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("A"), Options: options}},
		}, eitherFiles{files, protoregistry.GlobalFiles})
		if err != nil {
			t.Fatal(err)
		}
		got, unknown := OptionMessage(file.Services().Get(0), test.number)
		var typed protoreflect.FullName
		if got != nil {
			typed = got.Descriptor().FullName()
			if text := got.Get(got.Descriptor().Fields().ByNumber(2)).String(); text != "a summary" {
				t.Errorf("%s: found %q", test.name, text)
			}
		}
		if typed != test.typed || unknown != test.isThere {
			t.Errorf("%s: got %s, unknown %v, want %s, unknown %v", test.name, typed, unknown, test.typed, test.isThere)
		}
	}
}
