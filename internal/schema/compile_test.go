package schema

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/descriptorpb"
)

// readFolder reads the .proto files of a folder.
func readFolder(t testing.TB, folder string) []sourceText {
	t.Helper()
	read := folderReader{root: folder}
	read.folder(t.Context(), "", nil)
	if len(read.problems) > 0 {
		t.Fatal(read.problems)
	}
	return read.texts
}

// TestAgainstStableCompiler compiles the good folder, and every built-in file from
// the text that is written back, with the older compiler of the same authors: the
// descriptors have to be the same.
func TestAgainstStableCompiler(t *testing.T) {
	texts := readFolder(t, "testdata/good")
	// Beyond the older compiler: editions after 2023.
	texts = slices.DeleteFunc(texts, func(text sourceText) bool {
		return strings.Contains(text.text, `edition = "2024"`) || strings.Contains(text.text, `edition = "2026"`)
	})
	for _, path := range wellKnownPaths() {
		if strings.HasPrefix(path, "google/protobuf/") || strings.HasPrefix(path, gnosticRegistry) {
			continue // the compiler has its own; the same options under another name
		}
		text, ok := wellKnownText(path)
		if !ok {
			t.Fatalf("%s has no text", path)
		}
		texts = append(texts, sourceText{path: path, file: path, text: text})
	}
	made, problems := compile(t.Context(), "good", texts)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := stable(t, texts)
	for _, got := range made.files {
		t.Run(got.GetName(), func(t *testing.T) {
			diff := cmp.Diff(comparable(t, want[got.GetName()]), comparable(t, got), protocmp.Transform())
			if diff != "" {
				t.Errorf("the stable compiler makes another descriptor (-stable +ours):\n%s", diff)
			}
		})
	}
}

// stable compiles with the older compiler.
func stable(t *testing.T, texts []sourceText) map[string]*descriptorpb.FileDescriptorProto {
	t.Helper()
	sources := make(map[string]string, len(texts))
	for _, text := range texts {
		sources[text.path] = text.text
	}
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(sources),
	})}
	files, err := compiler.Compile(t.Context(), slices.Sorted(maps.Keys(sources))...)
	if err != nil {
		t.Fatal(err)
	}
	result := make(map[string]*descriptorpb.FileDescriptorProto)
	for _, file := range files {
		result[file.Path()] = protodesc.ToFileDescriptorProto(file)
	}
	return result
}

// comparable is a file without source information and with its options in the
// types of the binary.
func comparable(t *testing.T, file *descriptorpb.FileDescriptorProto) *descriptorpb.FileDescriptorProto {
	t.Helper()
	file = proto.Clone(file).(*descriptorpb.FileDescriptorProto)
	file.SourceCodeInfo = nil
	result := new(descriptorpb.FileDescriptorProto)
	if err := unmarshalKnown(wireOf(t, file), result); err != nil {
		t.Fatal(err)
	}
	return result
}

func TestComments(t *testing.T) {
	registry := loadGood(t, "testdata/good")
	get := service(t, registry, "bookstore.v1.BookstoreService").Methods().ByName("GetBook")
	if got := get.ParentFile().SourceLocations().ByDescriptor(get).LeadingComments; got != " Reads one book.\n" {
		t.Errorf("comment %q", got)
	}
}

func TestExtensionsOfAMessage(t *testing.T) {
	registry := loadGood(t, "testdata/good")
	var got []protoreflect.FullName
	registry.RangeExtensionsByMessage("google.protobuf.MessageOptions", func(x protoreflect.ExtensionType) bool {
		got = append(got, x.TypeDescriptor().FullName())
		return true
	})
	slices.Sort(got)
	if !slices.Contains(got, "bookstore.v1.shelf_mark") || !slices.Contains(got, "buf.validate.message") {
		t.Errorf("extensions %v", got)
	}
	count := 0
	registry.RangeExtensionsByMessage("google.protobuf.MessageOptions", func(protoreflect.ExtensionType) bool {
		count++
		return false
	})
	if count != 1 {
		t.Errorf("called %d times after the end", count)
	}
}

// FuzzCompile compiles arbitrary text beside a file that imports it and one that
// does not: the answer is descriptors or problems, each with a file, and what is
// said to be valid compiles without the rest.
func FuzzCompile(f *testing.F) {
	for _, text := range readFolder(f, "testdata/good") {
		f.Add(text.text)
	}
	broken := folderReader{root: "testdata/broken"} // some of it cannot be read
	broken.folder(f.Context(), "", nil)
	for _, text := range broken.texts {
		f.Add(text.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		texts := []sourceText{
			{path: "a.proto", file: "folder/a.proto", text: text},
			{path: "b.proto", file: "folder/b.proto", text: `syntax = "proto3"; package b; import "a.proto"; message B {}`},
			{path: "c.proto", file: "folder/c.proto", text: `syntax = "proto3"; package c; import "google/api/http.proto"; message C { google.api.HttpRule rule = 1; }`},
		}
		made, problems := compile(context.Background(), "folder", texts)
		if (len(made.files) == len(texts)) != (problems.Err() == nil) {
			t.Errorf("%d files, problems %v", len(made.files), problems)
		}
		if len(made.valid) > 0 {
			again, problems := compile(context.Background(), "folder", made.valid)
			if len(again.files) != len(made.valid) {
				t.Errorf("the valid files %v have problems: %v", made.valid, problems)
			}
		}
		for _, problem := range problems {
			if problem.File == "" || problem.Message == "" || strings.Contains(problem.Message, "defect") {
				t.Errorf("problem %q", problem)
			}
		}
	})
}
