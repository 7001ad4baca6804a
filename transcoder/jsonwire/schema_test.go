package jsonwire_test

import (
	"context"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/transom-gateway/transom/transcoder/jsonwire/internal/testpb"
)

// compiled are the files of testdata/protos with the messages of testpb.
func compiled(t testing.TB) (*reference, func(name protoreflect.FullName) protoreflect.MessageDescriptor) {
	t.Helper()
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		ImportPaths: []string{"testdata/protos"},
	})}
	files, err := compiler.Compile(context.Background(), "two.proto", "edition.proto", "many.proto", "between.proto")
	if err != nil {
		t.Fatal(err)
	}
	// Linked again by protobuf-go, which is the reference for all of a descriptor.
	set := &descriptorpb.FileDescriptorSet{}
	for _, path := range []string{"any", "duration", "empty", "field_mask", "struct", "timestamp", "wrappers"} {
		f, err := protoregistry.GlobalFiles.FindFileByPath("google/protobuf/" + path + ".proto")
		if err != nil {
			t.Fatal(err)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
	}
	set.File = append(set.File, protodesc.ToFileDescriptorProto(testpb.File_test_proto))
	for _, f := range files {
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
	}
	registry, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	find := func(name protoreflect.FullName) protoreflect.MessageDescriptor {
		d, err := registry.FindDescriptorByName(name)
		if err != nil {
			t.Fatal(err)
		}
		return d.(protoreflect.MessageDescriptor)
	}
	return newReference(dynamicpb.NewTypes(registry)), find
}
