package jsonwire_test

import (
	"context"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/transom-gateway/transom/transcoder/jsonwire/internal/testpb"
)

// compiled are the files of testdata/protos with the messages of testpb.
func compiled(t testing.TB) (*reference, func(name protoreflect.FullName) protoreflect.MessageDescriptor) {
	t.Helper()
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		ImportPaths: []string{"testdata/protos"},
	})}
	files, err := compiler.Compile(context.Background(), "two.proto", "edition.proto", "many.proto")
	if err != nil {
		t.Fatal(err)
	}
	registry := new(protoregistry.Files)
	for _, f := range files {
		if err := registry.RegisterFile(f); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"any", "duration", "empty", "field_mask", "struct", "timestamp", "wrappers"} {
		f, err := protoregistry.GlobalFiles.FindFileByPath("google/protobuf/" + path + ".proto")
		if err != nil {
			t.Fatal(err)
		}
		if err := registry.RegisterFile(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := registry.RegisterFile(testpb.File_test_proto); err != nil {
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
