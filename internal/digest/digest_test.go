package digest

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func field(name string, number int32, of string) *descriptorpb.FieldDescriptorProto {
	f := &descriptorpb.FieldDescriptorProto{
		Name: &name, Number: &number, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(),
	}
	if of != "" {
		f.Type, f.TypeName = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), &of
	}
	return f
}

// method is one with messages that hold others, one of them itself; edit changes their file.
func method(t *testing.T, edit func(f *descriptorpb.FileDescriptorProto)) protoreflect.MethodDescriptor {
	t.Helper()
	message := func(name string, fields ...*descriptorpb.FieldDescriptorProto) *descriptorpb.DescriptorProto {
		return &descriptorpb.DescriptorProto{Name: &name, Field: fields}
	}
	file := &descriptorpb.FileDescriptorProto{
		Name: proto.String("shop.proto"), Package: proto.String("shop"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			message("Ask", field("name", 1, "")),
			message("Item", field("title", 1, ""), field("part", 2, ".shop.Part")),
			message("Part", field("label", 1, ""), field("of", 2, ".shop.Part")),
			message("Other", field("x", 1, "")),
		},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("Shop"), Method: []*descriptorpb.MethodDescriptorProto{
			{Name: proto.String("Look"), InputType: proto.String(".shop.Ask"), OutputType: proto.String(".shop.Item")},
		}}},
	}
	if edit != nil {
		edit(file)
	}
	made, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return made.Services().Get(0).Methods().Get(0)
}

// TestOf: equal schemas have equal digests, whatever is changed elsewhere; a change of a
// message that the method has, at any depth, or of what is beside it gives another one.
func TestOf(t *testing.T) {
	minute := durationpb.New(60e9)
	first := Of(method(t, nil), minute)
	for name, c := range map[string]struct {
		edit func(f *descriptorpb.FileDescriptorProto)
		more []proto.Message
		same bool
	}{
		"nothing":                {nil, []proto.Message{minute}, true},
		"a message of others":    {func(f *descriptorpb.FileDescriptorProto) { f.MessageType[3].Field[0].Name = proto.String("y") }, []proto.Message{minute}, true},
		"the method's name":      {func(f *descriptorpb.FileDescriptorProto) { f.Service[0].Method[0].Name = proto.String("See") }, []proto.Message{minute}, true},
		"a field of the request": {func(f *descriptorpb.FileDescriptorProto) { f.MessageType[0].Field[0].Name = proto.String("id") }, []proto.Message{minute}, false},
		"a number of the answer": {func(f *descriptorpb.FileDescriptorProto) { f.MessageType[1].Field[0].Number = proto.Int32(7) }, []proto.Message{minute}, false},
		"a field deep within":    {func(f *descriptorpb.FileDescriptorProto) { f.MessageType[2].Field[0].Name = proto.String("text") }, []proto.Message{minute}, false},
		"another answer": {func(f *descriptorpb.FileDescriptorProto) {
			f.Service[0].Method[0].OutputType = proto.String(".shop.Part")
		}, []proto.Message{minute}, false},
		"other settings":          {nil, []proto.Message{durationpb.New(61e9)}, false},
		"settings that are none":  {nil, []proto.Message{(*durationpb.Duration)(nil)}, false},
		"more of them":            {nil, []proto.Message{minute, wrapperspb.String("a")}, false},
		"an empty one beside it":  {nil, []proto.Message{minute, &wrapperspb.StringValue{}}, false},
		"the same, a second time": {nil, []proto.Message{durationpb.New(60e9)}, true},
	} {
		if got := Of(method(t, c.edit), c.more...); (got == first) != c.same {
			t.Errorf("%s: the digest is the same: %v", name, got == first)
		}
	}
}

// TestBoundaries: what is beside a method is told apart from what is not there: two messages are not
// one whose bytes are those of both.
func TestBoundaries(t *testing.T) {
	a, b := wrapperspb.String("a"), wrapperspb.String("b")
	both, err := proto.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	one := new(wrapperspb.StringValue)
	one.ProtoReflect().SetUnknown(both)
	for name, other := range map[string][]proto.Message{"in the other order": {b, a}, "one of them": {a}, "none": nil} {
		if Of(nil, a, b) == Of(nil, other...) {
			t.Errorf("%s: the digests are equal", name)
		}
	}
	if Of(nil, a, b) != Of(nil, wrapperspb.String("a"), b) || Of(nil, one, b) == Of(nil, a) {
		t.Error("a digest is not of its messages")
	}
}
